// Clocks: what is left by the server's time, never by this computer's. Same words as shown.py.
"use strict";
window.handoff = {};
(() => {
  const DAY = 86400e3, CHECKING = 3000, KEPT = 5;
  const UNITS = [["d", 86400, "day"], ["h", 3600, "hour"], ["m", 60, "minute"], ["s", 1, "second"]];
  let offset = Number(document.querySelector('meta[name="now"]').content) - Date.now();
  const heard = [];

  function parts(ms) {
    let rest = Math.max(0, Math.floor(ms / 1000));
    const found = [];
    for (const [unit, size, word] of UNITS) {
      const number = Math.floor(rest / size);
      rest %= size;
      if (number || found.length || unit === "s") found.push([number, unit, word]);
      if (found.length === 2) break;
    }
    return found;
  }

  function duration(ms) {
    return parts(ms).map(([n, unit], at) => (at && unit !== "h" ? String(n).padStart(2, "0") : n) + unit).join(" ");
  }

  function spoken(ms) {
    const all = parts(ms), said = all.filter(([n]) => n);
    return (said.length ? said : all.slice(-1)).map(([n, , word]) => `${n} ${word}${n === 1 ? "" : "s"}`).join(" ");
  }

  const number = (clock, name) => Number(clock.dataset[name]);

  function look(clock, now) {
    const state = clock.dataset.state;
    if (state === "missed") return clock.dataset.took ? "late" : "missed";
    if (state === "met") return "met";
    if (state !== "running" && state !== "paused") return "none";
    if (clock.dataset.until && number(clock, "until") > now) return "paused";
    const left = number(clock, "due") - now;
    if (left <= -CHECKING) return "checking";
    if (left > DAY) return "long";
    return left < Math.min(120e3, 0.4 * number(clock, "within")) ? "short" : "running";
  }

  function texts(clock, shape, now) {
    const left = number(clock, "due") - now, took = number(clock, "took");
    switch (shape) {
      case "met": return [duration(took), `met in ${spoken(took)}`];
      case "late": return [`late ${duration(took)}`, `missed, touched ${spoken(took)} late`];
      case "missed": return [`+${duration(-left)}`, `missed by ${spoken(-left)}`];
      case "paused": return [`paused, ${clock.dataset.untilText}`, `paused until ${clock.dataset.untilText}`];
      case "checking": return ["checking", "checking"];
      case "none": return ["–", "no clock runs"];
      case "short": return [duration(left), `running out, ${spoken(left)} left`];
      default: return [duration(left), `${spoken(left)} left`];
    }
  }

  function write(element, text) { if (element && element.textContent !== text) element.textContent = text; }

  // What is read aloud changes with the state and each minute, not each second.
  function show(clock, now) {
    const shape = look(clock, now), [text, aloud] = texts(clock, shape, now);
    write(clock.querySelector(".text"), text);
    const minute = `${shape} ${Math.floor((number(clock, "due") - now) / 60e3)}`;
    if (clock.dataset.look !== shape) clock.dataset.look = shape;
    if (clock.minute !== minute) {
      clock.minute = minute;
      write(clock.querySelector(".hidden-text"), aloud);
      const row = clock.closest(".row");
      if (row) row.setAttribute("aria-label", `${row.dataset.name}, ${aloud}`);
    }
    if (shape === "running" || shape === "short" || shape === "long") {
      const empty = 1 - Math.min(1, Math.max(0, (number(clock, "due") - now) / number(clock, "within")));
      const arc = -Math.round(empty * 250) / 250;
      if (clock.arc !== arc) clock.querySelector(".arc").setAttribute("stroke-dashoffset", clock.arc = arc);
    }
  }

  const seen = (element) => !element.checkVisibility || element.checkVisibility({ contentVisibilityAuto: true });

  function tick() {
    const now = handoff.now();
    if (document.hidden) return title(now);
    for (const clock of document.querySelectorAll(".clock[data-state]")) if (seen(clock)) show(clock, now);
    for (const since of document.querySelectorAll("[data-since]")) {
      if (seen(since)) write(since, duration(now - Number(since.dataset.since)));
    }
    const server = document.querySelector("[data-now] time");
    if (server) write(server, new Date(now).toISOString().slice(11, 19));
  }

  // A hidden tab keeps its title alone: how many run out or are missed, and the nearest.
  const plain = document.title, icon = document.getElementById("favicon"), still = icon.href;

  function title(now) {
    let urgent = 0, nearest = Infinity;
    for (const clock of document.querySelectorAll("li .row .clock[data-state]")) {
      const shape = look(clock, now);
      if (shape === "short" || shape === "missed") urgent += 1;
      if (shape === "short" || shape === "running") nearest = Math.min(nearest, Math.max(0, number(clock, "due") - now));
    }
    const text = nearest === Infinity ? "" : `${nearest < 60e3 ? "0m " : ""}${nearest < 60e3 ? String(Math.floor(nearest / 1000)).padStart(2, "0") + "s" : duration(nearest)} `;
    document.title = urgent || text ? `${urgent ? `(${urgent}) ` : ""}${text}Handoff` : plain;
    mark(urgent > 0);
  }

  function mark(urgent) {
    const wanted = urgent ? icon.dataset.dot : still;
    if (icon.href !== wanted) icon.href = wanted;
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { document.title = plain; mark(false); }
    tick();
  });

  Object.assign(handoff, {
    now: () => Date.now() + offset,
    // The median of the last five, each with half of its way added.
    heard(server, way) {
      heard.push(server + way - Date.now());
      if (heard.length > KEPT) heard.shift();
      offset = [...heard].sort((a, b) => a - b)[Math.floor(heard.length / 2)];
      tick();
    },
    duration, spoken, look, tick,
    left: (clock) => number(clock, "due") - handoff.now(),
  });
  tick();
  // Aligned to the server's seconds, so that all texts change together and in time.
  setTimeout(() => { tick(); setInterval(tick, 250); }, 250 - (handoff.now() % 250));
})();
