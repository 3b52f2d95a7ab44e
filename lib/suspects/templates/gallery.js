// The hash of the address holds the filters, so that a view can be shared: #given=3&suggested=5&issues=1&q=…&sort=class
"use strict";
const list = document.getElementById("cards"), form = document.getElementById("filters");
const cards = [...list.querySelectorAll("article")];
const names = new Map(cards.map((card) => [card, card.querySelector(".id").textContent]));
const words = new Map(cards.map((card) => [card, names.get(card).toLowerCase()]));
const rank = new Map(cards.map((card, i) => [card, i]));
const count = document.getElementById("count"), save = document.getElementById("save");
const FIELDS = ["given", "suggested", "q", "marked", "sort", "also"].filter((field) => form.elements[field]);
let shown = cards, current = cards[0], order = "worst", saved = true;

function fromHash() {
  const asked = new URLSearchParams(location.hash.slice(1));
  form.reset();
  for (const field of FIELDS) {
    const control = form.elements[field], value = asked.get(field);
    if (value === null) continue;
    if (control.options && ![...control.options].some((option) => option.value === value)) continue;
    control.value = value;
  }
  form.elements.issues.checked = asked.get("issues") === "1";
}

function toHash() {
  const asked = new URLSearchParams();
  for (const field of FIELDS) {
    const value = form.elements[field].value;
    if (value && !(field === "sort" && value === "worst")) asked.set(field, value);
  }
  if (form.elements.issues.checked) asked.set("issues", "1");
  history.replaceState(null, "", "#" + asked);
}

function fits(card, wanted) {
  const data = card.dataset;
  return (wanted.given === "" || data.g === wanted.given) && (wanted.suggested === "" || data.p === wanted.suggested)
    && (!wanted.issues || "i" in data) && words.get(card).includes(wanted.q)
    && (!wanted.also || (data.a || "").includes(wanted.also)) && (wanted.marked === "" || (wanted.marked === "no" ? !data.m : data.m === wanted.marked));
}

function draw() {
  const wanted = { issues: form.elements.issues.checked, q: form.elements.q.value.toLowerCase() };
  for (const field of ["given", "suggested", "marked", "also"].filter((name) => FIELDS.includes(name))) wanted[field] = form.elements[field].value;
  if (form.elements.sort.value !== order) {
    order = form.elements.sort.value;
    const byRank = (a, b) => rank.get(a) - rank.get(b);
    cards.sort(order === "worst" ? byRank : (a, b) => a.dataset.g - b.dataset.g || byRank(a, b));
    list.append(...cards.map((card) => card.parentNode));
  }
  shown = [];
  for (const card of cards) {
    const fit = fits(card, wanted);
    card.parentNode.hidden = !fit;
    if (fit) shown.push(card);
  }
  document.getElementById("none").hidden = shown.length > 0;
  if (shown.length && !shown.includes(current)) point(shown[0]);
  say();
}

function say() {
  const marked = { wrong: 0, fine: 0 };
  for (const card of cards) if (card.dataset.m) marked[card.dataset.m] += 1;
  const all = cards.length.toLocaleString("en");
  const marks = marked.wrong + marked.fine ? `; marked ${marked.wrong} wrong, ${marked.fine} fine` : "";
  count.textContent = `${shown.length.toLocaleString("en")} of ${all} shown${marks}`;
  save.disabled = marked.wrong + marked.fine === 0;
}

function point(card) {
  for (const [one, value] of [[current, -1], [card, 0]])
    for (const part of [one, ...one.querySelectorAll("button")]) part.tabIndex = value;
  current = card;
}

function mark(card, value) {
  if (card.dataset.m === value) delete card.dataset.m;
  else card.dataset.m = value;
  for (const button of card.querySelectorAll("button"))
    button.setAttribute("aria-pressed", button.textContent.toLowerCase() === card.dataset.m);
  saved = false;
  say();
}

function columns() {
  const top = shown[0].offsetTop;
  const next = shown.findIndex((card) => card.offsetTop !== top);
  return next < 0 ? shown.length : next;
}

list.addEventListener("focusin", (event) => {
  const card = event.target.closest("article");
  if (card) point(card);
});
list.addEventListener("click", (event) => {
  if (event.target.tagName === "BUTTON") mark(event.target.closest("article"), event.target.textContent.toLowerCase());
});
list.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !shown.length) return;
  const key = event.key.toLowerCase(), here = shown.indexOf(current), last = shown.length - 1;
  const steps = { arrowright: 1, arrowleft: -1 };
  let to = null;
  if (key in steps) to = here + steps[key];
  else if (key === "arrowdown") to = here + columns();
  else if (key === "arrowup") to = here - columns();
  else if (key === "home") to = 0;
  else if (key === "end") to = last;
  else if (key === "w" || key === "f") mark(current, key === "w" ? "wrong" : "fine");
  else return;
  event.preventDefault();
  if (to === null || to < 0 || to > last) return;
  shown[to].focus();
  shown[to].scrollIntoView({ block: "nearest" });
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => { toHash(); draw(); });
form.addEventListener("reset", () => setTimeout(() => { toHash(); draw(); }));
window.addEventListener("hashchange", () => {
  if (location.hash === "#cards") return;
  fromHash();
  draw();
});
save.addEventListener("click", () => {
  const quote = (text) => `"${text.replaceAll('"', '""')}"`;
  const label = (number) => form.elements.given.querySelector(`option[value="${number}"]`).textContent;
  const rows = cards.filter((card) => card.dataset.m).map((card) => [names.get(card), label(card.dataset.g),
    label(card.dataset.p), card.dataset.m].map(quote).join(","));
  const content = ["index,given_label,predicted_label,decision", ...rows, ""].join("\r\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  link.download = "decisions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  saved = true;
});
window.addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
fromHash();
point(current);
draw();
