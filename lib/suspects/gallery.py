"""The worst suspects as one HTML file that asks nothing of a network.

``write`` puts pictures, given and suggested labels, filters and marks into a
single page; the marks leave it as a CSV. Whatever a user named (samples,
classes, summary) is escaped, and the page's own policy forbids its browser to
fetch anything or to run any script but the one below.
"""

import base64
import hashlib
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from ..files import atomic
from .read import Labelled

COLUMNS = ("given_label", "predicted_label", "label_quality", "probability_wrong", "is_label_issue")
LIMIT = 2000
SMALL = 64  # pixels: images up to this side are kept whole
THUMBNAIL = 96  # … larger ones get this longest side


def write(
    table: pd.DataFrame, labelled: Labelled, path: Path, *, summary: Sequence[str] = (), limit: int = LIMIT
) -> int:
    """Write the gallery of the ``limit`` rows of lowest ``label_quality``; how many it shows.

    ``table`` is indexed like ``labelled.index`` (in any order if that is
    unique) and has the columns of cleanlab's tables: ``given_label``,
    ``predicted_label`` (names), ``label_quality`` (0 is surely wrong),
    ``probability_wrong`` and ``is_label_issue``. The file is written
    atomically. Raises ValueError for missing columns, rows that are not of
    ``labelled``, labels that are none of its classes, NaN, and a limit below 1.
    """
    positions = _positions(table, labelled)
    _check(table, labelled, limit)
    order = np.lexsort((-table["probability_wrong"].to_numpy(float), table["label_quality"].to_numpy(float)))[:limit]
    page = _page(table, labelled, order, positions[order], list(summary))
    with atomic(Path(path)) as part:
        part.write_text(page, encoding="utf-8")
    return len(order)


def _check(table: pd.DataFrame, labelled: Labelled, limit: int) -> None:
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; there are: {', '.join(map(str, table))}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    for column in COLUMNS[:2]:
        unknown = set(table[column].astype(str)) - set(labelled.class_names)
        if unknown:
            raise ValueError(f"{column} holds {', '.join(sorted(unknown)[:10])}: none of the classes")
    for column in COLUMNS[2:4]:
        gaps = int(table[column].isna().sum())
        if gaps:
            raise ValueError(f"{column} holds {gaps} NaN")


def _positions(table: pd.DataFrame, labelled: Labelled) -> np.ndarray:
    """Which sample each row of the table is about."""
    if table.index.equals(labelled.index):
        return np.arange(len(labelled))
    if not labelled.index.is_unique:
        raise ValueError("the table must have the index of the samples, in their order: some names stand for several")
    positions = labelled.index.get_indexer(table.index)
    if (positions < 0).any():
        raise ValueError(f"the table has a row {table.index[positions < 0][0]!r}, which is no sample")
    return positions


def thumbnail(image: Tensor, white: float) -> str:
    """An image ``[channels, height, width]`` as a data URL: PNG, exact, up to 64 pixels a side, a JPEG above."""
    array = image.numpy() if image.is_floating_point() else image.numpy().astype(np.float32)
    array = np.rint(np.clip(array / white, 0, 1) * 255).astype(np.uint8)
    colours = array[:3] if len(array) in (3, 4) else array.mean(0, keepdims=True).round().astype(np.uint8)
    pixels = colours.transpose(1, 2, 0) if len(colours) == 3 else colours[0]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    content = io.BytesIO()
    if max(picture.size) <= SMALL:
        picture.save(content, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        picture.save(content, "JPEG", quality=82)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


# The page ----------------------------------------------------------------------------------------


def _page(table: pd.DataFrame, labelled: Labelled, order: np.ndarray, positions: np.ndarray, summary: list[str]) -> str:
    shown = table.iloc[order]
    number = {name: c for c, name in enumerate(labelled.class_names)}
    cards = [
        _card(row, rank, str(name), number, None if labelled.embedded else labelled.inputs[position], labelled.white)
        for rank, (name, position, row) in enumerate(
            zip(shown.index, positions, shown[list(COLUMNS)].itertuples(index=False), strict=True)
        )
    ]
    flagged = int(table["is_label_issue"].sum())
    size = "" if labelled.embedded else _picture_style(labelled)
    lead = f"The worst {len(shown):,} of {len(table):,} samples; {flagged:,} of them all are flagged as label issues."
    if len(shown) == len(table):
        lead = f"All {len(table):,} samples, the worst first; {flagged:,} are flagged as label issues."
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_digest(SCRIPT)}'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Suspect labels</title>
<link rel="icon" href="data:,">
<style>{STYLE}{size}</style>
</head>
<body>
<a class="skip" href="#cards">Skip to the suspects</a>
<header>
<h1>Suspect labels</h1>
<p>{escape(lead)}</p>
{_details("Summary", [escape(line) for line in summary], opened=True)}
{_details("What was noted while reading", [escape(note) for note in labelled.notes])}
{_classes(table, shown, labelled.class_names)}
</header>
{_controls(table, labelled.class_names)}
<main id="main" aria-label="Suspects">
<p class="help">In the list: arrow keys move, <kbd>W</kbd> marks a label as wrong, <kbd>F</kbd> as fine,
the same key again takes the mark back. Marks stay in this window until they are downloaded.</p>
<ul class="cards" id="cards" tabindex="-1">
{"".join(cards)}</ul>
<p id="none" hidden>No suspect fits these filters.</p>
</main>
<noscript><p>Filters and marks need JavaScript; the list above is complete without it.</p></noscript>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _card(row: tuple, rank: int, name: str, number: dict[str, int], image: Tensor | None, white: float) -> str:
    given, predicted, quality, wrong, issue = row
    given, predicted = str(given), str(predicted)
    shown, g, p = escape(name), escape(given), escape(predicted)
    picture = "" if image is None else f'<img src="{thumbnail(image, white)}" alt="Sample {shown}, labelled {g}">'
    guess = f"looks like <b>{p}</b>" if given != predicted else "looks right"
    flag = '<span class="flag">issue</span>' if issue else ""
    return (
        f'<li><article tabindex="{0 if rank == 0 else -1}" data-g="{number[given]}" data-p="{number[predicted]}"'
        f'{" data-i" if issue else ""} aria-label="{shown}: labelled {g}, suggested {p}">{picture}'
        f'<p class="id" title="{shown}">{shown}</p><p class="was">labelled <b>{g}</b></p>'
        f'<p class="is">{guess}</p><p class="how" title="label quality {quality:.3g}">'
        f"<span>{_percent(wrong)} wrong</span>{flag}</p>"
        '<p class="do"><button tabindex="-1" aria-pressed="false">Wrong</button>'
        '<button tabindex="-1" aria-pressed="false">Fine</button></p></article></li>\n'
    )


