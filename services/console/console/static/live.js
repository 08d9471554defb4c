// The stream: one a tab, heard in named events; what it says, what it loses, and how it comes back.
"use strict";
(() => {
  const LOST = 40e3, SAID_EVERY = 10e3, ASK_EVERY = 10e3, STREAMS = 4;
  const live = document.getElementById("live"), lost = document.getElementById("lost"), label = document.querySelector(".live");
  const byId = (id) => document.getElementById(id);
  const GONE = { reassigned: "given to another rep", closed: "closed", filtered: "outside this filter", merged: "merged into another lead", erased: "erased" };

  // --- what is said ----------------------------------------------------------------------------------------------
  let saidAt = 0;

  function say(text) {
    if (Date.now() - saidAt < SAID_EVERY) return;
    saidAt = Date.now();
    byId("say").textContent = text;
  }

  function shout(text) { byId("shout").textContent = text; }

  // --- the stream ------------------------------------------------------------------------------------------------
  let byteAt = Date.now(), connection = null, began = Date.now(), way = 0, askedAt = 0, out = false;

  function lights(on, text) {
    if (!label) return;
    label.dataset.live = on ? "yes" : "no";
    label.querySelector("span").textContent = text;
  }

  function bar(text, does) {
    lost.hidden = !text;
    lost.querySelector("span").innerHTML = text;
    lost.querySelector("button").textContent = does || "Try now";
  }

  function signedOut() {
    out = true;
    bar("<b>Your session has ended.</b> The page stays as it is. Sign in again to go on.", "Sign in");
  }

  function watch() {
    const silent = Date.now() - byteAt;
    if (out) return;
    if (silent > LOST) {
      lights(false, "Not live");
      const since = new Date(byteAt + handoff.now() - Date.now());
      bar(`<b>Not live since ${since.toLocaleTimeString("en-GB")}.</b> Trying again by itself. Actions still work.`);
      if (connection?.reader && silent % 5e3 < 1e3) connection.reader.cancel().catch(() => {});
    }
    if (!live._htmx?.sse && Date.now() - askedAt > 5e3) connect();
  }

  // The first time by the extension's own attribute; it tries again by itself only once it was connected.
  function connect() {
    askedAt = began = Date.now();
    if (live.hasAttribute("hx-sse:connect")) return htmx.ajax("GET", live.dataset.connect, { source: live }).catch(() => {});
    live.setAttribute("hx-sse:connect", live.dataset.connect);
    return htmx.process(live);
  }

  function heard() {
    byteAt = Date.now();
    if (!lost.hidden) { bar(""); out = false; }
    lights(true, "Live");
    live.dataset.heard = "yes";
  }

  const on = (name, act) => live.addEventListener(name, (event) => { heard(); act(event.detail.data); });
  const json = (act) => (data) => act(JSON.parse(data));

  function listen() {
    on("hello", json((said) => { way = (Date.now() - began) / 2; handoff.heard(Date.parse(said.now), Math.min(way, 2e3)); }));
    on("time", json((said) => handoff.heard(Date.parse(said.now), Math.min(way, 2e3))));
    on("lead.put", (html) => handoff.later(() => handoff.putRow(html)));
    on("lead.gone", json((said) => {
      const li = byId(`lead-${said.lead_id}`);
      if (li) handoff.later(() => handoff.leave(li, GONE[said.reason] || "no longer here"));
      else if (!byId("list")) bar("This lead is with somebody else now.", "Read again");
    }));
    on("clock", json(() => {}));
    on("load", json(load));
    on("counts", json(counts));
    on("notice", json((said) => (said.level === "breach" ? shout : say)(said.text)));
    on("resync", handoff.resync);
    on("lead.event", (html) => {
      const fresh = handoff.parse(html).firstElementChild, all = byId("journey-list");
      if (byId(fresh.id)) return;
      all.insertBefore(fresh, [...all.children].find((one) => one.classList.contains("expected")) || null);
    });
    on("lead.changed", handoff.fetchLead);
    live.addEventListener("htmx:sse:before:connection", (event) => { connection = event.detail.connection; began = Date.now(); });
    live.addEventListener("htmx:sse:after:connection", (event) => { connection = event.detail.connection; if (connection.status === 200) heard(); });
    live.addEventListener("htmx:sse:error", (event) => { lights(false, "Reconnecting"); if (event.detail.status === 401) signedOut(); });
    lost.querySelector("button").addEventListener("click", () => {
      // In a window of its own: what is typed here stays, and the stream comes back by itself.
      if (out) return window.open("/signin?next=/settings/me", "_blank", "noopener");
      if (!byId("list")) return handoff.fetchLead();
      if (connection) { connection.delayCanceller?.(); connection.reader?.cancel().catch(() => {}); } else connect();
    });
    setInterval(watch, 1000);
  }

  function load(said) {
    const box = byId("load");
    if (box && said.cap) {
      byId("load-open").textContent = said.open.toLocaleString("en");
      box.classList.toggle("full", said.at_cap);
      box.querySelector("i").style.width = `${Math.min(100, Math.floor((100 * said.open) / said.cap))}%`;
      const over = box.querySelector(".over");
      if (over) over.hidden = !said.over_cap;
    }
    handoff.paused?.(said.reason === "paused");
  }

  function counts(said) {
    for (const [name, number] of Object.entries(said)) {
      const beside = byId(`count-${name}`);
      if (beside) { beside.textContent = number.toLocaleString("en"); beside.hidden = !number; }
    }
    handoff.filters();
  }

  // Six connections are all that a browser has for one address: four of them may be streams.
  async function take() {
    if (!navigator.locks) { listen(); return connect(); }
    for (let number = 1; number <= STREAMS; number += 1) {
      const got = await new Promise((done) => {
        navigator.locks.request(`stream-${number}`, { ifAvailable: true }, (lock) => {
          done(Boolean(lock));
          return lock ? new Promise(() => {}) : null;
        });
      });
      if (got) { listen(); return connect(); }
    }
    lights(false, "Not live in this tab");
    setTimeout(take, ASK_EVERY);
  }

  Object.assign(handoff, { say, shout, signedOut });
  document.addEventListener("DOMContentLoaded", () => { if (live) take(); });
})();
