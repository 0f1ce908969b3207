// Recording classes with the camera: a card for each, hold to record; every frame is an upload.

import { showCamera } from "./cameras.js";
import { api, element, root, say, tried } from "./page.js";
import { send } from "./upload.js";

const PERIOD = 125; // milliseconds between two frames
const $ = (id) => document.getElementById(id);
let number = 0;

/** Set the section up. */
export function camera() {
  if (!navigator.mediaDevices) {
    $("no-camera").hidden = false;
    $("camera-start").querySelector("button").hidden = true;
  }
  $("camera-start").addEventListener("submit", (event) => { event.preventDefault(); tried(start); });
  $("add-class").addEventListener("click", () => tried(addClass));
  $("class-name").addEventListener("keydown", (event) => { if (event.key === "Enter") tried(addClass); });
  $("cameras").addEventListener("change", () => tried(() => open($("cameras").value)));
  $("capture").addEventListener("change", () => tried(captured));
}

async function made() {
  if (!number) number = (await api("POST", "api/data", { name: $("camera-name").value || "photographs" })).number;
  $("camera-done").href = `${root}data/${number}`;
  return number;
}

async function start() {
  await open("");
  await made();
  $("camera").hidden = false;
  $("class-name").focus();
}

async function open(device) {
  for (const track of $("video").srcObject?.getTracks() || []) track.stop();
  await showCamera($("video"), $("cameras"), device);
}

async function addClass() {
  const name = $("class-name").value.trim();
  if (!name) throw new Error("Name the class first, such as cup.");
  if ([...document.querySelectorAll("#classes b")].some((one) => one.textContent === name)) throw new Error(`There is a card for ${name} already.`);
  const count = element("small", { textContent: "no images yet" });
  const hold = element("button", { type: "button", textContent: "Hold to record" });
  const card = element("li", {}, element("div", {}, element("b", { textContent: name }), count), hold);
  $("classes").append(card);
  $("class-name").value = "";
  say("");
  let taken = 0;
  let timer = 0;
  const shot = async () => {
    const blob = await frame();
    await send(number, name, "", blob, "camera.jpg");
    count.textContent = `${++taken} images`;
    $("camera-done").hidden = false;
  };
  const stop = () => { clearInterval(timer); timer = 0; hold.classList.remove("recording"); };
  const begin = () => {
    if (timer) return;
    hold.classList.add("recording");
    const again = () => shot().catch((error) => { stop(); say(error.message, true); });
    again();
    timer = setInterval(again, PERIOD);
  };
  hold.addEventListener("pointerdown", (event) => { hold.setPointerCapture(event.pointerId); begin(); });
  for (const kind of ["pointerup", "pointercancel", "blur"]) hold.addEventListener(kind, stop);
  hold.addEventListener("keydown", (event) => { if (event.key === " " && !event.repeat) { event.preventDefault(); begin(); } });
  hold.addEventListener("keyup", (event) => { if (event.key === " ") { event.preventDefault(); stop(); } });
  hold.focus();
}

function frame() {
  const video = $("video");
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

async function captured() {
  const name = $("capture-class").value.trim();
  if (!name) throw new Error("Name the class of these photographs first, then choose them again.");
  await made();
  for (const file of $("capture").files) await send(number, name, "", file, file.name);
  say(`${$("capture").files.length} photographs of ${name} are there.`);
  location.href = `${root}data/${number}`;
}
