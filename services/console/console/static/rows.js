// The list: rows come, change and go without moving what is read, what has focus, or what is typed.
"use strict";
(() => {
  const MOST = 50, MET_SHOWN = 5e3;
  const byId = (id) => document.getElementById(id);
  const list = () => byId("list");
  const rows = () => [...document.querySelectorAll("#list .group:not([hidden]) li")];
  const row = (li) => li && li.querySelector(".row");
  const chosen = () => document.querySelector('#list .row[aria-current="true"]')?.closest("li") || null;
  let morph = null;
  htmx.registerExtension("handoff", { init: (api) => { morph = api.morph; } });

  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  function morphTo(old, fresh) {
    const fragment = document.createDocumentFragment();
    fragment.append(fresh);
    morph(old, fragment, false);
  }

  // Each part of the answer takes the place of the part of the same id.
  function put(html) {
    for (const fresh of [...parse(html).children]) {
      const old = fresh.id && byId(fresh.id);
      if (old) morphTo(old, fresh);
    }
    rove();
    handoff.tick();
  }

  async function fetchPart(url, target, signal) {
    const answer = await fetch(url, { headers: { "HX-Request": "true", "HX-Target": target }, signal });
    if (answer.status === 401) return handoff.signedOut();
    if (answer.ok) put(await answer.text());
  }

  // --- selection -----------------------------------------------------------------------------------------------
  let asking = null, loading = null;

  // The panel of what is selected. Until it is there, keys wait: they act on what is read, never on what was read.
  function panel(delay) {
    clearTimeout(asking?.timer);
    asking?.abort.abort();
    const li = chosen(), abort = new AbortController(), address = new URL(location);
    if (li) address.searchParams.set("lead", li.dataset.lead); else address.searchParams.delete("lead");
    const mine = asking = { abort };
    const done = () => { if (asking === mine) { const told = loading; loading = null; told?.done(); } };
    if (!loading) { let told; loading = { promise: new Promise((tell) => { told = tell; }), done: () => told() }; }
    mine.timer = setTimeout(() => fetchPart(address, "panel", abort.signal).catch(() => {}).then(done), delay);
  }

  const panelIsOf = (li) => !byId("panel") || byId("panel").dataset.lead === (li ? li.dataset.lead : "");

  function select(li, { focus = false } = {}) {
    if (!li) return;
    const before = chosen();
    if (before !== li) {
      row(before)?.removeAttribute("aria-current");
      row(li).setAttribute("aria-current", "true");
      rove();
      const address = new URL(location);
      address.searchParams.set("lead", li.dataset.lead);
      history.replaceState(null, "", address);
      panel(60);
    }
    if (focus) {
      row(li).focus({ preventScroll: true });
      li.scrollIntoView({ block: "nearest" });
    }
  }

  function rove() {
    const at = chosen() || rows()[0];
    for (const one of document.querySelectorAll("#list .row")) one.tabIndex = one.closest("li") === at ? 0 : -1;
  }

  function step(by) {
    const all = rows(), at = all.indexOf(chosen());
    select(all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))], { focus: true });
  }

  function newest() {
    const all = rows().sort((a, b) => b.dataset.arrived - a.dataset.arrived);
    select(all[0], { focus: true });
    byId("pill")?.setAttribute("hidden", "");
  }

  // --- rows ----------------------------------------------------------------------------------------------------
  const order = (li) => [Number(li.dataset.due || Infinity), li.id];
  const isBefore = (a, b) => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

  function place(li) {
    const home = document.querySelector(`#list .group[data-group="${li.dataset.group}"] ol`);
    const next = [...home.children].find((one) => one !== li && isBefore(order(li), order(one))) || null;
    if (li.parentNode === home && li.nextElementSibling === next) return;
    if (li.isConnected && home.moveBefore) home.moveBefore(li, next); else home.insertBefore(li, next);
  }

  function heads() {
    for (const group of document.querySelectorAll("#list .group")) {
      const all = group.querySelectorAll("li");
      group.hidden = !all.length;
      group.querySelector(".number").textContent = all.length;
      const note = [...all].map((li) => li.dataset.note).find(Boolean);
      if (note) group.querySelector(".about").textContent = note;
    }
    byId("empty").hidden = rows().length > 0;
    rove();
  }

  function putRow(html) {
    const fresh = parse(html).firstElementChild;
    let li = byId(fresh.id);
    if (li && Number(li.dataset.v) >= Number(fresh.dataset.v)) return;
    const before = li?.dataset.group;
    if (li) {
      morphTo(li, fresh);
      li = byId(fresh.id);
      li.classList.remove("gone");
      delete li.dataset.busy;
      if (chosen() === li) panel(0);
    } else {
      li = fresh;
    }
    // A row that was met stays where it was until its tick was seen.
    if (li.dataset.group === "done" && li.isConnected) setTimeout(() => batch(() => leave(li)), MET_SHOWN);
    else place(li);
    if (before === undefined) arrived(li); else changed(li);
  }

  function changed(li) {
    li.classList.remove("changed");
    requestAnimationFrame(() => li.classList.add("changed"));
    li.addEventListener("animationend", () => li.classList.remove("changed"), { once: true });
  }

  function arrived(li) {
    changed(li);
    const clock = li.querySelector(".clock[data-due]"), left = clock ? handoff.left(clock) : 0;
    handoff.say(`1 new lead, ${row(li).dataset.name.split(",")[0]}${left > 0 ? `, ${handoff.spoken(left)} left` : ""}`);
    const pill = byId("pill"), top = list().getBoundingClientRect().top;
    if (pill && list().scrollTop > 0 && li.getBoundingClientRect().top < top + 30) {
      pill.textContent = `1 new lead above${left > 0 ? `, ${handoff.duration(left)} left` : ""} `;
      pill.insertAdjacentHTML("beforeend", '<kbd class="kbd" aria-hidden="true">N</kbd>');
      pill.hidden = false;
    }
  }

  function leave(li, why) {
    if (!li?.isConnected) return;
    if (li.dataset.group === "done" && list().dataset.show !== "due") return resync();
    if (li.contains(document.activeElement) && why) {
      li.classList.add("gone");
      li.querySelector(".why").textContent = why;
      li.addEventListener("focusout", () => batch(() => remove(li)), { once: true });
      return;
    }
    remove(li);
  }

  function remove(li) {
    const all = rows(), at = all.indexOf(li), next = all[at + 1] || all[at - 1], had = li.contains(document.activeElement);
    const was = chosen() === li;
    li.remove();
    if (was && next) select(next, { focus: had });
    else if (was) panel(0);
  }

  // --- one batch a frame, with the reader's place kept ----------------------------------------------------------
  let waiting = [], frame = 0;

  function later(change) {
    waiting.push(change);
    if (!frame) frame = document.hidden ? setTimeout(flush, 100) : requestAnimationFrame(flush);
  }

  function flush() {
    const changes = waiting;
    waiting = [];
    frame = 0;
    if (changes.length > MOST) return resync();
    batch(() => changes.forEach((change) => change()));
  }

  function batch(change) {
    if (!list()) return change();
    const box = list().getBoundingClientRect();
    const onScreen = (li) => { const at = li?.getBoundingClientRect(); return at && at.bottom > box.top + 30 && at.top < box.bottom; };
    const kept = list().scrollTop === 0 ? null : onScreen(chosen()) ? chosen() : rows().find(onScreen);
    const top = kept?.getBoundingClientRect().top;
    change();
    heads();
    if (kept?.isConnected) list().scrollTop += kept.getBoundingClientRect().top - top;
    handoff.tick();
  }

  let again = 0;

  function resync() {
    clearTimeout(again);
    again = setTimeout(() => {
      if (list()) fetchPart(location.href, "list").then(() => { heads(); panel(0); }).catch(() => {});
      else fetchLead();
    }, 50);
  }

  // The filters' numbers follow the list, not faster than they are read.
  let numbers = 0;

  function filters() {
    if (!numbers && byId("filters")) numbers = setTimeout(() => { numbers = 0; fetchPart(location.href, "filters").catch(() => {}); }, 1000);
  }

  let leadAsked = 0;

  // A lead's page reads itself again when anything of it changed; what is typed stays.
  function fetchLead() {
    clearTimeout(leadAsked);
    leadAsked = setTimeout(async () => {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = parse(await answer.text());
      for (const id of ["lead-bar", "lead-left", "lead-middle", "lead-right", "deed"]) {
        const part = fresh.getElementById(id);
        if (part) morphTo(byId(id), part);
      }
      handoff.tick();
    }, 60);
  }

  Object.assign(handoff, { parse, later, putRow, leave, resync, filters, panelIsOf, loading: () => loading?.promise, fetchLead, select, chosen, rows, step, newest });
  document.addEventListener("DOMContentLoaded", () => {
    if (list()) rove();
    byId("pill")?.addEventListener("click", newest);
  });
})();
