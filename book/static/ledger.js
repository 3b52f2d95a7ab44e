// The ledger's filter, search and order. The table stands in the page; without this it is whole, in the book's order.
"use strict";
(() => {
  const ledger = document.querySelector(".ledger");
  const form = ledger.querySelector(".lg-filter");
  const body = ledger.querySelector(".lg-table tbody");
  const inOrder = [...body.rows];
  const claims = inOrder.filter((row) => row.id);
  const groups = inOrder.filter((row) => !row.id);
  const texts = new Map(claims.map((row) => [row, row.textContent.toLowerCase().replace(/\s+/g, " ")]));
  const part = (name) => ledger.querySelector(`[data-lg=${name}]`);
  const fields = ["words", "verdict", "chapter", "by", "profile"];

  const at = (row, profile) => row.querySelector(profile ? `.lg-at[data-profile="${profile}"]` : ".lg-at");

  function fits(row, { words, verdict, chapter, by, profile }) {
    const differs = profile === "differs";
    const shown = at(row, differs ? "" : profile);
    return (
      shown !== null &&
      (!differs || "differs" in row.dataset) &&
      (!verdict || shown.dataset.verdict === verdict) &&
      (!chapter || row.dataset.chapter === chapter) &&
      (!by || row.dataset.by === by) &&
      words.every((word) => texts.get(row).includes(word))
    );
  }

  function filter() {
    const told = Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
    const wanted = { ...told, words: told.words.toLowerCase().split(/\s+/).filter(Boolean) };
    let shown = 0;
    const chapters = new Set();
    for (const row of claims) {
      const fit = fits(row, wanted);
      row.hidden = !fit;
      if (!fit) continue;
      shown++;
      chapters.add(row.dataset.chapter);
      const main = at(row, wanted.profile === "differs" ? "" : wanted.profile);
      for (const one of row.querySelectorAll(".lg-at")) one.classList.toggle("lg-main", one === main);
    }
    for (const group of groups) group.hidden = !chapters.has(group.nextChapter);
    ledger.querySelector(".lg-table").toggleAttribute("data-profile", Boolean(told.profile));
    part("shown").textContent =
      shown === claims.length ? `${shown} claims` : `${shown} of ${claims.length} claims`;
    part("none").hidden = shown > 0;
    return told;
  }

  function toAddress(told) {
    const link = new URLSearchParams(Object.entries(told).filter(([, value]) => value));
    history.replaceState(null, "", `${String(link) ? `?${link}` : location.pathname}${location.hash}`);
  }

  function fromAddress() {
    const link = new URLSearchParams(location.search);
    for (const name of fields) {
      const control = form.elements[name];
      control.value = link.get(name) || "";
      if (control.selectedIndex === -1) control.value = ""; // a link may ask for what there is not
    }
    filter();
  }

  function showTarget() {
    const row = claims.find((one) => `#${one.id}` === decodeURIComponent(location.hash));
    if (!row) return;
    if (row.hidden) {
      form.reset();
      filter();
    }
    row.querySelector("details").open = true;
    row.scrollIntoView({ block: "center" });
  }

  function sort(heading, order) {
    const by = heading.dataset.sort;
    for (const one of ledger.querySelectorAll("[data-sort]")) one.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
    const rank = ["holds", "partly", "undecided", "does-not-hold"];
    const key = {
      verdict: (row) => rank.indexOf(row.querySelector(".lg-main").dataset.verdict),
      source: (row) => row.cells[2].textContent,
      chapter: () => 0,
    }[by];
    const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
    const place = new Map(claims.map((row, number) => [row, number]));
    const inBook = by === "chapter" && order > 0;
    const rows = inBook
      ? inOrder
      : [...claims].sort((a, b) => order * (compare(key(a), key(b)) || place.get(a) - place.get(b)));
    body.replaceChildren(...rows);
  }

  inOrder.forEach((row, number) => {
    if (!row.id) row.nextChapter = inOrder[number + 1].dataset.chapter;
  });
  for (const heading of ledger.querySelectorAll("[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading, heading.getAttribute("aria-sort") === "ascending" ? -1 : 1));
    heading.append(button);
  }
  for (const link of ledger.querySelectorAll(".lg-counts a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      form.reset();
      form.elements.verdict.value = new URL(link.href).searchParams.get("verdict");
      toAddress(filter());
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => toAddress(filter()));
  form.addEventListener("reset", () => setTimeout(() => toAddress(filter())));
  part("all").addEventListener("click", () => form.reset());
  window.addEventListener("hashchange", showTarget);
  form.hidden = false;
  fromAddress();
  showTarget();
})();
