/* Keeps the pools' pages up to date: by the status consumer's WebSocket where the page names one,
   else by polling. The HTML is the server's; what of it differs is put into the page, so that focus,
   scrolling, selection and what is folded out stay as they are. Nothing happens in a hidden tab. */

"use strict";

{
  const controls = document.querySelector(".pools-controls");
  const live = document.getElementById("pools-live");
  if (controls && live) watch(controls, live);
}

function watch(controls, live) {
  const { poll, socket, alias, login } = controls.dataset;
  const every = controls.querySelector("select");
  const link = document.getElementById("pools-link");
  const said = document.getElementById("pools-said");
  const KEY = "poolapp-every";
  const GRACE = 3; // seconds beyond two periods before what is shown counts as stale
  const SOCKET_FAILURES = 3; // in a row, until the page polls for good

  let last = new Date(); // when what is shown came
  let way = ""; // how it came
  let channel = null; // the open WebSocket
  let failures = 0;
  let request = null; // what ends the running fetch
  let timer = 0;
  let over = false; // the user may not see it any more

  const seconds = () => Number(every.value);
  const active = () => !over && !document.hidden && seconds() > 0;

  function start() {
    stop();
    tell();
    if (!active()) return;
    if (socket && failures < SOCKET_FAILURES) listen();
    else ask();
  }

  function stop() {
    clearTimeout(timer);
    if (request) request.abort();
    request = null;
    if (channel) {
      const closing = channel;
      channel = null;
      closing.close();
    }
  }

  function again(then, wait) {
    clearTimeout(timer);
    timer = setTimeout(then, wait * 1000);
  }

  // -- by WebSocket

  function listen() {
    const address = new URL(socket, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("every", seconds());
    if (alias) address.searchParams.set("alias", alias);
    const mine = new WebSocket(address);
    channel = mine;
    mine.addEventListener("message", (event) => {
      if (mine !== channel) return;
      failures = 0;
      way = "Live";
      show(JSON.parse(event.data));
    });
    mine.addEventListener("close", () => {
      if (mine !== channel) return; // closed from here
      channel = null;
      failures += 1;
      // Polling finds out why: the server is away, or the login has ended.
      ask();
    });
  }

  // -- by polling

  async function ask() {
    const address = new URL(poll, location.href);
    if (alias) address.searchParams.set("alias", alias);
    const mine = new AbortController();
    request = mine;
    try {
      const response = await fetch(address, {
        headers: { Accept: "application/json" },
        redirect: "manual",
        cache: "no-store",
        signal: mine.signal,
      });
      // The admin sends who is not logged in to its login.
      if (response.type === "opaqueredirect" || response.status === 403) return end();
      if (!response.ok) throw new Error(`status ${response.status}`);
      const message = await response.json();
      way = "Polling";
      show(message);
    } catch {
      if (mine.signal.aborted) return;
      tell();
    }
    if (request !== mine || !active()) return;
    request = null;
    const retry = socket && failures < SOCKET_FAILURES;
    again(retry ? listen : ask, seconds());
  }

  // -- showing

  function show(message) {
    last = new Date();
    const parsed = new DOMParser().parseFromString(message.html, "text/html");
    const focused = document.activeElement;
    merge(live, parsed.body);
    if (focused !== document.activeElement && live.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    if (said.dataset.last !== undefined && said.dataset.last !== message.announcement) {
      said.textContent = message.announcement;
    }
    said.dataset.last = message.announcement;
    tell();
  }

  function tell() {
    const age = (Date.now() - last) / 1000;
    const stale = over || (active() && age > 2 * seconds() + GRACE);
    live.classList.toggle("pools-stale", stale);
    link.classList.toggle("pools-stale-since", stale);
    const since = last.toLocaleTimeString();
    let text = way;
    if (stale) text = `Stale since ${since}.`;
    else if (!seconds()) text = "";
    if (over) {
      const again = document.createElement("a");
      again.href = `${login}?next=${encodeURIComponent(location.pathname)}`;
      again.textContent = "Log in again";
      link.replaceChildren(`${text} You may not see the pools any more. `, again);
    } else if (link.textContent !== text) {
      link.textContent = text;
    }
    if (stale && !said.dataset.stale) {
      said.textContent = `What is shown is stale since ${since}.`;
      said.dataset.stale = "yes";
    } else if (!stale && said.dataset.stale) {
      said.textContent = "Up to date again.";
      delete said.dataset.stale;
    }
  }

  function end() {
    over = true;
    stop();
    tell();
  }

  // -- when

  try {
    const kept = localStorage.getItem(KEY);
    if ([...every.options].some((each) => each.value === kept)) every.value = kept;
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  every.addEventListener("change", () => {
    try {
      localStorage.setItem(KEY, every.value);
    } catch {
      // The same.
    }
    failures = 0;
    start();
  });
  document.addEventListener("visibilitychange", start);
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) start();
  });
  setInterval(tell, 1000);
  controls.hidden = false;
  start();
}

/* -- making one tree like another -- */

function merge(from, to) {
  const keyed = new Map();
  for (const each of from.children) {
    if (each.dataset.key) keyed.set(each.dataset.key, each);
  }
  let at = from.firstChild;
  for (const next of [...to.childNodes]) {
    const key = keyOf(next);
    let match = null;
    if (key) match = keyed.get(key) ?? null;
    else if (at && !keyOf(at) && at.nodeName === next.nodeName) match = at;
    if (match && match.nodeName === next.nodeName) {
      if (match === at) at = at.nextSibling;
      else from.insertBefore(match, at);
      become(match, next);
    } else {
      from.insertBefore(document.importNode(next, true), at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function become(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !isOwn(from, name)) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !isOwn(from, name)) from.removeAttribute(name);
  }
  merge(from, to);
}

function keyOf(node) {
  return node.dataset?.key ?? "";
}

/* What the reader has folded out is theirs. */
function isOwn(element, name) {
  return name === "open" && element.nodeName === "DETAILS";
}
