// A chat that is not stored: its turns are in this page's memory alone, and go to the node with each question.
import { composerClear, lost } from "./composer.js";
import { sourceOf } from "./copy.js";
import { follow, shower } from "./stream.js";

export function passingStart() {
  const form = document.querySelector("form[data-passing]");
  if (!form) return;
  const said = [];
  let leaving = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (leaving) return;
    leaving = new AbortController();
    ask(form, said, leaving).then(() => {
      leaving = null;
    });
  });
}

async function ask(form, said, leaving) {
  const question = document.getElementById("question");
  const problem = document.getElementById("problem");
  const words = question.value.trim();
  problem.textContent = "";
  const fields = new FormData(form);
  fields.append("history", JSON.stringify(said.slice(-4)));
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: fields,
      credentials: "same-origin",
      headers: { "HX-Request": "true" },
      signal: leaving.signal,
    });
    if (!response.ok) {
      problem.innerHTML = await response.text();
      return;
    }
    composerClear(question);
    const answer = turnAdd(words, leaving);
    const text = await answerRead(response, answer);
    // What has no answer is nothing to go on from.
    if (text) said.push({ question: words, answer: text });
  } catch (error) {
    if (error.name !== "AbortError") lost(problem);
  }
}

function turnAdd(words, leaving) {
  const turn = document.getElementById("passing-turn").content.cloneNode(true).firstElementChild;
  turn.querySelector(".words").textContent = words;
  turn.querySelector(".stop").addEventListener("click", () => {
    leaving.abort();
    turn.querySelector(".under").remove();
    turn.querySelector(".answer").removeAttribute("aria-busy");
  });
  document.getElementById("turns").appendChild(turn);
  const welcome = document.getElementById("welcome");
  if (welcome) welcome.remove();
  follow();
  return turn.querySelector(".answer");
}

async function answerRead(response, answer) {
  const show = shower(answer);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return sourceOf(answer);
    const events = (waiting + decoder.decode(value, { stream: true })).split("\n\n");
    waiting = events.pop();
    events.forEach((event) => {
      answer = show(...eventRead(event));
    });
  }
}

// Source: HTML standard, §9.2.6.
function eventRead(text) {
  const lines = text.split("\n");
  const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
  return [lines[0].slice("event: ".length), data.join("\n")];
}
