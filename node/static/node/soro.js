// On every page: the worker that knows what to show when the school's PC is away.
"use strict";

// Browsers offer it only over HTTPS or on the PC itself.
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register(document.currentScript.getAttribute("data-worker"), { scope: "/" });
}
