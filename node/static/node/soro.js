// The little that htmx does not do: Enter sends, the field grows with its text, new words stay in sight, and a desk has
// room for the list of conversations.
"use strict";

const question = document.getElementById("question");
const form = document.getElementById("ask");
const recent = document.querySelector("details.recent");

if (recent && window.matchMedia("(min-width: 60rem)").matches) recent.open = true;

// Browsers that know CSS field-sizing grow the field by themselves; for the others its lines are counted.
function grow() {
  question.rows = Math.min(question.value.split("\n").length, 8);
}

function isNearEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 240;
}

function follow() {
  window.scrollTo({ top: document.documentElement.scrollHeight });
}

if (question && form) {
  question.addEventListener("input", grow);
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (question.value.trim()) form.requestSubmit();
    }
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt === form && event.detail.successful) {
      question.value = "";
      grow();
      question.focus();
    }
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "turns") follow();
  });
  document.body.addEventListener("htmx:sseMessage", () => {
    if (isNearEnd()) follow();
  });
  follow();
}
