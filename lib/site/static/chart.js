/* Curves over epochs as SVG, drawn at the size they are shown at, so that letters keep theirs on a phone. */
"use strict";

const playgroundChart = (() => {
  const MARGIN = { left: 46, right: 64, top: 18, bottom: 30 }, APART = 15; // px; least distance of two names
  const EPOCHS = [0, 1, 3, 10, 30, 100, 300, 1000, 3000];
  const along = (epoch) => (epoch < 1 ? 0.4 * epoch : 0.4 + Math.log10(epoch)); // the first ten and the last hundred

  function element(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    place(made, attributes);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function place(element, attributes) {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  }

  /* Heights of names at the ends of curves, pushed apart where they would overlap. */
  function spread(ends, bottom) {
    const order = ends.map((_, i) => i).sort((a, b) => ends[a] - ends[b]), places = order.map((i) => ends[i]);
    for (let i = 1; i < places.length; i++) places[i] = Math.max(places[i], places[i - 1] + APART);
    for (let i = places.length - 1; i >= 0; i--) {
      places[i] = Math.min(places[i], i === places.length - 1 ? bottom : places[i + 1] - APART);
    }
    const found = [];
    order.forEach((i, k) => { found[i] = places[k]; });
    return found;
  }

  /* `holder`: where it is drawn. `axis`: { from, to, ticks, logarithmic, shown(value) }. `pick(epoch)` is told where a
     reader points. Gives draw({ curves, levels, last, shown, best }): curves { name, kind, values }, a value an epoch,
     named where they end; levels { value, name } or { value, text, below }; `last`, `shown` and `best` are epochs. */
  return function chart(holder, axis, pick) {
    const svg = element("svg", { role: "img", "aria-label": holder.dataset.label });
    const frame = element("g", {}), moving = element("g", {}), shownAt = element("line", { class: "pg-shown" });
    const bestAt = element("line", { class: "pg-best" }), bestName = element("text", { "text-anchor": "middle" });
    svg.append(frame, bestAt, bestName, shownAt, moving);
    holder.replaceChildren(svg);
    let last = 200, inner = 0, key = "", curvesKey = "", named = [], paths = [];

    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointermove", (event) => event.buttons && point(event));
    function point(event) {
      const share = (event.clientX - svg.getBoundingClientRect().left - MARGIN.left) / inner;
      const place = Math.max(0, Math.min(1, share)) * along(last);
      pick(Math.round(place < 0.4 ? place / 0.4 : 10 ** (place - 0.4)));
    }

    return function draw({ curves, levels = [], last: end, shown, best }) {
      const width = holder.clientWidth, height = holder.clientHeight;
      if (!width) return;
      last = end;
      inner = width - MARGIN.left - MARGIN.right;
      const tall = height - MARGIN.top - MARGIN.bottom, bottom = MARGIN.top + tall;
      const scale = axis.logarithmic ? Math.log10 : (value) => value;
      const [low, span, wide] = [scale(axis.from), scale(axis.to) - scale(axis.from), inner / along(last)];
      const x = (epoch) => MARGIN.left + wide * along(epoch);
      const y = (value) => MARGIN.top + tall * (1 - Math.max(0, Math.min(1, (scale(value) - low) / span)));
      const across = (kind, at) =>
        element("line", { class: kind, x1: MARGIN.left, x2: MARGIN.left + inner, y1: at, y2: at });
      const upright = (line, at) => place(line, { x1: at, x2: at, y1: MARGIN.top, y2: bottom });

      const frameKey = JSON.stringify([width, height, last, levels]);
      if (frameKey !== key) { // what does not move is drawn once
        key = frameKey;
        svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
        const parts = [];
        for (const tick of axis.ticks) {
          const at = { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" };
          parts.push(across("pg-grid", y(tick)), element("text", at, axis.shown(tick)));
        }
        for (const tick of EPOCHS.filter((epoch) => epoch <= last)) {
          parts.push(element("text", { x: x(tick), y: bottom + 15, "text-anchor": "middle" }, tick));
        }
        parts.push(element("text", { x: MARGIN.left + inner, y: bottom + 28, "text-anchor": "end" }, "epoch"));
        for (const { value, text, below } of levels) {
          const at = { class: "pg-level", x: MARGIN.left + 3, y: y(value) + (below ? 13 : -4) };
          parts.push(across("pg-level", y(value)), ...(text ? [element("text", at, text)] : []));
        }
        frame.replaceChildren(...parts);
      }

      const ends = [...curves, ...levels.map(({ value, name }) => ({ name, kind: "level", at: y(value) }))];
      const namesKey = JSON.stringify(ends.map(({ name, kind }) => [name, kind]));
      if (namesKey !== curvesKey) {
        curvesKey = namesKey;
        paths = curves.map(({ kind }) => element("path", { class: `pg-curve pg-${kind}` }));
        named = ends.map(({ name, kind }) => name && element("text", { class: `pg-name pg-${kind}` }, name));
        moving.replaceChildren(...paths, ...named.filter(Boolean));
      }
      ends.forEach((end, i) => {
        end.from = MARGIN.left + inner;
        if (!end.values) return;
        let path = "", before = -9;
        end.values.forEach((value, epoch) => {
          if (!Number.isFinite(value)) return;
          const here = x(epoch);
          if (here - before < 0.7 && epoch + 1 < end.values.length) return; // no finer than the screen
          end.at = y(value);
          path += `${path ? "L" : "M"}${Math.round(10 * here) / 10} ${Math.round(10 * end.at) / 10}`;
          before = here;
        });
        end.from = before;
        paths[i].setAttribute("d", path && !path.includes("L") ? `${path}h3` : path); // of one epoch: a dash
      });
      const shownNames = ends.map((end, i) => ({ ...end, text: named[i] })).filter(({ text }) => text);
      shownNames.forEach(({ text, at }) => { text.style.display = at === undefined ? "none" : ""; });
      const told = shownNames.filter(({ at }) => at !== undefined), places = spread(told.map(({ at }) => at), bottom);
      told.forEach(({ text, from }, i) => place(text, { x: from + 5, y: places[i] + 4 }));
      upright(shownAt, x(shown));
      bestAt.style.display = bestName.style.display = best > 0 ? "" : "none";
      upright(bestAt, x(best));
      place(bestName, { x: x(best), y: MARGIN.top - 6 });
      if (!bestName.textContent) bestName.textContent = "lowest test error";
    };
  };
})();
