"use strict";
// What the report's page does by itself. It works on what is in the page alone.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const tip = document.getElementById("tip");

// --- one benchmark and backbone, or everything ---
const select = document.getElementById("place");
let chosen = false; // by the reader: until then print has everything
function choose(place) {
  for (const block of all("main [data-place]"))
    block.classList.toggle("elsewhere", place !== "" && block.dataset.place !== place);
  for (const part of all("section, .answers > div")) {
    const blocks = all(":scope > :not(h2, .intro, .fold), :scope > .fold > :not(summary, .intro)", part);
    const none = blocks.length > 0 && blocks.every((block) => block.classList.contains("elsewhere"));
    part.classList.toggle("elsewhere", none);
    if (part.id) all(`nav a[href="#${part.id}"]`).forEach((link) => link.classList.toggle("elsewhere", none));
  }
  for (const button of all("[data-choose]")) button.setAttribute("aria-pressed", String(button.dataset.choose === place));
}
function take(place) {
  chosen = true;
  select.value = place;
  choose(place);
  fit();
}
if (select) {
  select.addEventListener("change", () => take(select.value));
  for (const button of all("[data-choose]"))
    button.addEventListener("click", () => take(button.getAttribute("aria-pressed") === "true" ? "" : button.dataset.choose));
  choose(select.value);
}

// --- what a link leads to is open ---
function open(hash) {
  const fold = hash.length > 1 && document.getElementById(hash.slice(1))?.querySelector(":scope > .fold");
  if (fold) fold.open = true;
}
for (const link of all('a[href^="#"]')) link.addEventListener("click", () => open(link.hash));
open(location.hash);

// --- methods hidden and shown by any legend ---
const hidden = new Set();
function toggle(method) {
  if (!hidden.delete(method)) hidden.add(method);
  showMethods();
}
function showMethods() {
  for (const part of all(".fig [data-method]")) part.classList.toggle("off", hidden.has(part.dataset.method));
  for (const entry of all("[data-legend]")) {
    const gone = hidden.has(entry.dataset.legend);
    entry.classList.toggle("gone", gone);
    if (entry.hasAttribute("role")) entry.setAttribute("aria-pressed", String(!gone));
  }
  document.getElementById("all").hidden = hidden.size === 0;
  hush();
}
for (const entry of all("[data-legend]")) {
  entry.addEventListener("click", () => toggle(entry.dataset.legend));
  if (!entry.querySelector("text")) continue; // of a line and its name, the name is the button
  entry.setAttribute("role", "button");
  entry.setAttribute("tabindex", "0");
  entry.setAttribute("aria-pressed", "true");
  entry.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    toggle(entry.dataset.legend);
  });
}
document.getElementById("all").addEventListener("click", () => { hidden.clear(); showMethods(); });

