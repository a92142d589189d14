"use strict";
// Drafts are kept while typing; what was sent without a line waits here and goes out by itself, under the same key, so that
// it counts once. What can't go is told plainly.

const account = document.body.dataset.account;
const vietnamese = document.documentElement.lang === "vi";
const say = (vi, en) => (vietnamese ? vi : en);
const here = location.pathname + location.search;
const AGAIN_MS = 15000;

function clock(at) {
  return new Date(at).toLocaleTimeString("vi-VN", { hour: "2-digit", minute: "2-digit" });
}

function fieldsOf(form) {
  const found = {};
  for (const [name, text] of new FormData(form)) if (!["csrf", "account", "label"].includes(name)) found[name] = text;
  return found;
}

// As the server wrote the page: what a browser fills in again after a reload is typed, and not there yet.
function givenTo(form) {
  const found = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    const chosen = field.options && ([...field.options].find((option) => option.defaultSelected) || field.options[0]);
    found[field.name] = chosen ? chosen.value : field.defaultValue;
  }
  return found;
}

function fillIn(form, fields) {
  const more = document.getElementById("more");
  while (more && Number(form.elements.rows.value) < Number(fields.rows || 0)) addRow(more);
  for (const [name, text] of Object.entries(fields)) {
    const field = form.elements[name];
    if (field && !["rows", "after"].includes(name)) field.value = text;
  }
  judge();
}

async function keepDraft() {
  await put("drafts", { account, path: here, fields: fieldsOf(sheet), at: Date.now() });
}

function notice(text, ...parts) {
  const place = document.createElement("p");
  place.className = "notice";
  place.setAttribute("role", "status");
  place.append(text, " ", ...parts);
  sheet.before(place);
  return place;
}

function button(text, work) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "second";
  made.textContent = text;
  made.addEventListener("click", work);
  return made;
}

async function findDraft() {
  const draft = await one("drafts", [account, here]);
  if (!draft || document.getElementById("summary")) return;
  const given = givenTo(sheet);
  if (Object.entries(draft.fields).every(([name, text]) => name === "key" || given[name] === text)) {
    // The server has it all already: what was just submitted for approval, for one.
    await drop("drafts", [account, here]);
    return;
  }
  const newer = draft.fields.after !== sheet.elements.after.value;
  const place = notice(
    newer ? say(`Có số nhập dở lúc ${clock(draft.at)}, nhưng báo cáo đã có bản mới hơn.`, `Numbers typed at ${clock(draft.at)} are kept, but the report has another revision by now.`)
      : say(`Đã điền lại số nhập dở lúc ${clock(draft.at)}.`, `Filled in what was typed at ${clock(draft.at)}.`),
    ...(newer ? [button(say("Điền lại", "Fill in"), () => { fillIn(sheet, draft.fields); place.remove(); })] : []),
    button(say("Bỏ", "Discard"), async () => { await drop("drafts", [account, here]); location.reload(); }),
  );
  if (!newer) fillIn(sheet, draft.fields);
}

async function sendOne(kept) {
  const fields = new URLSearchParams(kept.body);
  fields.set("csrf", document.body.dataset.csrf);
  const answer = await fetch(kept.path, {
    method: "POST", body: fields, headers: { Accept: "application/json" }, credentials: "same-origin",
  });
  const said = (answer.headers.get("content-type") || "").includes("json") ? await answer.json() : {};
  if (answer.ok) {
    await drop("queue", kept.id);
    return said.next || "";
  }
  if (answer.status === 412) kept.said = say("đã có bản mới hơn: mở ra, xem lại rồi gửi", "another revision came first: open it, look, then send");
  else if (answer.status === 422) kept.said = said.detail || (said.faults || []).map((fault) => fault.said).join(" ");
  else if (answer.status === 401) kept.said = say("hãy đăng nhập lại", "log in again");
  else if (answer.status < 500 && answer.status !== 429) kept.said = said.detail || String(answer.status);
  else kept.said = "";
  await put("queue", kept);
  return "";
}

async function tellWaiting(gone) {
  const place = document.getElementById("waiting");
  const waiting = (await all("queue")).filter((kept) => kept.account === account);
  place.hidden = !waiting.length && !gone.length;
  place.replaceChildren();
  if (waiting.length) {
    const head = document.createElement("p");
    head.textContent = say(`${waiting.length} báo cáo chờ gửi, sẽ tự gửi khi có đường truyền.`, `${waiting.length} reports wait and go out by themselves when the line is back.`);
    const list = document.createElement("ul");
    for (const kept of waiting) {
      const line = document.createElement("li");
      const link = document.createElement("a");
      link.href = kept.path;
      link.textContent = kept.label;
      line.append(link, ` (${clock(kept.at)})`, kept.said ? `: ${kept.said} ` : "");
      if (kept.said) {
        line.append(button(say("Mở lại để sửa", "Open and mend"), async () => {
          await put("drafts", { account, path: kept.path, fields: Object.fromEntries(new URLSearchParams(kept.body)), at: kept.at });
          await drop("queue", kept.id);
          location.assign(kept.path);
        }));
      }
      list.append(line);
    }
    place.append(head, list);
  }
  for (const address of gone) {
    const line = document.createElement("p");
    const link = document.createElement("a");
    link.href = address;
    link.textContent = say("Báo cáo chờ đã gửi xong: xem thông báo tiếp nhận", "What waited was sent: see its receipt");
    line.append(link);
    place.append(line);
  }
}

const gone = [];
let sending = false;

async function sendWaiting() {
  if (sending) return;
  sending = true;
  try {
    for (const kept of (await all("queue")).filter((one) => one.account === account)) {
      const address = await sendOne(kept);
      if (address) gone.push(address);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the line is down: it stays
  } finally {
    sending = false;
    await tellWaiting(gone);
  }
}

async function begin() {
  if (sheet) {
    const label = document.querySelector("h1").innerText.replaceAll("\n", ", ");
    for (const [name, value] of [["account", account], ["label", label]]) {
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name, value });
      sheet.append(field);
    }
    await findDraft();
    sheet.addEventListener("input", keepDraft);
  }
  // What was sent needs no draft any more: the receipt's page says so.
  const done = document.querySelector("[data-done]");
  if (done) await drop("drafts", [account, done.dataset.done]);
  const leave = document.getElementById("leave");
  leave.form.addEventListener("submit", () => caches.delete("pages"));
  window.addEventListener("online", sendWaiting);
  setInterval(sendWaiting, AGAIN_MS);
  await sendWaiting();
  if ("serviceWorker" in navigator) {
    await navigator.serviceWorker.register("/worker.js");
    await navigator.serviceWorker.ready;
    // The day's forms are at hand before the line goes.
    if (navigator.serviceWorker.controller && navigator.onLine) {
      for (const link of [...document.querySelectorAll(".set .act a.button")].slice(0, 12)) await fetch(link.href).catch(() => null);
    }
    document.documentElement.dataset.offline = "ready";
  }
}

begin();
