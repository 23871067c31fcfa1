// Keys of the reviewer's page. They count only while the card has the focus and no text is being written, so that nobody
// who types, or whose screen reader has keys of its own, judges a rating by accident.
"use strict";

(() => {
  const card = document.getElementById("review");
  if (card === null) {
    return;
  }
  const correction = card.querySelector("[name=correction]");
  const isWriting = (target) => target.matches("textarea, input, select");
  const press = (selector) => card.querySelector(selector).click();
  const keys = {
    a: () => press("button[value=accept]"),
    r: () => press("button[value=reject]"),
    s: () => press("#review-skip"),
    e: () => correction !== null && correction.focus(),
    p: () => {
      const personal = card.querySelector("#review-personal");
      personal.open = true;
      personal.querySelector("textarea").focus();
    },
  };

  card.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isWriting(event.target)) {
      card.focus();
      return;
    }
    if (isWriting(event.target) || event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    // By the place of the key, so that it is the same one on a Tajik or Russian keyboard.
    const key = event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : "";
    if (key in keys) {
      event.preventDefault();
      keys[key]();
    }
  });
  card.focus();
})();
