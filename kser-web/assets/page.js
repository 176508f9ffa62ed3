// The page works without this script. It writes times in the zone of the reader, and gives the page its keys and copy buttons.
"use strict";

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Writes the times of an element in the zone of the reader, with the exact one at hand. */
const writeTimes = (within) => {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = `${zone.format(at)} · ${time.dateTime}`;
    if (!time.classList.contains("at")) continue;
    const isToday = at.toDateString() === new Date().toDateString();
    time.textContent = (isToday ? clock : zone).format(at);
  }
};

const copy = async (button) => {
  const text = document.getElementById(button.dataset.copy)?.textContent ?? "";
  // The clipboard is there only over HTTPS and on this machine.
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
  document.getElementById("said").textContent = "copied";
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

/** Moves the focus along the links of a list, by `j` and `k`. */
const step = (by) => {
  const links = [...document.querySelectorAll("main td.name a, main li a")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "/") document.getElementById("q")?.focus();
  else return;
  event.preventDefault();
});

for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
writeTimes(document);