def _percent(share: float) -> str:
    """A probability without the certainty that rounding would claim."""
    percent = 100 * float(share)
    if percent >= 99.5:
        return "> 99 %"
    return "< 1 %" if percent < 0.5 else f"{percent:.0f} %"


def _picture_style(labelled: Labelled) -> str:
    """The place of pictures, kept while they are not drawn, so that nothing jumps."""
    height, width = labelled.inputs.shape[2:]
    small = "img{image-rendering:pixelated}" if max(height, width) <= SMALL else ""
    return small if 0.5 <= width / height <= 2 else f"{small}img{{aspect-ratio:{2 if width > height else 1}}}"


def _details(title: str, lines: list[str], opened: bool = False) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<details{' open' if opened else ''}><summary>{escape(title)}</summary><ul>{items}</ul></details>"


def _classes(table: pd.DataFrame, shown: pd.DataFrame, names: tuple[str, ...]) -> str:
    """A table of classes; each leads to its suspects."""
    given = table["given_label"].astype(str)
    counts = given.value_counts()
    issues = given[table["is_label_issue"].to_numpy(bool)].value_counts()
    here = shown["given_label"].astype(str).value_counts()
    rows = []
    for c, name in enumerate(names):
        there = int(counts.get(name, 0))
        share = f"{issues.get(name, 0) / there:.1%}".replace("%", " %") if there else "none there"
        rows.append(
            f'<tr><th scope="row"><a href="#given={c}">{escape(name)}</a></th><td>{there:,}</td>'
            f"<td>{issues.get(name, 0):,}</td><td>{share}</td><td>{here.get(name, 0):,}</td></tr>"
        )
    return (
        '<details><summary>By class</summary><div class="wide" role="region" aria-label="By class" tabindex="0">'
        '<table><thead><tr><th scope="col">Labelled</th><th scope="col">samples</th><th scope="col">flagged</th>'
        f'<th scope="col">share</th><th scope="col">below</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
        "</div></details>"
    )


