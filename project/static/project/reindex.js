// Shows how far a reindexing is, by polling. Without it the page is loaded again now and then.
// Nothing is asked while nobody looks.
"use strict";

{
  const section = document.getElementById("reindex");
  if (section) watch(section);
}

function watch(section) {
  const PERIOD = 500; // milliseconds from an answer to the next question
  const LONGEST_PAUSE = 10000;
  const bar = section.querySelector("progress");
  const said = section.querySelector("[data-said]");
  const link = section.querySelector("[data-link]");
  const again = document.querySelector("[data-again]");
  let pause = PERIOD;
  let timer = 0;
  let asking = false;
  let over = false;

  async function ask() {
    clearTimeout(timer);
    if (over || asking || document.hidden) return;
    asking = true;
    try {
      const response = await fetch(section.dataset.poll, {
        headers: { Accept: "application/json" },
        redirect: "manual",
        cache: "no-store",
      });
      // The admin sends who is not logged in to its login.
      if (response.type === "opaqueredirect" || response.status === 403) return end();
      if (!response.ok) throw new Error(`status ${response.status}`);
      show(await response.json());
      pause = PERIOD;
    } catch {
      tell("The site does not answer. It is asked again.");
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    } finally {
      asking = false;
    }
    if (!over) timer = setTimeout(ask, pause);
  }

  function show(look) {
    over = look.over;
    section.dataset.state = look.state;
    for (const part of section.querySelectorAll("[data-text]")) {
      const text = look.texts[part.dataset.text] ?? "";
      if (part.textContent !== text) part.textContent = text;
    }
    if (look.fraction === null) bar.removeAttribute("value");
    else bar.value = look.fraction;
    bar.hidden = look.over && look.fraction === null;
    section.querySelector("[data-numbers]").hidden = look.fraction === null;
    section.querySelector("[data-failures]").hidden = look.errors.length === 0;
    section.querySelector("[data-errors]").replaceChildren(...look.errors.map(item));
    if (again) again.hidden = !look.repeatable;
    if (said.textContent !== look.announcement) said.textContent = look.announcement;
    tell("");
  }

  function item(text) {
    const made = document.createElement("li");
    made.textContent = text;
    return made;
  }

  function tell(text) {
    if (link.textContent !== text) link.textContent = text;
  }

  function end() {
    over = true;
    const login = document.createElement("a");
    login.href = `${section.dataset.login}?next=${encodeURIComponent(location.pathname)}`;
    login.textContent = "Log in again";
    link.replaceChildren("You may not see this any more. ", login);
  }

  document.addEventListener("visibilitychange", ask);
  ask();
}
