// The front page's live part: the machine's load and what is searched for now. The page works
// without it.
"use strict";

(() => {
  const section = document.getElementById("live");
  if (!section) return;

  const STALE_AFTER = 4000; // milliseconds; the feed speaks every second
  const LONGEST_PAUSE = 10000;
  const SAMPLES = 60;
  const SEARCHES = 6;
  const part = (name) => section.querySelector(`[data-live="${name}"]`);
  const cpu = [];
  let heard = null;
  let pause = 500;

  const say = (state, text) => {
    section.dataset.state = state;
    const status = part("status");
    if (status.textContent !== text) status.textContent = text;
  };

  const judge = () => {
    if (heard !== null && Date.now() - heard > STALE_AFTER)
      say("stale", `Stale since ${new Date(heard).toLocaleTimeString()}`);
  };

  const draw = () => {
    const points = cpu.map((share, at) => {
      const x = ((SAMPLES - cpu.length + at) / (SAMPLES - 1)) * 100;
      return `${x.toFixed(1)},${(30 - share * 0.28).toFixed(1)}`;
    });
    part("line").setAttribute("points", points.join(" "));
  };

  const showLoad = (load) => {
    part("cpu").textContent = `${Math.round(load.cpu)} %`;
    part("memory").textContent = `${Math.round(load.memory)} %`;
    part("load").textContent = load.one_minute.toFixed(2);
    cpu.push(load.cpu);
    if (cpu.length > SAMPLES) cpu.shift();
    draw();
    part("ticks").textContent = String(Number(part("ticks").textContent) + 1);
  };

  const showSearch = (search) => {
    const link = document.createElement("a");
    link.href = `${section.dataset.search}?q=${encodeURIComponent(search.text)}`;
    link.textContent = search.text;
    const item = document.createElement("li");
    const found = document.createElement("span");
    found.className = "muted";
    found.textContent = ` ${search.found.toLocaleString()} found`;
    item.append(link, found);
    const list = part("searches");
    list.prepend(item);
    while (list.children.length > SEARCHES) list.lastElementChild.remove();
    part("nobody").hidden = true;
  };

  const connect = () => {
    const url = new URL(section.dataset.url, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.topic === "gap") return;
      heard = Date.now();
      pause = 500;
      say("live", "Live");
      if (message.topic === "load") showLoad(message);
      else if (message.topic === "search") showSearch(message);
    };
    socket.onclose = () => {
      judge();
      // Full jitter: all browsers lost the server in the same moment.
      setTimeout(connect, Math.random() * pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
  };

  section.hidden = false;
  setInterval(judge, 500);
  connect();
})();
