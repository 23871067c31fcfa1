// A file that is too big is told at once, and not after minutes of sending.
"use strict";

document.querySelectorAll("form[data-most-bytes]").forEach((form) => {
  const field = form.querySelector("input[type=file]");
  const told = form.querySelector("[data-too-big]");
  const isTooBig = () => field.files.length > 0 && field.files[0].size > Number(form.getAttribute("data-most-bytes"));
  field.addEventListener("change", () => {
    told.hidden = !isTooBig();
  });
  form.addEventListener("submit", (event) => {
    if (isTooBig()) event.preventDefault();
  });
});
