// Search as you type, and the keys "/", up and down. Every page works without this file.
"use strict";

(() => {
  const form = document.querySelector('form[role="search"]');
  const field = form?.elements.q;
  const results = document.getElementById("results");
  const status = document.getElementById("live-status");
  const PAUSE = 150; // milliseconds between the last key and the question

  // A long list of siblings opens at the one that is shown.
  const here = document.querySelector(".siblings [aria-current]");
  if (here) {
    const list = here.closest("ul");
    list.scrollTop = here.offsetTop - list.offsetTop - list.clientHeight / 2;
  }

  if (!form || !field) return;

  const searchUrl = () => {
    const parameters = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...parameters]) if (!value.trim()) parameters.delete(name);
    const query = parameters.toString();
    return query ? `${form.action}?${query}` : form.action;
  };

  if (results) {
    const front = { html: results.innerHTML, url: location.href };
    const onFront = document.body.classList.contains("home");
    let timer = 0;
    let asking = null;

    const show = (html, url) => {
      // The server escaped it: it is the same page that it sends to a browser without JavaScript.
      results.innerHTML = html;
      results.classList.remove("is-loading");
      history.replaceState(null, "", url);
      status.textContent = results.querySelector("[data-status]")?.textContent.trim() ?? "";
    };

    const ask = async () => {
      asking?.abort();
      if (onFront && !field.value.trim()) {
        show(front.html, front.url);
        return;
      }
      asking = new AbortController();
      const url = searchUrl();
      results.classList.add("is-loading");
      try {
        const answer = await fetch(url, {
          headers: { "X-Fragment": "results" },
          signal: asking.signal,
        });
        // A page of its own (an error of the server, say) is shown as one.
        if (!/html/.test(answer.headers.get("Content-Type") ?? "")) throw new Error("no fragment");
        const html = await answer.text();
        if (/^\s*<!doctype/i.test(html)) throw new Error("a whole page");
        show(html, url);
      } catch (error) {
        if (error.name === "AbortError") return;
        results.classList.remove("is-loading");
        status.textContent = "The search got no answer. Press Enter to try again.";
      }
    };

    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, PAUSE);
    });
  }

  const links = () => [...document.querySelectorAll("a.hit__title")];

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches?.("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "Escape" && event.target === field) {
      field.blur();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const all = links();
      const at = all.indexOf(document.activeElement);
      if (!all.length || (at < 0 && event.target !== field)) return;
      event.preventDefault();
      const next = event.key === "ArrowDown" ? at + 1 : at - 1;
      (all[next] ?? (next < 0 ? field : all[at])).focus();
    }
  });
})();
