// Train: the command line follows the choices; Train starts it.

import { api, root } from "./page.js";

const form = document.getElementById("train");
if (form) {
  const { number } = form.dataset;
  const wrong = document.getElementById("wrong");
  const choices = () => ({
    name: document.getElementById("name").value,
    choices: Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim())),
  });
  let asked = 0;
  const follow = async () => {
    const mine = ++asked;
    try {
      const told = await api("POST", `api/data/${number}/command`, choices());
      if (mine !== asked) return;
      document.getElementById("command").textContent = told.command;
      wrong.textContent = "";
    } catch (error) {
      if (mine === asked) wrong.textContent = error.message;
    }
  };
  form.addEventListener("input", follow);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    document.getElementById("go").disabled = true;
    try {
      const job = await api("POST", `api/data/${number}/train`, choices());
      location.href = `${root}runs/${encodeURIComponent(job.run)}`;
    } catch (error) {
      wrong.textContent = error.message;
      document.getElementById("go").disabled = false;
    }
  });
  follow();
}
