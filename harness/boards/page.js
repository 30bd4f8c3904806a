"use strict";
// Sorts, filters and pages the rows that stand in #data; details come from runs/<digest>.js when they are asked for.
// Whatever a model wrote reaches the page through textContent alone.
const DATA = JSON.parse(document.getElementById("data").textContent);
const PAGE = 100;
const FIELDS = DATA.fields;
const place = Object.fromEntries(FIELDS.map((name, index) => [name, index]));
const get = (row, name) => row[place[name]];
const board = (row) => DATA.boards[get(row, "board")];
const name = (row) => [get(row, "model"), get(row, "decoder")].filter(Boolean).join(" + ");
const node = (tag, text, attributes = {}) => {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const digits = (value, count) => Number(value.toPrecision(count)).toString();
const three = (value) => (Math.abs(value) >= 1000 && Math.abs(value) < 1e7 ? Math.round(value).toLocaleString("en") : digits(value, 3));
const scaled = (value, steps) => { for (const [scale, unit] of steps) if (value >= scale) return digits(value / scale, 3) + " " + unit; return three(value); };
const bytes = (value) => scaled(value, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]);
const count = (value) => scaled(value, [[1e9, "B"], [1e6, "M"], [1e3, "k"]]);
const speed = (value, row) => three(value) + (get(row, "busy") ? "†" : "");
const measured = (value, row) => digits(value, 4) + (board(row).unit === "%" ? "%" : "");

// key: sorting key of a row (null last); within: rows are only comparable inside this; text: what is shown
const field = (key) => (row) => get(row, key);
const byBoard = (row) => get(row, "board");
const byDevice = (row) => get(row, "device");
const COLUMNS = [
  { head: "Task", kind: "task", key: (row) => board(row).task, title: (row) => board(row).caption },
  { head: "Rank", number: true, key: (row) => get(row, "rank") || null, within: byBoard },
  { head: "Model", kind: "name", key: name, text: (value, row) => value + (get(row, "origin") ? " (imported from " + get(row, "origin") + ")" : "") },
  { head: "Metric", key: (row) => board(row).metric, text: (value, row) => value + (board(row).up ? " ↑" : " ↓") },
  { head: "Value", number: true, key: field("value"), within: byBoard, best: (row) => (board(row).up ? -1 : 1), text: measured },
  { head: "95% interval", kind: "whole", key: field("low"), within: byBoard, text: (value, row) => "[" + digits(value, 4) + ", " + digits(get(row, "high"), 4) + "] " + get(row, "method") },
  { head: "Same as", key: field("letters"), within: byBoard },
  { head: "n", number: true, key: field("n") },
  { head: "Seeds", kind: "whole", key: field("seeds") },
  { head: "Failed", number: true, key: (row) => get(row, "failed") || null },
  { head: "Tokens/s", number: true, key: field("tokens"), within: byDevice, best: () => -1, text: speed },
  { head: "Examples/s", number: true, key: field("examples"), within: byDevice, best: () => -1, text: speed },
  { head: "p50 s", number: true, key: field("p50"), within: byDevice, text: speed },
  { head: "p99 s", number: true, key: field("p99"), within: byDevice, text: speed },
  { head: "Memory", number: true, key: field("memory"), text: bytes },
  { head: "Parameters", number: true, key: field("parameters"), text: count },
  { head: "State", number: true, key: field("state"), text: bytes },
  { head: "Joules", number: true, key: field("joules"), within: byDevice, text: three },
  { head: "Device", kind: "whole", key: (row) => DATA.devices[get(row, "device")] },
  { head: "Budget", key: field("budget") },
  { head: "As greedy", key: field("exact") },
  { head: "Date", key: field("date") },
];
// a column in which nothing is known is not shown
const used = COLUMNS.filter((column) => DATA.rows.some((row) => column.key(row) !== null && column.key(row) !== ""));
const state = { order: null, down: false, page: 0, rows: DATA.rows, picked: [] };
const by = (id) => document.getElementById(id);

function compareKeys(left, right) {
  if (typeof left === "number") return left - right;
  return left < right ? -1 : left > right ? 1 : 0;
}

