/* Draws the explorers with Vega: at the page's width, in its colours, each when it comes near the window. */
"use strict";

(() => {
  const LIGHT = { "#1b1b1f": "#ececf0", "#0072B2": "#62b8ea", "#D55E00": "#f0a04b", "#AA5C8D": "#dd9cc4" };
  const dark = () => document.documentElement.dataset.theme === "dark";

  /* A chart's specification, at a width in pixels and, on a dark page, in light colours. */
  function fitted(text, width) {
    const told = text.replaceAll('"width": "container"', `"width": ${width}`);
    const ink = dark() ? LIGHT["#1b1b1f"] : "#1b1b1f";
    const colored = dark() ? Object.entries(LIGHT).reduce((all, [from, to]) => all.replaceAll(from, to), told) : told;
    const spec = JSON.parse(colored);
    const axis = { labelColor: ink, titleColor: ink, tickColor: ink, domainColor: ink, gridOpacity: 0.25 };
    spec.config = {
      background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
      axis: { ...axis, labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal" },
      legend: { symbolOpacity: 1, labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal" },
    };
    return spec;
  }

  async function draw(place) {
    const text = place.querySelector("script").textContent, chart = place.querySelector(".explorer-chart");
    const width = Math.max(180, Math.min(620, place.clientWidth - 90));
    if (place.view && place.drawn === `${width} ${dark()}`) return;
    const kept = place.view ? place.chosen.map((name) => [name, place.view.signal(name)]) : [];
    const controls = place.querySelector(".explorer-controls");
    const spec = fitted(text, width);
    if (place.view) place.view.finalize();
    controls.replaceChildren();
    const compiled = vegaLite.compile(spec).spec;
    place.chosen = compiled.signals.filter((one) => one.bind).map((one) => one.name);
    place.view = new vega.View(vega.parse(compiled), { renderer: "svg" }).initialize(chart, controls);
    await place.view.runAsync();
    for (const [name, value] of kept) if (value !== null && value !== undefined) place.view.signal(name, value);
    await place.view.runAsync();
    place.drawn = `${width} ${dark()}`;
    place.dataset.drawn = "yes";
  }

  function begin() {
    const places = [...document.querySelectorAll(".explorer")], seen = new Set();
    const show = (place) => {
      seen.add(place);
      draw(place).catch((problem) => {
        place.querySelector(".explorer-controls").textContent = `This chart cannot be drawn here: ${problem.message}`;
      });
    };
    const near = "IntersectionObserver" in window && new IntersectionObserver((found) => {
      for (const one of found) if (one.isIntersecting) { near.unobserve(one.target); show(one.target); }
    }, { rootMargin: "600px" });
    for (const place of places) {
      place.hidden = false;
      near ? near.observe(place) : show(place);
    }
    const again = () => seen.forEach(show);
    new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    let waiting = 0;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 200); });
    addEventListener("beforeprint", () => places.filter((place) => !seen.has(place)).forEach(show));
  }

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", begin) : begin();
})();