def _controls(table: pd.DataFrame, names: tuple[str, ...]) -> str:
    options = "".join(f'<option value="{c}">{escape(name)}</option>' for c, name in enumerate(names))
    return f"""<form id="filters" role="search" aria-label="Filter the suspects">
<div class="row">
<label>Labelled <select name="given"><option value="">any</option>{options}</select></label>
<label>Suggested <select name="suggested"><option value="">any</option>{options}</select></label>
<label>Order <select name="sort"><option value="worst">worst first</option><option value="class">by class</option>
</select></label>
<label>Name <input name="q" type="search" autocomplete="off" placeholder="part of it"></label>
<label>Marked <select name="marked"><option value="">any</option><option value="no">not yet</option>
<option value="wrong">wrong</option><option value="fine">fine</option></select></label>
<label class="tick"><input name="issues" type="checkbox"> flagged only</label>
<button type="reset">Clear</button>
</div>
<div class="row"><p id="count" role="status" aria-live="polite"></p>
<button type="button" id="save" disabled>Download marks (CSV)</button></div>
</form>"""


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#565e68;--line:#c9ced6;--edge:#7b8490;
--accent:#0b57d0;--wrong:#a8201a;--fine:#11622a;--mat:#e4e7ec}
@media (prefers-color-scheme:dark){:root{--page:#121418;--card:#1d2026;--ink:#e7e9ed;--soft:#a9b1bc;--line:#3a404a;
--edge:#808894;--accent:#8ab4f8;--wrong:#f5aaa4;--fine:#86d79c;--mat:#0b0c0f}}
*{box-sizing:border-box}
[hidden]{display:none!important}
body{margin:0;background:var(--page);color:var(--ink);
font:1rem/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main,form,noscript p{padding:0 1rem;max-width:90rem;margin:0 auto}
h1{font-size:1.5rem;margin:1rem 0 .25rem}
header p{margin:.25rem 0 .5rem}
a{color:var(--accent)}
.skip{position:absolute;left:-99rem;background:var(--card);padding:.5rem 1rem;z-index:2}
.skip:focus{left:.5rem;top:.5rem}
details{margin:.4rem 0;border:1px solid var(--line);border-radius:.5rem;background:var(--card);padding:0 .75rem}
summary{padding:.5rem 0;cursor:pointer;font-weight:600}
details ul{margin:0 0 .6rem;padding-left:1.1rem;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin-bottom:.6rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid var(--line)}
th:first-child{text-align:left}
.row{display:flex;flex-wrap:wrap;gap:.5rem .75rem;align-items:end}
form{padding-top:.6rem;padding-bottom:.5rem}
form label{font-size:.85rem;color:var(--soft);display:grid;gap:.1rem;flex:1 1 8.5rem;max-width:14rem;min-width:0}
form label.tick{display:flex;align-items:center;gap:.5rem;min-height:2.5rem;color:var(--ink);font-size:.95rem}
.tick input{width:1.2rem;height:1.2rem}
select,input[type=search]{font:inherit;font-size:1rem;color:var(--ink);background:var(--card);width:100%;min-height:2.5rem;
border:1px solid var(--edge);border-radius:.4rem;padding:.2rem .5rem}
::placeholder{color:var(--soft);opacity:1}
button{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--edge);border-radius:.4rem;
min-height:2.5rem;padding:.2rem .8rem;cursor:pointer}
button:disabled{color:var(--soft);border-style:dashed;cursor:default}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
#count{flex:1;margin:.5rem 0 .3rem;font-weight:600}
.help{color:var(--soft);font-size:.85rem;margin:.25rem 0 .75rem}
kbd{border:1px solid var(--edge);border-radius:.25rem;padding:0 .3rem;font:inherit}
.cards{list-style:none;margin:0 0 3rem;padding:0;display:grid;gap:.75rem;
grid-template-columns:repeat(auto-fill,minmax(min(10rem,calc(50% - .375rem)),1fr))}
.cards li{content-visibility:auto;contain-intrinsic-size:auto 10rem auto 20rem}
article{height:100%;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem;
display:flex;flex-direction:column}
article:focus{outline:3px solid var(--accent);outline-offset:-3px}
article p{margin:0;overflow-wrap:anywhere}
img{width:100%;aspect-ratio:1;object-fit:contain;background:var(--mat);border-radius:.3rem;margin-bottom:.35rem}
article .id{font:.8rem/1.4 ui-monospace,Menlo,Consolas,monospace;color:var(--soft);white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}
.was,.is{font-size:.95rem}
article .how{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem;font-size:.85rem;color:var(--soft);
font-variant-numeric:tabular-nums;margin-bottom:.4rem}
.flag{border:1px solid var(--edge);border-radius:.25rem;padding:0 .3rem;color:var(--ink)}
.do{display:flex;gap:.4rem;margin-top:auto!important}
.do button{flex:1;padding:.1rem;min-height:2.4rem;min-width:0}
.do button[aria-pressed=true]{font-weight:700;background:var(--ink);color:var(--card)}
.do button[aria-pressed=true]::before{content:"\\2713\\A0"}
article[data-m=wrong]{border:2px solid var(--wrong);padding:calc(.5rem - 1px)}
article[data-m=fine]{border:2px solid var(--fine);padding:calc(.5rem - 1px)}
@media (min-width:60rem) and (min-height:40rem){form{position:sticky;top:0;z-index:1;background:var(--page)}
.cards li{scroll-margin-top:9rem}.row{flex-wrap:nowrap}.row>button{white-space:nowrap}}
"""

# The hash of the address holds the filters, so that a view can be shared: #given=3&suggested=5&issues=1&q=…&sort=class
SCRIPT = """
"use strict";
const list = document.getElementById("cards"), form = document.getElementById("filters");
const cards = [...list.querySelectorAll("article")];
const names = new Map(cards.map((card) => [card, card.querySelector(".id").textContent]));
const words = new Map(cards.map((card) => [card, names.get(card).toLowerCase()]));
const rank = new Map(cards.map((card, i) => [card, i]));
const count = document.getElementById("count"), save = document.getElementById("save");
const FIELDS = ["given", "suggested", "q", "marked", "sort"];
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
    && (wanted.marked === "" || (wanted.marked === "no" ? !data.m : data.m === wanted.marked));
}

function draw() {
  const wanted = { issues: form.elements.issues.checked, q: form.elements.q.value.toLowerCase() };
  for (const field of ["given", "suggested", "marked"]) wanted[field] = form.elements[field].value;
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
  const content = ["index,given_label,predicted_label,decision", ...rows, ""].join("\\r\\n");
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
"""
