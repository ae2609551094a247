// Live updates: who calls, and what others changed. One tab of the browser holds the stream and tells the others.
(() => {
  "use strict";
  const french = document.documentElement.lang === "fr";
  const say = (english, other) => (french ? other : english);
  const prefix = location.pathname.split("/ui")[0];
  const main = document.querySelector("main[data-stream]");
  if (!main) return;
  const channel = new BroadcastChannel("cx-events" + prefix);
  const LONGEST_HIDDEN = 600000;

  const part = async (path, id) => {
    const response = await fetch(prefix + path);
    if (!response.ok || response.redirected) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html").getElementById(id);
  };

  // The card of a caller stays until it is closed, or until the next call.
  const pop = document.createElement("aside");
  pop.className = "card pop";
  pop.setAttribute("role", "status");
  pop.setAttribute("aria-label", say("Call", "Appel"));
  pop.tabIndex = -1;
  pop.hidden = true;
  document.body.append(pop);
  // A new stream repeats the calls of the last seconds. The last one that was closed or opened stays closed.
  let shown = ["", 0];
  const closed = () => JSON.parse(localStorage.getItem("cx-call" + prefix) || '["", 0]');
  const isAfter = (one, other) => one[0] > other[0] || (one[0] === other[0] && one[1] > other[1]);
  const close = () => { pop.hidden = true; };
  const dismiss = () => { localStorage.setItem("cx-call" + prefix, JSON.stringify(shown)); close(); channel.postMessage({ type: "close" }); };
  pop.addEventListener("click", (event) => { if (event.target.closest("a")) dismiss(); });
  const ring = async (call) => {
    const list = document.getElementById("ringing");
    if (list) {
      const calls = await part("/ui/phone-calls/now", "ringing");
      return calls && list.isConnected && list.replaceWith(calls);
    }
    const own = [call.at, call.ring];
    if (!call.pops || !isAfter(own, shown) || !isAfter(own, closed())) return;
    shown = own;
    const card = await part("/ui/phone-calls/card?number=" + encodeURIComponent(call.number), "caller");
    if (!card || shown !== own) return;
    const button = document.createElement("button");
    button.className = "link";
    button.textContent = say("Close", "Fermer");
    button.addEventListener("click", dismiss);
    pop.replaceChildren(...card.childNodes, button);
    pop.hidden = false;
  };
  addEventListener("keydown", (event) => {
    if (event.altKey && event.code === "KeyC" && !pop.hidden) { event.preventDefault(); pop.focus(); }
    else if (event.key === "Escape" && pop.contains(document.activeElement)) dismiss();
  });

  // A page whose records were changed after it was read says so, and moves nothing.
  const { follows, id, seen } = main.dataset;
  const changed = (change) => {
    const isShown = !change || (change.resource === follows && (!id || String(change.resource_id) === id) && change.at > seen);
    if (!isShown || !follows || main.querySelector("[data-changed]")) return;
    const note = document.createElement("p"), link = document.createElement("a");
    note.className = "notice";
    note.setAttribute("role", "status");
    note.dataset.changed = "";
    link.href = location.href;
    link.textContent = say("Load", "Recharger");
    note.append(say("This was changed just now. ", "Ceci vient d’être modifié. "), link);
    main.prepend(note);
  };

  const hear = ({ type, data }) => {
    if (type === "ring") ring(data);
    else if (type === "changed") changed(data);
    else if (type === "reset") changed();
    else if (type === "close") close();
  };
  channel.addEventListener("message", (event) => hear(event.data));

  // Resolves when this tab gives the stream up: after ten minutes in the background, or with the session.
  const listen = () => new Promise((done) => {
    const source = new EventSource(prefix + "/ui/events");
    let timer;
    const end = () => { source.close(); document.removeEventListener("visibilitychange", look); done(); };
    const look = () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => { end(); addEventListener("visibilitychange", hold, { once: true }); }, LONGEST_HIDDEN);
    };
    for (const type of ["ring", "changed", "reset"]) {
      source.addEventListener(type, (event) => {
        const told = { type, data: JSON.parse(event.data) };
        hear(told);
        channel.postMessage(told);
      });
    }
    source.addEventListener("bye", end);
    // Too many streams are open, or the session has ended.
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) { end(); setTimeout(hold, 30000); } });
    document.addEventListener("visibilitychange", look);
    look();
  });
  // Without https a browser has no locks: then each tab has a stream of its own.
  const hold = () => (navigator.locks ? navigator.locks.request("cx-events" + prefix, listen) : listen());
  hold();
})();
