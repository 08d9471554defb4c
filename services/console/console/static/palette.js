// Commands: what acts on the selection, leads of this page, pages; then what the server finds.
"use strict";
(() => {
  const box = document.getElementById("palette"), field = box.querySelector("input"), list = document.getElementById("palette-list");
  let asked = null, timer = 0;

  const matches = (text, words) => words.every((word) => text.toLowerCase().includes(word));
  const clean = (text) => text.replace(/\s+/g, " ").trim();

  function option(icon, title, note, keys, run) {
    const element = document.createElement("div");
    element.role = "option";
    element.id = `palette-${Math.random().toString(36).slice(2)}`;
    if (icon) element.append(icon.cloneNode(true));
    element.append(Object.assign(document.createElement("b"), { textContent: title }), Object.assign(document.createElement("span"), { className: "dim", textContent: note }));
    const shown = element.appendChild(Object.assign(document.createElement("span"), { className: "kbds" }));
    for (const key of keys) shown.append(Object.assign(document.createElement("kbd"), { className: "kbd", textContent: key }));
    element.run = run;
    return element;
  }

  function group(title, options) {
    if (!options.length) return;
    const element = document.createElement("div");
    element.role = "group";
    element.setAttribute("aria-label", title);
    element.append(Object.assign(document.createElement("b"), { textContent: title }), ...options);
    list.append(element);
  }

  function own(button) {
    const words = clean([...button.childNodes].filter((one) => one.nodeName === "#text" || one.nodeName === "SPAN").map((one) => one.textContent).join(" "));
    const note = button.href?.startsWith("tel:") ? button.href.slice(4) : button.href?.startsWith("mailto:") ? button.href.slice(7) : "";
    return [words, note];
  }

  function fill() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    list.replaceChildren();
    const name = document.querySelector("#panel h2.name, #lead-bar h1")?.textContent || "this page";
    const buttons = [...document.querySelectorAll("[data-key]")].map((button) => [button, ...own(button)]);
    group(`On ${clean(name)}`, buttons.filter(([, text]) => text && matches(`${text} ${name}`, words))
      .map(([button, text, note]) => option(button.querySelector(".icon"), text, note, [button.dataset.key.toUpperCase()], () => button.click())));
    group("Leads", (handoff.rows?.() || []).map((li) => [li, li.querySelector(".row")]).filter(([, row]) => words.length && matches(row.dataset.name, words)).slice(0, 6)
      .map(([, row]) => option(null, row.querySelector("b").textContent, row.querySelector(".company")?.textContent || "", [], () => location.assign(row.dataset.open))));
    group("Go to", [...document.querySelectorAll(".side nav a")].filter((link) => matches(link.querySelector("span").textContent, words))
      .map((link) => option(link.querySelector(".icon"), link.querySelector("span").textContent, "", ["G", link.dataset.letter.toUpperCase()], () => location.assign(link.href))));
    mark(list.querySelector('[role="option"]'));
    if (words.length) found(field.value);
  }

  function found(text) {
    clearTimeout(timer);
    asked?.abort();
    asked = new AbortController();
    timer = setTimeout(async () => {
      const answer = await fetch(`/leads?q=${encodeURIComponent(text)}`, { headers: { "HX-Request": "true" }, signal: asked.signal }).catch(() => null);
      if (!answer?.ok) return;
      const template = document.createElement("template");
      template.innerHTML = await answer.text();
      const fresh = [...template.content.querySelectorAll("[data-go]")];
      fresh.forEach((one) => { one.run = () => location.assign(one.dataset.go); });
      group("All leads", fresh);
      if (!marked()) mark(list.querySelector('[role="option"]'));
    }, 120);
  }

  const marked = () => list.querySelector('[aria-selected="true"]');

  function mark(element) {
    marked()?.removeAttribute("aria-selected");
    if (!element) return field.removeAttribute("aria-activedescendant");
    element.setAttribute("aria-selected", "true");
    element.scrollIntoView({ block: "nearest" });
    return field.setAttribute("aria-activedescendant", element.id);
  }

  function run(element) {
    if (!element) return;
    box.close();
    element.run();
  }

  field.addEventListener("input", fill);
  field.addEventListener("keydown", (event) => {
    const all = [...list.querySelectorAll('[role="option"]')], at = all.indexOf(marked());
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(marked());
    }
  });
  list.addEventListener("click", (event) => run(event.target.closest('[role="option"]')));
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  document.querySelector("[data-palette]")?.addEventListener("click", (event) => { event.preventDefault(); handoff.palette(); });

  handoff.palette = () => {
    if (box.open) return box.close();
    field.value = "";
    box.showModal();
    fill();
    return field.focus();
  };
})();
