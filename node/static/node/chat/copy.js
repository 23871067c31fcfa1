// A button that copies an answer as the model wrote it, Markdown and formulas included.

const SHOWN_MILLISECONDS = 2000;

// Shows the buttons in `part`; without scripts they could do nothing.
export function copyOffer(part) {
  part.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
  });
}

export function copyStart() {
  document.body.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button, sourceOf(button.closest(".answer")));
  });
}

// Returns the answer as the model wrote it; empty where there is none.
export function sourceOf(answer) {
  const source = answer.querySelector("template.source");
  return source ? source.content.textContent : "";
}

async function copy(button, text) {
  // Browsers have a clipboard only over HTTPS or on the PC itself; the old command works everywhere.
  if (navigator.clipboard && window.isSecureContext) await navigator.clipboard.writeText(text);
  else commandCopy(text);
  const words = button.textContent;
  button.textContent = button.getAttribute("data-copied");
  window.setTimeout(() => {
    button.textContent = words;
  }, SHOWN_MILLISECONDS);
}

function commandCopy(text) {
  const field = document.createElement("textarea");
  const focused = document.activeElement;
  field.value = text;
  field.className = "unseen";
  document.body.appendChild(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  focused.focus();
}
