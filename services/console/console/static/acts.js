// Actions: shown at once, sent with a key that makes a second try harmless, put back in place when refused.
"use strict";
(() => {
  const TRY_FOR = 30e3, UNDO_FOR = 30e3;
  const DOING = { accept: "accepting", decline: "declining", return: "returning", touch: "logging", close: "closing" };
  const NOT_DONE = { accept: "Not accepted", decline: "Not declined", return: "Not returned", touch: "Not logged", close: "Not closed", pause: "Not paused", resume: "Not resumed" };
  const toast = document.getElementById("toast"), ask = document.getElementById("ask");
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const rowOf = (lead) => document.getElementById(`lead-${lead}`);
  let undo = null, counting = 0;

  const newKey = () => crypto.randomUUID?.() || Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");

  function tell(text, act) {
    clearInterval(counting);
    const until = Date.now() + (act ? UNDO_FOR : 5e3), [said, button, left] = toast.children;
    said.textContent = text;
    button.hidden = !act;
    undo = act || null;
    const count = () => {
      const rest = Math.ceil((until - Date.now()) / 1000);
      left.textContent = act ? `Z, ${rest}s` : "";
      if (rest <= 0) { clearInterval(counting); toast.hidden = true; undo = null; }
    };
    count();
    counting = setInterval(count, 1000);
    toast.hidden = false;
    handoff.say(text);
  }

  function takeBack() {
    if (!undo) return;
    const act = undo;
    undo = null;
    toast.hidden = true;
    act();
  }

  // 503 and a lost connection are tried again with the same key; everything else is an answer.
  async function send(url, body, key) {
    const until = Date.now() + TRY_FOR;
    for (;;) {
      let answer = null;
      try {
        answer = await fetch(url, { method: "POST", body, headers: { Accept: "application/json", "Idempotency-Key": key } });
      } catch { /* the connection was lost */ }
      if (answer && answer.status !== 503) return answer;
      if (Date.now() > until) return answer;
      tell("Not answered yet, trying again");
      await wait(1000 * Math.max(1, Number(answer?.headers.get("Retry-After")) || 1));
    }
  }

  function refuse(form, verb, said) {
    const text = document.createElement("p"), li = rowOf(form.dataset.lead);
    text.className = "said bad";
    text.setAttribute("role", "alert");
    text.innerHTML = "<span><b></b> <span></span></span>";
    text.querySelector("b").textContent = `${said.title && said.title !== "Not valid" ? said.title : NOT_DONE[verb]}.`;
    text.querySelector("span span").textContent = said.detail || "Try again.";
    if (form.dataset.lead) {
      const link = document.createElement("a");
      link.href = `/leads/${form.dataset.lead}#routing`;
      link.textContent = "See why";
      text.append(link);
    }
    const place = li || document.getElementById("lead-bar") || form;
    place.parentNode.querySelectorAll(".said.bad").forEach((old) => old.remove());
    if (li) li.append(text); else place.after(text);
  }

  const values = (form) => new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string"));

  async function act(form) {
    const verb = form.dataset.act, li = rowOf(form.dataset.lead), body = values(form), button = form.querySelector("button");
    body.delete("back");
    body.delete("key");
    if (li) { li.dataset.busy = DOING[verb] || verb; li.querySelectorAll(".said.bad").forEach((old) => old.remove()); }
    if (button) button.setAttribute("aria-disabled", "true");
    if (ask.open) ask.close();
    const answer = await send(form.getAttribute("action"), body, newKey());
    if (li) delete li.dataset.busy;
    if (button) button.removeAttribute("aria-disabled");
    if (!answer?.ok) {
      const said = answer ? await answer.json().catch(() => ({})) : { detail: "The server does not answer. What you did is not lost: try again." };
      return refuse(form, verb, said);
    }
    done(verb, form, body);
  }

  function done(verb, form, body) {
    if (verb === "touch") {
      tell(`Logged: ${body.get("kind") === "email" ? "e-mail" : body.get("kind")}, ${body.get("outcome")}`);
      form.reset();
      form.querySelector("textarea")?.blur();
    }
    if (verb === "accept") {
      document.querySelectorAll(`form[data-act="accept"][data-lead="${form.dataset.lead}"] button`).forEach((one) => { one.setAttribute("aria-disabled", "true"); });
      tell("Accepted. The clock runs on until a touch is logged");
    }
    if (verb === "decline" || verb === "return" || verb === "close") {
      tell({ decline: "Declined", return: "Returned", close: "Closed" }[verb]);
      if (document.getElementById("lead-bar")) location.assign("/inbox");
    }
    if (verb === "pause" || verb === "resume") {
      paused(verb === "pause");
      tell(verb === "pause" ? "No new leads until you resume" : "New leads come again", () => pauseForm()?.requestSubmit());
    }
  }

  const pauseForm = () => document.querySelector('form[data-act="pause"], form[data-act="resume"]');

  function paused(is) {
    const form = pauseForm(), verb = is ? "resume" : "pause";
    if (!form || form.dataset.act === verb) return;
    form.dataset.act = verb;
    form.action = `/me/${verb}`;
    form.querySelector("span").textContent = is ? "Resume new leads" : "Pause new leads";
    document.getElementById("availability").textContent = is ? "Paused" : "Available";
  }

  let asker = null;

  function open(id) {
    const template = document.getElementById(id);
    if (!template) return false;
    asker = document.activeElement;
    ask.replaceChildren(template.content.cloneNode(true));
    ask.showModal();
    (ask.querySelector("input:checked") || ask.querySelector("input, textarea, button"))?.focus();
    return true;
  }

  ask.addEventListener("close", () => { if (asker?.isConnected) asker.focus({ preventScroll: true }); });
  ask.addEventListener("click", (event) => { if (event.target === ask) ask.close(); });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.act) return;
    event.preventDefault();
    // The bar at the bottom of a phone names nobody: it acts on the row that is selected, once it is that row's.
    if (form.closest("#deed") && handoff.chosen() && handoff.chosen().dataset.lead !== form.dataset.lead) {
      const now = () => document.querySelector(`#deed form[data-act="${form.dataset.act}"][data-lead="${handoff.chosen()?.dataset.lead}"]`);
      return void handoff.loading()?.then(() => now()?.requestSubmit());
    }
    if (form.querySelector("button")?.getAttribute("aria-disabled") !== "true") act(form);
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a, button");
    if (!link) return;
    if (link.dataset.press) { event.preventDefault(); return handoff.press(link.dataset.press); }
    if (link.dataset.ask === "log") {
      if (open("log-form")) event.preventDefault();
    } else if (link.dataset.ask) {
      if (open("return-form")) event.preventDefault();
    } else if (link.dataset.call === "ask" && !link.dataset.sure) {
      event.preventDefault();
      tell("No consent to calls is on record. Call again to call anyway");
      link.dataset.sure = "yes";
    } else if (link.dataset.call) {
      setTimeout(() => open("log-form"), 300);
    } else if (link.dataset.journey) {
      event.preventDefault();
      document.getElementById("journey-list").classList.toggle("milestones", link.dataset.journey === "milestones");
      for (const one of link.parentNode.children) one.classList.toggle("chosen", one === link);
    }
  });
  toast.querySelector("button").addEventListener("click", takeBack);
  Object.assign(handoff, { takeBack, paused, tell });
})();
