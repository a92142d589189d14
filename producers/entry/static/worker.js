"use strict";
// Keeps the pages of the day at hand while the line is down, and what is sent then: it waits in the browser until a page
// sends it (offline.js). Network first, always; what is kept is only a copy of what this account saw.
importScripts("/static/kept.js");

const PAGES = "pages";
const KEPT = /^\/(units\/[^/]+\/(day|forms\/.*)|static\/.*)$/;
const FORMS = /^\/units\/([^/]+)\/forms\//;

self.addEventListener("install", (event) => {
  const parts = ["/static/entry.css", "/static/entry.js", "/static/kept.js", "/static/offline.js", "/static/icon.svg"];
  event.waitUntil(caches.open(PAGES).then((cache) => cache.addAll(parts)).then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.origin !== self.location.origin) return;
  if (event.request.method === "GET" && KEPT.test(url.pathname)) event.respondWith(seen(event.request));
  if (event.request.method === "GET" && url.pathname === "/") event.respondWith(home(event.request));
  if (event.request.method === "POST" && event.request.mode === "navigate" && FORMS.test(url.pathname)) {
    event.respondWith(sent(event.request, url));
  }
});

async function seen(request) {
  const cache = await caches.open(PAGES);
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) await cache.put(request, answer.clone());
    // Logged out, or somebody else: what the last one saw is not for the next.
    if (answer.type === "opaqueredirect" || (answer.redirected && new URL(answer.url).pathname === "/login")) await forgetPages(cache);
    return answer;
  } catch (error) {
    const kept = await cache.match(request, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}

async function home(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const cache = await caches.open(PAGES);
    const day = (await cache.keys()).map((one) => new URL(one.url).pathname).find((path) => path.endsWith("/day"));
    if (day) return Response.redirect(day, 303);
    throw error;
  }
}

async function forgetPages(cache) {
  for (const one of await cache.keys()) if (!new URL(one.url).pathname.startsWith("/static/")) await cache.delete(one);
}

async function sent(request, url) {
  const body = await request.clone().text();
  try {
    return await fetch(request);
  } catch (error) {
    const fields = new URLSearchParams(body);
    const wanted = fields.get("do");
    if (!["check", "send", "nil"].includes(wanted)) return Response.redirect(url.href, 303);
    fields.set("do", wanted === "nil" ? "nil" : "send");
    const account = fields.get("account") || "";
    const label = fields.get("label") || url.pathname;
    await put("queue", { account, label, path: url.pathname + url.search, body: fields.toString(), at: Date.now(), said: "" });
    await drop("drafts", [account, url.pathname + url.search]);
    return Response.redirect(`/units/${FORMS.exec(url.pathname)[1]}/day`, 303);
  }
}
