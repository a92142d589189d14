// Keeps the figures on the page those of the read model. The server says over one open connection which version it
// has; another one than shown: fetch this very page and put its figures in place. Silence: say that they may be old.
"use strict";
(() => {
  const note = document.getElementById("live");
  let shown = document.getElementById("figures");
  if (!shown || !note || !window.EventSource) return;
  const address = shown.dataset.page;
  let heard = Date.now();
  let busy = false;
  let wanted = shown.dataset.version;

  const say = (text, lost) => {
    note.classList.toggle("lost", lost);
    if (note.textContent !== text) note.textContent = text;
  };
  const lose = () => say("Mất kết nối, số liệu có thể cũ. Đang thử lại…", true);
  const fresh = () => say("Cập nhật lúc " + shown.dataset.at, false);

  const refresh = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(address, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.getElementById("figures");
      const open = [...shown.querySelectorAll("details")].map((one) => one.open);
      const aside = [...shown.querySelectorAll(".wide")].map((one) => one.scrollLeft);
      shown.replaceWith(next);
      shown = next;
      shown.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? one.open; });
      shown.querySelectorAll(".wide").forEach((one, i) => { one.scrollLeft = aside[i] ?? 0; });
      fresh();
    } catch {
      lose();
    } finally {
      busy = false;
    }
  };

  const events = () => {
    const source = new EventSource(shown.dataset.events);
    source.addEventListener("version", (event) => {
      heard = Date.now();
      wanted = event.data;
      if (wanted !== shown.dataset.version) refresh();
      else fresh();
    });
    source.onerror = () => {
      lose();
      if (source.readyState === EventSource.CLOSED) setTimeout(events, 5000);
    };
    return source;
  };
  events();
  setInterval(() => { if (Date.now() - heard > 25000) lose(); }, 5000);
})();
