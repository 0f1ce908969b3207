// Try: pictures from the camera, a drop, a paste or a file; the model's answer; a wrong one goes into the data.

import { applied, cleared, choices } from "./applied.js";
import { showCamera } from "./cameras.js";
import { above, drawn, objects, swatch } from "./found.js";
import { api, element, root, say, tried } from "./page.js";
import { send } from "./upload.js";

const $ = (id) => document.getElementById(id);
const page = $("try");
let shown = null; // the picture that the answer is about
let running = false; // the camera
let last = null; // the answer that is shown

if (page) begin();

function begin() {
  if (!navigator.mediaDevices) { $("no-camera").hidden = false; $("start").hidden = true; }
  $("start").addEventListener("click", () => tried(() => start("")));
  $("stop").addEventListener("click", () => stop(true));
  $("freeze").addEventListener("click", () => stop(false));
  $("cameras").addEventListener("change", () => tried(() => start($("cameras").value)));
  for (const id of ["file", "capture"]) $(id).addEventListener("change", () => { given($(id).files[0]); $(id).value = ""; });
  const drop = $("drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    given(event.dataTransfer.files[0]);
  });
  drop.addEventListener("click", (event) => { if (event.target !== $("file")) $("file").click(); });
  drop.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); $("file").click(); } });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) given(file);
    else if (!event.target.closest?.("input")) say("There is no picture in the clipboard.", true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && running && !event.target.closest("button, input, select, [role=button]")) { event.preventDefault(); stop(false); }
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden && running) stop(false); });
  $("picture").addEventListener("load", () => URL.revokeObjectURL($("picture").src));
  $("seen")?.addEventListener("load", () => $("seen").classList.toggle("tiny", $("seen").naturalWidth <= 64));
  for (const id of ["score", "laid"]) $(id)?.addEventListener("input", () => { if (last) show(last); });
  for (const id of ["top", "size", "colours", "line"]) $(id)?.addEventListener("change", () => { if (shown && !running) tried(() => ask(shown)); });
  if ($("adding")) adding();
}

/** A file by drop, paste or choice. */
function given(file) {
  if (!file) return say("What was given is no file. Drop a picture from a folder, or choose one.", true);
  stop(true);
  emptied();
  $("picture").src = URL.createObjectURL(file);
  $("picture").hidden = false;
  $("nothing").hidden = true;
  return tried(() => ask(file));
}

async function ask(blob) {
  const found = await api("POST", page.dataset.api + choices(), blob);
  shown = blob;
  show(found);
  if ($("add")) $("add").disabled = false;
}

function emptied() {
  if ($("boxes") && $("scored")) drawn({});
  cleared();
}

function show(found) {
  say("");
  last = found;
  if (applied(found)) return;
  $("odd").hidden = found.in_distribution !== false;
  drawn(found);
  $("label").textContent = found.objects ? objects(found) : found.answer || (found.task === "captioning" ? "(no words)" : "none of the labels");
  const bars = found.objects ? above(found).map((one) => [one.label, one.score, one.colour]) : found.bars;
  const place = $("answers");
  place.classList.toggle("sentences", found.task === "captioning");
  while (place.children.length > bars.length) place.lastChild.remove();
  bars.forEach(([name, share, colour], at) => {
    if (!place.children[at]) place.append(element("div", {}, element("span", {}), element("meter", { min: 0, max: 1 }), element("b", {})));
    const [words, bar, figure] = place.children[at].children;
    words.replaceChildren(...swatch(colour || found.colours?.[name]), name);
    bar.value = share;
    bar.setAttribute("aria-label", name);
    figure.textContent = `${(100 * share).toFixed(1)} %`;
  });
  $("more").textContent = found.task === "captioning" ? "Captions that the search kept, with their shares of the probability of all of them."
    : bars.length && found.more ? `and ${found.more} more` : "";
  $("seen").src = found.seen;
  const { decode, net } = found.milliseconds;
  const away = found.threshold === null ? "" : ` Distance from the training images ${found.distance.toPrecision(3)}, threshold ${found.threshold.toPrecision(3)}.`;
  $("times").textContent = `${net} ms in the net (${found.engine}, ${found.precision}), ${decode} ms to decode and crop.${away}`;
}

async function start(device) {
  stop(true);
  await showCamera($("video"), $("cameras"), device);
  await $("video").play();
  running = true;
  controls();
  loop($("video").srcObject);
}

/** One picture after another, each when the last one is answered: the server is never behind. */
async function loop(stream) {
  while (running && $("video").srcObject === stream) {
    try {
      await ask(await frame());
    } catch (error) {
      if (error.status === 503) { // it has enough to do: a little later
        await new Promise((next) => setTimeout(next, 500));
        continue;
      }
      say(error.message, true);
      stop(true);
      return;
    }
    await new Promise((next) => requestAnimationFrame(next));
  }
}

function frame() {
  const video = $("video");
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

/** Stop the camera; the last picture stays, unless it is cleared. */
function stop(clear) {
  if (running && !clear && shown) {
    $("picture").src = URL.createObjectURL(shown);
    $("picture").hidden = false;
  } else if (clear) { $("picture").hidden = true; emptied(); }
  running = false;
  for (const track of $("video").srcObject?.getTracks() || []) track.stop();
  $("video").srcObject = null;
  controls();
}

function controls() {
  $("video").hidden = !running;
  $("label").setAttribute("aria-live", running ? "off" : "polite"); // not fifteen times a second
  if (running) $("picture").hidden = true;
  $("start").hidden = running || !navigator.mediaDevices;
  $("stop").hidden = $("freeze").hidden = !running;
  $("which").hidden = !running || $("cameras").length < 2;
  $("nothing").hidden = running || !$("picture").hidden;
}

function adding() {
  const target = $("target");
  const chosen = () => target.selectedOptions?.[0] || target;
  const classes = () => $("classes").replaceChildren(...JSON.parse(chosen().dataset.classes).map((name) => element("option", { value: name })));
  classes();
  target.addEventListener("change", classes);
  $("adding").addEventListener("submit", (event) => {
    event.preventDefault();
    tried(async () => {
      const blob = shown;
      const name = $("class").value.trim();
      if (running) stop(false);
      $("add").disabled = true;
      try {
        const got = await send(target.value, name, chosen().dataset.part, blob, blob.name || "camera.jpg");
        const again = element("a", { href: `${root}train?data=${target.value}`, textContent: "Train again" });
        $("added").replaceChildren(got.known ? `${name} has this picture already. ` : `Added to ${name}. `, again);
      } finally {
        $("add").disabled = false;
      }
    });
  });
}
