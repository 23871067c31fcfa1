// Browsers that cannot draw MathML (Chrome before 109) would run a formula's letters together; they get it spelt out.

const canDraw = look();

export function formulasSpell(part) {
  if (canDraw) return;
  part.querySelectorAll("math[alttext]").forEach((formula) => {
    const words = document.createElement(formula.getAttribute("display") === "block" ? "div" : "span");
    words.className = "formula";
    words.textContent = formula.getAttribute("alttext");
    formula.replaceWith(words);
  });
}

// Source: MDN, "MathML: fallback for browsers without support".
function look() {
  const box = document.createElement("div");
  box.innerHTML = '<math><mspace height="23px" width="77px"/></math>';
  box.className = "unseen-but-laid-out";
  document.body.appendChild(box);
  const size = box.firstChild.firstChild.getBoundingClientRect();
  box.remove();
  return Math.abs(size.height - 23) <= 1 && Math.abs(size.width - 77) <= 1;
}
