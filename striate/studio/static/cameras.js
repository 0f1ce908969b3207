// A camera on a page: the wanted or the back one shown in a video, and all of them in a list to choose from.

import { element } from "./page.js";

export async function showCamera(video, list, device) {
  const wanted = { width: 640, height: 480, ...(device ? { deviceId: { exact: device } } : { facingMode: "environment" }) };
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
  } catch (error) {
    throw new Error(error.name === "NotAllowedError" ? "The browser was told not to give the camera. Allow it in the address bar, then start again."
      : "No camera was found, or another program uses it.");
  }
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
  const now = video.srcObject.getVideoTracks()[0].getSettings().deviceId;
  list.replaceChildren(...cameras.map((one, place) =>
    element("option", { value: one.deviceId, textContent: one.label || `Camera ${place + 1}`, selected: one.deviceId === now })));
}