function arrange() {
  const find = by("find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const [family, task, device] = ["family", "task", "device"].map((id) => by(id).value);
  let rows = DATA.rows.filter((row) => {
    const where = board(row);
    if ((family && where.family !== family) || (task && where.task !== task)) return false;
    if (device && DATA.devices[get(row, "device")] !== device) return false;
    if (!find.length) return true;
    const text = (name(row) + " " + where.task + " " + get(row, "digest") + " " + get(row, "origin")).toLowerCase();
    return find.every((word) => text.includes(word));
  });
  const column = state.order;
  let note = rows.length.toLocaleString("en") + (rows.length === 1 ? " row" : " rows");
  if (column) {
    const sign = state.down ? -1 : 1;
    const keyed = rows.map((row) => [column.within ? column.within(row) : 0, column.key(row), row]);
    keyed.sort((a, b) => {
      if (a[0] !== b[0]) return a[0] - b[0];
      const blankA = a[1] === null || a[1] === "", blankB = b[1] === null || b[1] === "";
      if (blankA || blankB) return blankA - blankB;
      const best = column.best ? column.best(a[2]) : 1;
      return sign * best * compareKeys(a[1], b[1]);
    });
    if (column.within && new Set(keyed.map((entry) => entry[0])).size > 1) {
      note += column.within === byDevice ? ", sorted within each device: speeds of different machines are not compared"
                                         : ", sorted within each table: values of different protocols are not compared";
    }
    rows = keyed.map((entry) => entry[2]);
  }
  state.rows = rows;
  state.page = Math.min(state.page, Math.max(0, Math.ceil(rows.length / PAGE) - 1));
  by("note").textContent = note;
  show();
}

function show() {
  const body = document.createDocumentFragment();
  for (const row of state.rows.slice(state.page * PAGE, (state.page + 1) * PAGE)) body.append(line(row));
  if (!state.rows.length) {
    const empty = node("tr");
    empty.append(node("td", "No row fits these filters.", { colspan: used.length + 2 }));
    body.append(empty);
  }
  document.querySelector("#table tbody").replaceChildren(body);
  pager();
}

function line(row) {
  const made = node("tr");
  const digest = get(row, "digest");
  const pick = node("input", null, { type: "checkbox", "aria-label": "Compare " + name(row) + " on " + board(row).task });
  pick.checked = state.picked.includes(digest);
  pick.addEventListener("change", () => choose(digest, pick.checked));
  const first = node("td", null, { class: "pick", "data-label": "Compare" });
  first.append(pick);
  made.append(first);
  for (const column of used) {
    const value = column.key(row);
    const blank = value === null || value === "";
    const told = blank ? "–" : column.text ? column.text(value, row) : String(value);
    const kind = [column.number ? "number" : "", column.kind || "", column.head === "Device" ? "cut" : "", blank ? "blank" : ""];
    const cell = node("td", told, { class: kind.join(" ").trim(), "data-label": column.head });
    if (column.title) cell.title = column.title(row);
    else if (column.head === "Device") cell.title = told;
    made.append(cell);
  }
  const last = node("td", null, { "data-label": "Signature", class: "whole" });
  last.append(node("a", digest.slice(0, 16), { href: "#run=" + digest }), get(row, "changed") ? " ‡" : "");
  made.append(last);
  return made;
}

function pager() {
  const pages = Math.max(1, Math.ceil(state.rows.length / PAGE));
  const step = (label, to) => {
    const button = node("button", label, { type: "button" });
    button.disabled = to < 0 || to >= pages;
    button.addEventListener("click", () => { state.page = to; show(); by("table").scrollIntoView({ block: "start" }); });
    return button;
  };
  by("pager").replaceChildren();
  by("pager").hidden = pages === 1;
  by("pager").append(step("Previous", state.page - 1), node("span", "page " + (state.page + 1) + " of " + pages), step("Next", state.page + 1));
}

function sort(column) {
  state.down = state.order === column && column !== null ? !state.down : false;
  state.order = column;
  state.page = 0;
  const cells = document.querySelectorAll("#table thead th");
  cells.forEach((cell) => cell.removeAttribute("aria-sort"));
  const at = used.indexOf(column);
  if (at >= 0) {
    const best = column.best && DATA.rows.length ? column.best(state.rows[0] || DATA.rows[0]) : 1;
    cells[at + 1].setAttribute("aria-sort", (best < 0) === state.down ? "ascending" : "descending");
  }
  by("sort").value = String(at);
  arrange();
}

// the table's head is not shown on a narrow screen; this list sorts there
function sorter() {
  by("sort").append(node("option", "as published", { value: "-1" }), ...used.map((column, at) => node("option", column.head, { value: String(at) })));
  by("sort").addEventListener("change", (event) => { event.stopPropagation(); sort(used[Number(by("sort").value)] || null); });
}

function head() {
  const made = node("tr");
  const first = node("th", null, { scope: "col" });
  first.append(node("span", "Compare", { class: "unseen" }));
  made.append(first);
  for (const column of used) {
    const cell = node("th", null, { scope: "col", class: column.number ? "number" : "" });
    const button = node("button", column.head, { type: "button" });
    button.addEventListener("click", () => sort(column));
    cell.append(button);
    made.append(cell);
  }
  const last = node("th", null, { scope: "col" });
  last.append(node("span", "Signature"));
  made.append(last);
  document.querySelector("#table thead").replaceChildren(made);
}

function choose(digest, on) {
  state.picked = state.picked.filter((other) => other !== digest).concat(on ? [digest] : []);
  const button = by("compare");
  button.disabled = state.picked.length !== 2;
  button.textContent = state.picked.length > 2 ? "Choose two rows only" : "Compare two rows";
}

// details: one script a run, loaded once
const RUNS = new Map();
const waiting = new Map();
window.receiveRun = (digest, run) => { RUNS.set(digest, run); };
function load(digest) {
  if (RUNS.has(digest)) return Promise.resolve(RUNS.get(digest));
  if (!DATA.rows.some((row) => get(row, "digest") === digest)) return Promise.reject(new Error("no run " + digest));
  if (!waiting.has(digest)) {
    waiting.set(digest, new Promise((done, failed) => {
      const script = node("script", null, { src: "runs/" + encodeURIComponent(digest) + ".js" });
      script.addEventListener("load", () => done(RUNS.get(digest)));
      script.addEventListener("error", () => { waiting.delete(digest); failed(new Error("runs/" + digest + ".js is not there")); });
      document.head.append(script);
    }));
  }
  return waiting.get(digest);
}

const interval = (found) => (found.low === null || found.high === null ? "" : " [" + digits(found.low, 4) + ", " + digits(found.high, 4) + "] by " + found.method);
const value = (found) => (found.value === null ? "none" : digits(found.value, 4) + (found.unit ? " " + found.unit : "") + interval(found));

function grid(heads, rows) {
  const table = node("table");
  const top = node("tr");
  for (const text of heads) { const cell = node("th", null, { scope: "col" }); cell.append(node("span", text)); top.append(cell); }
  const thead = node("thead"), tbody = node("tbody");
  thead.append(top);
  for (const cells of rows) {
    const made = node("tr");
    for (const cell of cells) {
      const td = node("td", null, { class: "free" });
      if (cell && typeof cell === "object") { td.textContent = cell.text; td.className = "free " + cell.kind; } else td.textContent = cell;
      made.append(td);
    }
    tbody.append(made);
  }
  table.append(thead, tbody);
  const wide = node("div", null, { class: "wide", tabindex: "0", role: "region", "aria-label": heads.join(", ") });
  wide.append(table);
  return wide;
}

function sample(found, answers) {
  const box = node("article", null, { class: "sample" });
  const list = node("dl");
  const add = (term, text) => { if (text !== "" && text !== null && text !== undefined) list.append(node("dt", term), node("dd", text, { dir: "auto" })); };
  add("example", found.id + (found.picked ? " (" + found.picked + ")" : ""));
  add("question", found.question);
  add("target", found.target);
  for (const [who, answer, score] of answers) add(who, answer + (score === null ? "" : "   → " + digits(score, 4)));
  box.append(list);
  return box;
}

const flat = (thing, path = "") => thing !== null && typeof thing === "object" && !Array.isArray(thing)
  ? Object.entries(thing).flatMap(([key, inner]) => flat(inner, path ? path + "." + key : key))
  : [[path, Array.isArray(thing) ? JSON.stringify(thing) : String(thing)]];

function open(title, parts) {
  const detail = by("detail");
  const close = node("button", "Close", { type: "button", class: "close" });
  close.addEventListener("click", () => { history.replaceState(null, "", location.pathname + location.search); detail.hidden = true; by("table").scrollIntoView({ block: "nearest" }); });
  detail.replaceChildren(close, node("h2", title), ...parts);
  detail.hidden = false;
  detail.focus({ preventScroll: true });
  detail.scrollIntoView({ block: "start" });
}

async function showRun(digest) {
  const run = await load(digest);
  const parts = [node("p", run.caption, { class: "known" })];
  if (run.command) parts.push(node("h3", "Command"), node("pre", run.command));
  parts.push(node("h3", "Metrics"), grid(["metric", "value with 95% interval", "n"], Object.entries(run.metrics).map(([key, found]) => [key + (found.up ? " ↑" : " ↓"), value(found), String(found.n)])));
  if (run.failures.length) parts.push(node("h3", "Failures"), grid(["message", "count"], run.failures.map(([text, number]) => [text, String(number)])));
  if (run.notes.length) parts.push(node("h3", "Notes"), ...run.notes.map((text) => node("p", text)));
  if (run.samples.length) {
    parts.push(node("h3", "Samples: the worst, the best, random ones"));
    for (const found of run.samples) parts.push(sample(found, [["answer", found.answer, found.score]]));
  }
  parts.push(node("h3", "Signature " + digest), grid(["part", "value"], flat(run.signature)));
  parts.push(node("h3", "Machine"), grid(["part", "value"], flat(run.environment)));
  open(run.title + " on " + run.task, parts);
}

async function showDifference(first, second) {
  const [a, b] = await Promise.all([load(first), load(second)]);
  const names = ["A: " + a.title, "B: " + b.title];
  const parts = [];
  const rows = Object.keys(a.metrics).filter((key) => key in b.metrics).map((key) => {
    const [left, right] = [a.metrics[key], b.metrics[key]];
    const change = left.value === null || right.value === null ? null : right.value - left.value;
    const gain = change === null ? 0 : left.up ? change : -change;
    const told = change === null ? "" : (change > 0 ? "+" : "") + digits(change, 3);
    return [key + (left.up ? " ↑" : " ↓"), value(left), value(right), { text: told, kind: gain > 0 ? "better" : gain < 0 ? "worse" : "" }];
  });
  parts.push(node("h3", "Metrics"), grid(["metric", ...names, "B less A"], rows));
  if (a.examples && a.examples === b.examples && a.scores.length && a.scores.length === b.scores.length) {
    const sign = Object.values(a.metrics)[0].up ? 1 : -1;
    let wins = 0, ties = 0, losses = 0;
    a.scores.forEach((score, index) => {
      const other = b.scores[index];
      if (score === null || other === null) return;
      const gain = sign * (other - score);
      if (gain > 0) wins += 1; else if (gain < 0) losses += 1; else ties += 1;
    });
    parts.push(node("p", "Example by example, B is better on " + wins + ", equal on " + ties + " and worse on " + losses + "."));
  }
  const left = Object.fromEntries(flat(a.signature)), right = Object.fromEntries(flat(b.signature));
  const changed = [...new Set([...Object.keys(left), ...Object.keys(right)])].filter((key) => left[key] !== right[key]);
  parts.push(node("h3", "What differs in the signatures"), changed.length ? grid(["part", ...names], changed.map((key) => [key, left[key] ?? "–", right[key] ?? "–"])) : node("p", "Nothing."));
  const theirs = new Map(b.samples.map((found) => [found.id, found]));
  const shared = a.samples.filter((found) => theirs.has(found.id));
  if (shared.length) {
    parts.push(node("h3", "Answers to the same examples"));
    for (const found of shared) {
      const other = theirs.get(found.id);
      parts.push(sample({ ...found, picked: "" }, [["A", found.answer, found.score], ["B", other.answer, other.score]]));
    }
  }
  open(a.task === b.task ? "Two runs on " + a.task : "Two runs on different tasks", parts);
}

function follow() {
  const [verb, rest] = location.hash.slice(1).split("=");
  if (!rest) return;
  const told = rest.split(",").map(decodeURIComponent);
  const work = verb === "run" ? showRun(told[0]) : verb === "diff" && told.length === 2 ? showDifference(told[0], told[1]) : null;
  if (work) work.catch((problem) => open("This cannot be shown", [node("p", problem.message)]));
}

function theme() {
  const order = ["", "light", "dark"], words = { "": "as the system", light: "light", dark: "dark" };
  let now = "";
  const set = (next) => {
    now = next;
    if (now) document.documentElement.dataset.theme = now; else delete document.documentElement.dataset.theme;
    by("theme").setAttribute("aria-label", "Colours: " + words[now]);
    by("theme").title = "Colours: " + words[now];
  };
  set(new URLSearchParams(location.search).get("theme") || "");
  by("theme").addEventListener("click", () => set(order[(order.indexOf(now) + 1) % 3]));
}

theme();
head();
sorter();
by("filters").addEventListener("input", (event) => {
  if (event.target.id === "sort") return;
  state.page = 0; arrange(); });
by("filters").addEventListener("submit", (event) => event.preventDefault());
by("compare").addEventListener("click", () => { location.hash = "diff=" + state.picked.map(encodeURIComponent).join(","); });
window.addEventListener("hashchange", follow);
arrange();
follow();
