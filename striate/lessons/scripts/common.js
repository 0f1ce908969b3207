"use strict";
// What the pages share. Functions that compute touch no document: a test runs them alone.
const MINUS = "\u2212";
const said = (value, digits = 3) => {
  if (!Number.isFinite(value)) return "\u2013";
  let text = value.toFixed(digits);
  if (text.includes(".")) text = text.replace(/0+$/, "").replace(/\.$/, "");
  return (text === "-0" ? "0" : text).replace("-", MINUS);
};
const amount = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const range = (count) => Array.from({ length: count }, (_, place) => place);
const byId = (name) => document.getElementById(name);
const given = () => JSON.parse(byId("data").textContent);
const number = (name) => Number(byId(name).value);
const ticked = (name) => byId(name).checked;
const say = (name, text) => { byId(name).textContent = text; };
const sayValue = (name, text) => {
  say(name + "-said", text);
  byId(name).setAttribute("aria-valuetext", text);
};

const element = (name, attributes = {}, ...inner) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inner);
  return made;
};
const drawn = (name, attributes = {}, ...inner) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inner);
  return made;
};

// The rows of a table's body: the first cell is words, the others are numbers; a cell may have several parts.
const fillTable = (name, rows) => byId(name).tBodies[0].replaceChildren(...rows.map((row) => element("tr", {},
  ...row.map((cell, place) => element(place ? "td" : "th", place ? { class: "num" } : { scope: "row" }, ...[cell].flat())))));

// Shows the controls and calls `change` whenever one of them changes.
const listen = (names, change) => {
  for (const part of document.querySelectorAll(".live")) part.hidden = false;
  for (const name of names) byId(name).addEventListener("input", change);
};
