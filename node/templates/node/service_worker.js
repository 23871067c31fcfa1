// Keeps the shell of the page, so that a telephone outside the school's network shows a clear page and not an error.
// Pages, questions and answers are never kept: a telephone may be shared.
"use strict";

const CACHE = "{{ cache|escapejs }}";
const OFFLINE = "{{ offline|escapejs }}";
const SHELL = [{% for path in shell %}"{{ path|escapejs }}"{% if not forloop.last %}, {% endif %}{% endfor %}];

self.addEventListener("install", (event) => {
  // A session's cookie has no business in what is kept.
  const plain = [new Request(OFFLINE, { credentials: "omit", cache: "reload" })];
  event.waitUntil(
    caches.open(CACHE)
      .then((cache) => cache.addAll(plain.concat(SHELL.map((path) => new Request(path, { cache: "reload" })))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const path = new URL(event.request.url).pathname;
  if (event.request.mode === "navigate") {
    event.respondWith(fetch(event.request).catch(() => caches.match(OFFLINE)));
  } else if (event.request.method === "GET" && SHELL.indexOf(path) >= 0) {
    event.respondWith(fetch(event.request).catch(() => caches.match(path)));
  }
});
