// Inside: the net drawn, and class maps of chosen images; each is a job, whose page is shown when it is done.

import { api, onEvent, put, root, say } from "./page.js";
import { bars } from "./job.js";

const page = document.getElementById("inside");
if (page) begin();

function begin() {
  const run = encodeURIComponent(page.dataset.run);
  const places = [...document.querySelectorAll(".looking")];
  for (const place of places) {
    if ("start" in place.dataset) start(place, `api/runs/${run}/${place.dataset.what}`);
  }
  for (const button of document.querySelectorAll("[data-image]")) {
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("[data-image]")) other.closest("figure").setAttribute("aria-current", String(other === button));
      const asked = { word: page.dataset.word, image: Number(button.dataset.image), class: document.getElementById("class").value };
      start(document.querySelector("[data-what=explain]"), `api/runs/${run}/explain`, asked);
    });
  }
  onEvent((facts) => {
    for (const place of places) {
      if (place.dataset.job && (facts.reset || String(facts.job) === place.dataset.job)) {
        api("GET", `api/jobs/${place.dataset.job}`).then((told) => show(place, told), (error) => say(error.message, true));
      }
    }
  });
}

async function start(place, address, body) {
  place.classList.add("asked"); // with room for what comes: nothing moves then
  try {
    show(place, await api("POST", address, body));
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

function show(place, facts) {
  const frame = place.querySelector("iframe");
  const live = place.querySelector(".live");
  const wrong = place.querySelector("[role=alert]");
  place.dataset.job = facts.job;
  live.hidden = !["waiting", "running"].includes(facts.state);
  live.firstElementChild.textContent = facts.stage || facts.words;
  bars(place.querySelector(".bars"), facts);
  wrong.hidden = !["failed", "lost", "stopped"].includes(facts.state);
  wrong.textContent = facts.error || "It ended before it told anything; try again.";
  if (facts.state === "done") {
    frame.src = `${root}jobs/${facts.job}/page.html`;
    frame.hidden = false;
    if (place.dataset.what === "explain") frame.scrollIntoView({ block: "nearest" });
  }
  if (place.dataset.what === "explain") put("command", facts.shown);
}
