"use strict";
// The entry page as one types: sums, computed columns, checks. The server checks everything again; without this script
// the page works all the same.

const sheet = document.getElementById("sheet");

function numberOf(text) {
  const plain = text.replace(/[\s\u00a0\u202f]/g, "").replace("−", "-");
  if (!/^-?(\d{1,3}(\.\d{3})+|\d{1,15})$/.test(plain)) return null;
  return Number(plain.replaceAll(".", ""));
}

function grouped(number) {
  return String(number).replace("-", "−").replace(/\B(?=(\d{3})+$)/g, ".");
}

// A rule is a name, a number, or an operator and what it joins (schemas/expression.py, Tree). Nothing is evaluated as code.
function valueOf(tree, values) {
  if (typeof tree === "string") return values[tree];
  if (typeof tree === "number") return tree;
  const [sign, ...parts] = tree;
  const found = parts.map((part) => valueOf(part, values));
  switch (sign) {
    case "+": return found[0] + found[1];
    case "-": return found[0] - found[1];
    case "*": return found[0] * found[1];
    case "==": return found[0] === found[1];
    case "!=": return found[0] !== found[1];
    case "<": return found[0] < found[1];
    case "<=": return found[0] <= found[1];
    case ">": return found[0] > found[1];
    case ">=": return found[0] >= found[1];
    case "neg": return -found[0];
    case "not": return !found[0];
    case "and": return found.every(Boolean);
    default: return found.some(Boolean);
  }
}

function namesIn(tree) {
  if (typeof tree === "string") return [tree];
  return Array.isArray(tree) ? tree.slice(1).flatMap(namesIn) : [];
}

function rowsOf(form) {
  return [...form.querySelectorAll("fieldset.row")].map((row) => {
    const cells = [...row.querySelectorAll("input[data-number]")];
    const values = {};
    for (const cell of cells) values[cell.name.slice(cell.name.indexOf(".") + 1)] = numberOf(cell.value);
    return { prefix: `r${row.dataset.row}`, values, blank: cells.every((cell) => !cell.value.trim()) };
  });
}

function said(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? grouped(values[name]) : whole));
}

function tell(id, text, refuses) {
  const place = document.getElementById(id);
  if (place && place.textContent !== text) {
    place.textContent = text;
    place.classList.toggle("refuses", refuses);
  }
}

function judgeRow(rules, row) {
  const told = {};
  for (const rule of rules) {
    const known = namesIn(rule.tree).every((name) => typeof row.values[name] === "number");
    if (rule.computes) {
      const output = document.querySelector(`[data-computes="${row.prefix}.${rule.beside}"]`);
      const there = namesIn(rule.computes).every((name) => typeof row.values[name] === "number");
      if (output) {
        output.textContent = there ? `= ${grouped(valueOf(rule.computes, row.values))}` : "";
        output.classList.toggle("off", known && !valueOf(rule.tree, row.values));
      }
    }
    if (known && !told[rule.beside] && !valueOf(rule.tree, row.values)) told[rule.beside] = [said(rule.said, row.values), rule.refuses];
  }
  for (const name of Object.keys(row.values)) tell(`${row.prefix}.${name}-live`, ...(told[name] || ["", false]));
}

function judge() {
  const rules = JSON.parse(sheet.dataset.rules);
  const rows = rowsOf(sheet);
  for (const row of rows) judgeRow(rules.filter((rule) => !rule.over_table), row);
  const sums = {};
  for (const row of rows) for (const [name, value] of Object.entries(row.values)) sums[name] = (sums[name] || 0) + (value || 0);
  for (const output of sheet.querySelectorAll("[data-sum]")) output.textContent = grouped(sums[output.dataset.sum] || 0);
  const broken = rows.every((row) => row.blank) ? undefined : rules.find((rule) => rule.over_table && !valueOf(rule.tree, sums));
  tell("table-live", broken ? said(broken.said, sums) : "", Boolean(broken && broken.refuses));
}

function addRow(button) {
  const last = sheet.querySelector("fieldset.row:last-of-type");
  const at = sheet.querySelectorAll("fieldset.row").length;
  const row = last.cloneNode(true);
  row.dataset.row = at;
  row.querySelector("legend").textContent = row.querySelector("legend").textContent.replace(/\d+$/, "").trim() && button.dataset.row ? `${button.dataset.row} ${at + 1}` : `${at + 1}`;
  for (const part of row.querySelectorAll("*")) {
    for (const name of ["id", "name", "for", "aria-describedby", "data-computes"]) {
      if (part.hasAttribute(name)) part.setAttribute(name, part.getAttribute(name).replaceAll(/\br\d+\./g, `r${at}.`));
    }
    part.removeAttribute("aria-invalid");
    part.removeAttribute("autofocus");
    if (part.matches("input[data-number]")) part.value = "";
    if (part.matches("select")) part.selectedIndex = 0;
    if (part.matches(".said, output")) part.textContent = "";
  }
  last.after(row);
  sheet.elements.rows.value = at + 1;
  row.querySelector("select, input").focus();
  judge();
}

if (sheet) {
  sheet.addEventListener("input", judge);
  // Enter goes on to the next number, as in a table; the last one sends.
  sheet.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input[data-number]")) return;
    const cells = [...sheet.querySelectorAll("input[data-number]")];
    const next = cells[cells.indexOf(event.target) + 1];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.select();
  });
  const more = document.getElementById("more");
  if (more) more.addEventListener("click", (event) => { event.preventDefault(); addRow(more); });
  const zeros = document.getElementById("zeros");
  zeros.addEventListener("click", (event) => {
    event.preventDefault();
    const all = !more;
    for (const row of sheet.querySelectorAll("fieldset.row")) {
      const cells = [...row.querySelectorAll("input[data-number]")];
      if (!all && cells.every((cell) => !cell.value.trim())) continue;
      for (const cell of cells) if (!cell.value.trim() && !("optional" in cell.dataset)) cell.value = "0";
    }
    judge();
    sheet.dispatchEvent(new Event("input", { bubbles: true }));
  });
  judge();
}

const summary = document.getElementById("summary");
if (summary) summary.focus();
