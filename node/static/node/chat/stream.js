// Shows an answer as it is written: words at the end of a field, then the whole answer, laid out, in its place.

import { formulasSpell } from "./formulas.js";

const told = document.getElementById("told");
const NEAR_PIXELS = 240;
const listeners = [];

// Calls `listener` with each answer that has come to its end.
export function onAnswer(listener) {
  listeners.push(listener);
}

export function follow() {
  window.scrollTo(0, document.documentElement.scrollHeight);
}

// Starts reading each kept answer in `part` that is not complete.
export function keptStart(part) {
  const found = Array.from(part.querySelectorAll("[data-stream]"));
  if (part.matches("[data-stream]")) found.push(part);
  found.forEach(keptRead);
}

function keptRead(answer) {
  const source = new EventSource(answer.getAttribute("data-stream"));
  answer.removeAttribute("data-stream");
  const show = shower(answer);
  ["place", "piece", "laid", "done"].forEach((kind) => {
    source.addEventListener(kind, (event) => {
      // A part of the page that was replaced meanwhile is nobody's to fill.
      if (kind === "done" || !answer.isConnected) source.close();
      show(kind, event.data);
    });
  });
  // The browser tries again by itself.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CONNECTING) show("place", told.getAttribute("data-away"));
  });
}

// Returns what takes the events of one answer and gives the element that shows it: `answer`, until another replaces it.
export function shower(answer) {
  const place = answer.querySelector(".place");
  const laid = answer.querySelector(".laid");
  const words = answer.querySelector(".stream");
  return (kind, text) => {
    if (!answer.isConnected) return answer;
    const page = document.documentElement;
    const isNear = page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_PIXELS;
    if (kind === "place") {
      place.textContent = text;
      told.textContent = text;
    } else if (kind === "piece") {
      place.textContent = "";
      // The node has escaped it.
      words.insertAdjacentHTML("beforeend", text);
    } else if (kind === "laid") {
      laid.innerHTML = text;
      formulasSpell(laid);
      words.textContent = "";
    } else {
      answer = finish(answer, text);
    }
    if (isNear) follow();
    return answer;
  };
}

function finish(answer, html) {
  const hadFocus = answer.contains(document.activeElement);
  const draft = document.createElement("template");
  draft.innerHTML = html;
  const complete = draft.content.firstElementChild;
  if (complete) {
    answer.replaceWith(complete);
    if (window.htmx) window.htmx.process(complete);
    listeners.forEach((listener) => listener(complete));
  } else {
    answer.remove();
  }
  told.textContent = told.getAttribute("data-ready");
  const question = document.getElementById("question");
  if (hadFocus && question) question.focus();
  return complete || answer;
}
