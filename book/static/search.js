// The search page: below each result the words around the match. They stand in search-texts.js: nothing is fetched, so
// that it works from a file too.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const results = document.getElementById("search-results");
  const asked = (new URLSearchParams(location.search).get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
  if (!results || !asked.length) return;
  const AROUND = 110;

  // Sphinx finds by stems ("gradients" finds "gradient"): where a word is not there whole, its beginning is
  function positions(text) {
    const lower = text.toLowerCase();
    return asked
      .map((word) => {
        for (let length = word.length; length >= Math.min(3, word.length); length--) {
          const start = lower.indexOf(word.slice(0, length));
          if (start >= 0) return [start, length];
        }
        return null;
      })
      .filter(Boolean);
  }

  function textOf(address) {
    const [page, anchor] = address.replace(/\?[^#]*/, "").split("#");
    const sections = BOOK_TEXTS[page.replace(/\.html$/, "")] || [];
    const at = anchor ? sections.findIndex(([id]) => id === anchor) : 0;
    const first = sections.slice(Math.max(at, 0));
    const whole = first.find(([, text]) => positions(text).length === asked.length);
    const best = whole || first.find(([, text]) => positions(text).length) || first[0];
    return best ? best[1] : "";
  }

  function snippet(text) {
    const [start, length] = positions(text)[0] || [0, 0];
    const from = Math.max(0, start - AROUND);
    const to = Math.min(text.length, start + length + AROUND);
    const match = document.createElement("mark");
    match.textContent = text.slice(start, start + length);
    const said = document.createElement("p");
    said.className = "context";
    said.append(from ? "… " : "", text.slice(from, start));
    if (length) said.append(match);
    said.append(text.slice(start + length, to), to < text.length ? " …" : "");
    return said;
  }

  function complete() {
    for (const item of results.querySelectorAll("ul.search > li:not([data-told])")) {
      item.dataset.told = "";
      const text = textOf(item.querySelector("a").getAttribute("href"));
      if (text) item.append(snippet(text));
    }
  }
  new MutationObserver(complete).observe(results, { childList: true, subtree: true });
  complete();
});
