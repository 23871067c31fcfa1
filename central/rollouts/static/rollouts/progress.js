// Shows how a rollout gets on without a reload: asks for the same values that the page was drawn with, and puts new
// texts where old ones are. Every word comes from the centre, in the reader's language; nothing here decides anything.
"use strict";

const LOOK_SECONDS = 5;
const page = document.querySelector("[data-progress-place]");

function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function badge(element, text, tone) {
  put(element, text);
  if (element) element.dataset.tone = tone;
}

function showWave(wave) {
  const card = page.querySelector(`[data-wave="${wave.pk}"]`);
  if (!card) return;
  badge(card.querySelector("[data-field=status]"), wave.status_words, wave.tone);
  for (const name of ["verdict", "ratings", "size", "share"]) put(card.querySelector(`[data-field=${name}]`), wave[name]);
  for (const part of wave.parts) {
    const bar = card.querySelector(`rect.part-${part.name}`);
    bar.setAttribute("x", part.x);
    bar.setAttribute("width", part.width);
    put(card.querySelector(`[data-part=${part.name}]`), String(part.number));
  }
}

function stepLink(step) {
  const link = document.createElement("a");
  link.className = "page-button";
  link.href = step.place;
  link.dataset.tone = step.tone;
  link.textContent = step.label;
  return link;
}

function showSteps(steps) {
  const row = page.querySelector("[data-field=steps]");
  const shown = [...row.querySelectorAll("a")].map((link) => link.getAttribute("href")).join(" ");
  // A button that somebody is on must not be taken from under the finger when nothing has changed.
  if (shown !== steps.map((step) => step.place).join(" ")) row.replaceChildren(...steps.map(stepLink));
}

function show(rollout) {
  badge(page.querySelector("[data-field=rollout-status]"), rollout.status_words, rollout.tone);
  for (const name of ["sentence", "budget", "read_at"]) put(page.querySelector(`[data-field=${name}]`), rollout[name]);
  showSteps(rollout.steps);
  rollout.waves.forEach(showWave);
}

async function look() {
  if (document.hidden) return;
  const away = page.querySelector("[data-field=away]");
  try {
    const answer = await fetch(page.dataset.progressPlace, { headers: { Accept: "application/json" }, redirect: "error" });
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
    away.hidden = true;
  } catch {
    away.hidden = false;
  }
}

if (page) setInterval(look, LOOK_SECONDS * 1000);
