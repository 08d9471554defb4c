// Keys: they press the buttons that are shown, so a button and its key never differ. Not while something is typed.
"use strict";
(() => {
  const on = document.body.dataset.keys === "on", SECOND = 1500;
  const ask = document.getElementById("ask"), sheet = document.getElementById("sheet");
  const typing = (element) => element.matches("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])");
  let going = 0;

  function press(key) {
    if (!handoff.panelIsOf(handoff.chosen())) { handoff.tell("This lead is not in your inbox any more. Nothing was done"); handoff.resync(); return true; }
    const shown = [...document.querySelectorAll(`[data-key="${key}"]`)].filter((one) => !one.hidden && one.getAttribute("aria-disabled") !== "true");
    shown[0]?.click();
    return shown.length > 0;
  }

  function go(letter) {
    const link = document.querySelector(`.side [data-letter="${letter}"]`);
    if (link) location.assign(link.href);
    return Boolean(link);
  }

  function back() {
    const bar = document.getElementById("lead-bar");
    if (bar) location.assign(bar.querySelector("[data-back]").href);
    document.querySelectorAll("details[open]").forEach((one) => { one.open = false; });
  }

  function walk(by) {
    const bar = document.getElementById("lead-bar");
    if (!bar) return document.getElementById("list") && handoff.step(by);
    const to = by > 0 ? bar.dataset.after : bar.dataset.before;
    if (to) location.assign(to);
  }

  function filter() {
    const field = document.getElementById("filter");
    if (!field) return;
    field.form.hidden = false;
    field.focus();
    field.select();
  }

  // The touch's form: digits the kind, letters the outcome, Enter to the note, Enter in an empty note sends.
  function inForm(event, form) {
    const { key, target } = event, note = form.querySelector("textarea");
    if (key === "Enter" && target === note && (event.metaKey || event.ctrlKey || !note.value)) {
      event.preventDefault();
      return form.requestSubmit();
    }
    if (typing(target)) return;
    const choice = form.querySelector(`[data-digit="${CSS.escape(key)}"], [data-letter="${CSS.escape(key)}"]`);
    if (choice) { event.preventDefault(); choice.checked = true; choice.focus(); }
    if (key === "Enter" && target.type === "radio") {
      event.preventDefault();
      if (note) note.focus(); else form.requestSubmit();
    }
  }

  const PLAIN = {
    "?": () => sheet.showModal(), "/": filter, z: () => handoff.takeBack(), n: () => document.getElementById("list") && handoff.newest(),
    j: () => walk(1), k: () => walk(-1), ArrowDown: () => walk(1), ArrowUp: () => walk(-1), Escape: back,
    Enter: () => { const row = handoff.chosen?.()?.querySelector(".row"); if (row) location.assign(row.dataset.open); },
  };

  const MOVES = new Set(["j", "k", "n", "ArrowDown", "ArrowUp", "Escape"]);
  let kept = [];

  // Keys that came too early are pressed again, in their order, where the focus is by then.
  function wait(loading, key) {
    kept.push(key);
    if (kept.length > 1) return;
    loading.then(() => {
      const keys = kept;
      kept = [];
      for (const one of keys) document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: one, bubbles: true, cancelable: true }));
    });
  }

  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if ((event.metaKey || event.ctrlKey) && key.toLowerCase() === "k") {
      event.preventDefault();
      return handoff.palette();
    }
    const form = target.closest?.("form.touch, #ask form");
    if (form && key !== "Escape") return inForm(event, form);
    if (key === "Escape" && typing(target)) return target.blur();
    if (event.metaKey || event.ctrlKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    if (typing(target) || (key === "Enter" && target.closest("a, button, summary") && !target.matches(".row"))) return;
    if (key.startsWith("Arrow") && !target.closest("#list") && target !== document.body) return;
    if (!on && key.length === 1) return;
    const loading = handoff.loading?.();
    if (loading && !MOVES.has(key)) { event.preventDefault(); return wait(loading, key); }
    const act = going > Date.now() ? () => go(key.toLowerCase()) : key === "g" ? () => { going = Date.now() + SECOND; } : PLAIN[key];
    if (key !== "g") going = 0;
    if (act ? act() !== false : key.length === 1 && keyed(key.toLowerCase())) event.preventDefault();
  });

  function keyed(key) {
    if (key !== "l") return press(key);
    const form = document.getElementById("touch-form");
    if (form) { form.querySelector("input:checked").focus(); return true; }
    return press(key);
  }

  document.getElementById("main").addEventListener("click", (event) => {
    const row = event.target.closest("#list .row");
    if (!row || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const li = row.closest("li");
    const narrow = matchMedia("(max-width: 1180px)").matches && !matchMedia("(max-width: 759px)").matches;
    if (narrow || handoff.chosen() === li && (event.detail > 1 || matchMedia("(max-width: 759px)").matches)) location.assign(row.dataset.open);
    else handoff.select(li, { focus: true });
  });
  for (const dialog of [ask, sheet]) dialog.addEventListener("cancel", () => {});
  sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
  Object.assign(handoff, { press, go });
})();
