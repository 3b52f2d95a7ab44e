// Sets the page's formulas with KaTeX, which lies beside this file. Without it they read as TeX.
"use strict";
(() => {
  const formulas = [...document.querySelectorAll(".math")];
  if (!formulas.length) return;
  const folder = new URL("katex/", document.currentScript.src);

  const OPENS = [["\\(", "\\)", false], ["\\[", "\\]", true], ["$$", "$$", true], ["$", "$", false]];
  function read(text) {
    const tex = text.trim();
    for (const [open, close, display] of OPENS) {
      if (tex.startsWith(open) && tex.endsWith(close)) return [tex.slice(open.length, -close.length), display];
    }
    return [tex, true];
  }

  function set(element) {
    const number = element.querySelector(".eqno");
    number?.remove();
    const [tex, displayMode] = read(element.textContent);
    element.textContent = "";
    const place = document.createElement("span");
    katex.render(tex, place, { displayMode, throwOnError: false, strict: "ignore" });
    element.append(...(number ? [number, place] : [place]));
  }

  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("katex.min.css", folder);
  const script = document.createElement("script");
  script.src = new URL("katex.min.js", folder);
  script.onload = () => {
    formulas.forEach(set);
    document.documentElement.dataset.math = "set";
  };
  // What is moved sideways is moved by keyboard too.
  function reach() {
    for (const one of document.querySelectorAll(".katex-display")) {
      if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
      else one.removeAttribute("tabindex");
    }
  }
  addEventListener("load", reach);
  addEventListener("resize", reach);
  document.head.append(style, script);
})();
