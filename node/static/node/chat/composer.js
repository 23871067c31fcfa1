// The field for the question: it grows, Enter sends, Tajik letters are a tap away, and nothing written is lost.

export function composerStart() {
  const question = document.getElementById("question");
  const form = document.getElementById("ask");
  if (!question || !form) return;
  question.addEventListener("input", () => grow(question));
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.querySelector("button[type=submit]").click();
    }
  });
  lettersStart(question);
  sendingStart(form, question);
}

// Browsers that know CSS field-sizing grow the field by themselves; for the others its lines are counted.
function grow(question) {
  question.rows = Math.min(question.value.split("\n").length, 8);
}

export function composerClear(question) {
  question.value = "";
  grow(question);
  // On a telephone the focus would bring the keyboard up before the answer.
  if (window.matchMedia("(hover: hover)").matches) question.focus();
}

function lettersStart(question) {
  const letters = document.querySelector(".letters");
  letters.hidden = false;
  // The field keeps the focus, and with it a telephone its keyboard.
  letters.addEventListener("pointerdown", (event) => event.preventDefault());
  letters.addEventListener("click", (event) => {
    const letter = event.target.getAttribute("data-letter");
    if (!letter) return;
    const at = question.selectionStart;
    const before = question.value.slice(0, at);
    const isCapital = event.shiftKey || /[.!?]\s+$|^\s*$/.test(before);
    question.setRangeText(isCapital ? letter.toUpperCase() : letter, at, question.selectionEnd, "end");
    question.dispatchEvent(new Event("input"));
    // Whoever came here by keyboard stays here.
    if (event.detail > 0) question.focus();
  });
}

function sendingStart(form, question) {
  const problem = document.getElementById("problem");
  document.body.addEventListener("htmx:beforeRequest", () => {
    problem.textContent = "";
  });
  document.body.addEventListener("htmx:sendError", () => lost(problem));
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt === form && event.detail.successful) composerClear(question);
  });
}

export function lost(problem) {
  const words = document.createElement("p");
  words.className = "note bad";
  words.textContent = problem.getAttribute("data-lost");
  problem.textContent = "";
  problem.appendChild(words);
}