// --- values under the pointer, or by the arrow keys ---
function vertices(d) {
  const found = [];
  let x = 0, y = 0, letter = "";
  for (const [token] of d.matchAll(/[Ml]|-?(?:\d+\.?\d*|\.\d+)/g)) {
    if (token === "M" || token === "l") { letter = token; found.pending = undefined; continue; }
    if (found.pending === undefined) { found.pending = +token; continue; }
    [x, y] = letter === "M" ? [found.pending, +token] : [x + found.pending, y + +token];
    if (letter === "M") letter = "l";
    found.pending = undefined;
    found.push([x, y]);
  }
  return found;
}
const known = new WeakMap();
function everyPoint(svg) {
  if (!known.has(svg)) known.set(svg, all("[data-tips]", svg).flatMap((group) => {
    const tips = group.dataset.tips.split("|");
    const line = group.querySelector("path");
    const at = group.dataset.at ? group.dataset.at.split(";").map((pair) => pair.split(",").map(Number))
      : line ? vertices(line.getAttribute("d")) : [];
    const cut = line && line.getAttribute("clip-path"); // of the panel: what is beyond is not seen
    const panel = cut && document.getElementById(cut.slice(5, -1)).firstElementChild.getBBox();
    const inside = (x, y) => !panel || (x > panel.x - 2 && x < panel.x + panel.width + 2
      && y > panel.y - 2 && y < panel.y + panel.height + 2);
    return at.length === tips.length ? at.map(([x, y], i) => ({ group, x, y, text: tips[i], inside: inside(x, y) })) : [];
  }));
  return known.get(svg);
}
function points(svg) { return everyPoint(svg).filter((point) => point.inside && !point.group.classList.contains("off")); }
function say(svg, point) {
  let ring = svg.querySelector(".ring");
  if (!ring) {
    ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", "5");
    svg.append(ring);
  }
  ring.setAttribute("cx", point.x);
  ring.setAttribute("cy", point.y);
  tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: point.group.dataset.label }),
    point.text);
  tip.hidden = false;
  const at = new DOMPoint(point.x, point.y).matrixTransform(svg.getScreenCTM());
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(at.x + 12, innerWidth - box.width - 4))}px`;
  tip.style.top = `${at.y - box.height - 12 < 4 ? at.y + 14 : at.y - box.height - 12}px`;
}
function hush() {
  tip.hidden = true;
  all(".ring").forEach((ring) => ring.remove());
}
for (const svg of all(".fig")) {
  const seek = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = null, least = 15 ** 2;
    for (const point of points(svg)) {
      const far = (point.x - at.x) ** 2 + (point.y - at.y) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    if (best) say(svg, best); else hush();
  };
  svg.addEventListener("pointermove", seek);
  svg.addEventListener("pointerdown", seek);
  svg.addEventListener("pointerleave", hush);
  svg.addEventListener("blur", hush);
  let place = -1;
  svg.addEventListener("keydown", (event) => {
    const found = points(svg);
    if (event.key === "Escape") hush();
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const jump = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.target !== svg || !found.length || !(step || jump)) return;
    event.preventDefault();
    if (step) place = (place + step + found.length) % found.length;
    else { // to the next group's first point
      const groups = [...new Set(found.map((point) => point.group))];
      const now = groups.indexOf(found[Math.min(Math.max(place, 0), found.length - 1)].group);
      const next = groups[(now + jump + groups.length) % groups.length];
      place = found.findIndex((point) => point.group === next);
    }
    say(svg, found[place]);
  });
}

// --- tables that sort and filter ---
const UNITS = { k: 1e3, M: 1e6, B: 1e9 };
function number(text) { // of "84.3 ± 0.4", "< 0.001", "1,234", "20M"; null where there is none
  const match = text.trim().match(/^[<>≤≥≈~[(]*\s*([-+−]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?)([kMB]?)(?![A-Za-z])/);
  if (!match) return null;
  const value = parseFloat(match[1].replaceAll(",", "").replace("−", "-")) * (UNITS[match[2]] || 1);
  return text.trim().startsWith("<") ? value - 1e-9 : value;
}
function text(cell) {
  return [...cell.childNodes].filter((node) => node.nodeName !== "SUP").map((node) => node.textContent).join("");
}
function ditto(rows) { // an empty first cell means the one above it: said, where rows are apart
  let last = "";
  for (const row of rows) {
    const cell = row.cells[0];
    if (cell.textContent) { last = cell.textContent; continue; }
    if (!last || row.classList.contains("total")) continue;
    cell.append(Object.assign(document.createElement("span"), { className: "ditto", textContent: last }));
  }
}
for (const table of all(".table table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  ditto(rows);
  const totals = rows.filter((row) => row.classList.contains("total"));
  const others = rows.filter((row) => !row.classList.contains("total"));
  if (others.length > 1) heads.forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.setAttribute("tabindex", "0");
    const values = others.map((row) => text(row.cells[column]));
    const numbers = values.map(number);
    const numeric = numbers.filter((value) => value !== null).length * 2 >= values.filter((v) => !/^[—\s]*$/.test(v)).length;
    const sort = () => {
      const next = numeric ? { none: "descending", descending: "ascending", ascending: "none" }
        : { none: "ascending", ascending: "descending", descending: "none" };
      const order = next[head.getAttribute("aria-sort")], sign = order === "ascending" ? 1 : -1;
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
      table.classList.toggle("sorted", order !== "none");
      const places = others.map((_, i) => i);
      const empty = (i) => (numeric ? numbers[i] === null : /^[—\s]*$/.test(values[i]));
      if (order !== "none") places.sort((a, b) => empty(a) - empty(b) || (empty(a) ? 0
        : sign * (numeric ? numbers[a] - numbers[b] : values[a].localeCompare(values[b]))) || a - b);
      body.append(...places.map((i) => others[i]), ...totals);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
  if (rows.length > 12) {
    const box = Object.assign(document.createElement("input"),
      { className: "filter", type: "search", placeholder: `Filter ${rows.length} rows` });
    box.setAttribute("aria-label", "Rows that hold these words");
    const texts = rows.map((row) => row.textContent.toLowerCase());
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/);
      rows.forEach((row, i) => row.classList.toggle("filtered", !words.every((word) => texts[i].includes(word))));
    });
    table.parentElement.before(box);
  }
}

// --- as much of a table as goes in, and a cue where that is not all ---
const frames = all(".scroll");
function cue(frame) {
  const rest = frame.scrollWidth - frame.clientWidth - frame.scrollLeft;
  frame.classList.toggle("right", rest > 2);
  frame.classList.toggle("left", frame.scrollLeft > 2);
}
function wide(frame) { return frame.scrollWidth > frame.clientWidth + 1; }
function fit() {
  for (const frame of frames) frame.classList.remove("tight", "tiny");
  for (const step of ["tight", "tiny"]) {
    const full = frames.filter((frame) => frame.firstElementChild.tagName === "TABLE" && wide(frame));
    for (const frame of full) frame.classList.add(step);
  }
  frames.forEach(cue);
}
for (const frame of frames) {
  frame.after(Object.assign(document.createElement("p"), { className: "cue", textContent: "more to the right →" }));
  frame.addEventListener("scroll", () => cue(frame), { passive: true });
}
for (const fold of all("details")) fold.addEventListener("toggle", fit);
addEventListener("resize", fit);
if (innerWidth < 1280) all("nav details").forEach((fold) => { fold.open = false; });
fit();

// --- print: everything unfolded, every table within the page ---
let folded = [];
addEventListener("beforeprint", () => {
  hush();
  if (select && !chosen) choose("");
  folded = all("main details:not([open])");
  folded.forEach((fold) => { fold.open = true; });
  document.documentElement.classList.add("printing");
  for (const frame of frames.filter((frame) => frame.firstElementChild.tagName === "TABLE")) {
    const table = frame.firstElementChild;
    table.style.zoom = "";
    frame.classList.remove("tight", "tiny");
    for (const step of ["tight", "tiny"]) if (wide(frame)) frame.classList.add(step);
    if (wide(frame)) table.style.zoom = String(frame.clientWidth / frame.scrollWidth * 0.98);
  }
});
addEventListener("afterprint", () => {
  folded.forEach((fold) => { fold.open = false; });
  document.documentElement.classList.remove("printing");
  all("table").forEach((table) => { table.style.zoom = ""; });
  if (select) choose(select.value);
  fit();
});
