// The chat page. Written for the browsers that old telephones have: what Chrome 64 does not know is not used here.
import { composerStart } from "./composer.js";
import { copyStart, copyOffer } from "./copy.js";
import { formulasSpell } from "./formulas.js";
import { passingStart } from "./passing.js";
import { follow, keptStart, onAnswer } from "./stream.js";

const recent = document.querySelector("details.recent");
if (recent && window.matchMedia("(min-width: 60rem)").matches) recent.open = true;

// Gives what is new on the page all that scripts add to it.
function dress(part) {
  copyOffer(part);
  formulasSpell(part);
  keptStart(part);
  const welcome = document.getElementById("welcome");
  if (welcome && document.querySelector(".turn")) welcome.remove();
}

onAnswer(dress);
document.body.addEventListener("htmx:load", (event) => dress(event.detail.elt));
dress(document.body);
copyStart();
composerStart();
passingStart();
if (document.querySelector(".turn")) follow();
