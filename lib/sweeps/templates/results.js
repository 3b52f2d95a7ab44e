"use strict";
// The page of a sweep's results: filters, a chart of any quantity over any parameter, a table. All data lie in #data.

// Means over the values that share an x and a curve, and how far they reach, as a Vega-Lite chart.
// `rows` have x, y, by and panel: names that users chose are titles only, never fields.
function chart(rows, title, logx, logy) {
  const numbers = rows.every((row) => typeof row.x === "number");
  const positive = (key) => rows.every((row) => row[key] > 0);
  const x = { field: "x", title: title.x, type: numbers ? "quantitative" : "nominal" };
  const scaled = (log, key) => (log && positive(key) ? { type: "log" } : { type: "linear", zero: false });
  if (numbers) x.scale = scaled(logx, "x");
  const scale = scaled(logy, "y");
  const axis = { titleLimit: title.panel ? 165 : 300 };
  const y = (how, more) => ({ field: "y", type: "quantitative", aggregate: how, title: title.y, scale, axis, ...more });
  const color = title.by ? { color: { field: "by", type: "nominal", title: title.by } } : {};
  const shape = title.by ? { shape: { field: "by", type: "nominal", title: title.by } } : {};
  const spread = numbers ? { type: "area", opacity: 0.18 } : { type: "rule", opacity: 0.5 };
  const part = {
    width: 560, height: title.panel ? 170 : 320,
    layer: [
      { mark: spread, encoding: { x, y: y("min"), y2: { field: "y", aggregate: "max" }, ...color } },
      { mark: numbers ? "line" : "point", encoding: { x, y: y("mean"), ...color } },
      {
        mark: { type: "point", filled: true, size: 45 },
        encoding: {
          x, y: y("mean"), ...color, ...shape,
          tooltip: [{ ...x }, y("mean", { title: "mean" }), y("min", { title: "least" }), y("max", { title: "most" }),
            { aggregate: "count", title: "values" }],
        },
      },
    ],
  };
  const whole = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json", background: "#ffffff", data: { values: rows },
  };
  if (!title.panel) return { ...whole, ...part };
  return { ...whole, facet: { row: { field: "panel", type: "nominal", title: title.panel } }, spec: part };
}

function start(page, data) {
  const at = (id) => page.getElementById(id);
  const columns = data.parameters.length, state = columns, seconds = columns + 1, error = columns + 2;
  const means = data.points.map(() => []);
  data.quantities.forEach((_, quantity) => {
    const sums = data.points.map(() => [0, 0]);
    for (const [point, one, value] of data.values) if (one === quantity) { sums[point][0] += value; sums[point][1]++; }
    sums.forEach(([sum, count], point) => { means[point][quantity] = count ? sum / count : null; });
  });
  const word = (value) => (value === null ? "" : typeof value === "number" ? String(+value.toPrecision(5)) : String(value));
  const make = (tag, text, more = {}) => Object.assign(page.createElement(tag), { textContent: text, ...more });
  const option = (value, text) => make("option", text, { value });

  const filters = [];
  const box = at("filters").querySelector("fieldset");
  [...data.parameters, "state"].forEach((name, column) => {
    const values = [...new Set(data.points.map((point) => word(point[column])))];
    if (values.length < 2) return;
    if (values.every((value) => value !== "" && !isNaN(value))) values.sort((a, b) => a - b); else values.sort();
    const label = make("label", name + " ");
    const input = values.length <= 40 ? page.createElement("select") : make("input", "", { type: "search", size: 8 });
    input.dataset.name = name;
    if (input.tagName === "SELECT") input.append(option("", "any"), ...values.map((value) => option("=" + value, value || "none")));
    label.append(input);
    box.append(label);
    input.addEventListener("input", draw);
    filters.push((point) => {
      const wanted = input.value;
      return !wanted || (wanted[0] === "=" ? word(point[column]) === wanted.slice(1) : word(point[column]).includes(wanted));
    });
  });
  at("filters").hidden = !filters.length;

  data.quantities.forEach((name, number) => at("y").append(option(number, name)));
  data.parameters.forEach((name, number) => { at("x").append(option(number, name)); });
  for (const id of ["by", "panel"]) {
    at(id).append(option("", "none"));
    data.parameters.forEach((name, number) => at(id).append(option(number, name)));
    at(id).value = data.start[id];
  }
  at("y").value = data.start.y; at("x").value = data.start.x; at("logx").checked = data.start.logx;
  for (const id of ["y", "x", "by", "panel", "logx", "logy"]) at(id).addEventListener("input", draw);

  let sorted = null, down = false, shown = 200;
  const head = [...data.parameters, "state", "seconds", ...data.quantities];
  const row = page.createElement("tr");
  head.forEach((name, column) => {
    const cell = make("th", "", { scope: "col" }), button = make("button", name, { type: "button" });
    button.addEventListener("click", () => { down = sorted === column && !down; sorted = column; draw(); });
    cell.append(button); row.append(cell);
  });
  if (data.points.some((point) => point[error])) row.append(make("th", "error", { scope: "col" }));
  at("table").tHead.append(row);
  const value = (point, column) => (column <= seconds ? data.points[point][column] : means[point][column - seconds - 1]);
  at("more").addEventListener("click", () => { shown += 1000; draw(); });

  function draw() {
    const chosen = data.points.map((_, number) => number).filter((number) => filters.every((one) => one(data.points[number])));
    at("count").textContent = `${chosen.length} of ${data.points.length} points`;
    if (sorted !== null) {
      chosen.sort((a, b) => {
        const one = value(a, sorted), other = value(b, sorted);
        if (one === null || other === null) return (one === null) - (other === null);
        return (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1);
      });
    }
    [...at("table").tHead.rows[0].cells].forEach((cell, column) =>
      cell.setAttribute("aria-sort", column !== sorted ? "none" : down ? "descending" : "ascending"));
    at("table").tBodies[0].replaceChildren(...chosen.slice(0, shown).map((point) => {
      const line = page.createElement("tr");
      line.className = data.points[point][state];
      head.forEach((_, column) => {
        const told = value(point, column);
        line.append(make("td", word(told), { className: typeof told === "number" ? "" : "word" }));
      });
      if (data.points[point][error]) line.append(make("td", data.points[point][error], { className: "error" }));
      return line;
    }));
    at("more").hidden = chosen.length <= shown;
    plot(new Set(chosen));
  }

  const named = (parameter, point) => (parameter === "" ? "" : word(data.points[point][parameter]));
  let drawing = 0;
  function plot(chosen) {
    const number = ++drawing, y = +at("y").value, x = at("x").value, by = at("by").value, panel = at("panel").value;
    const place = at("chart");
    if (!data.quantities.length || x === "") {
      place.textContent = data.quantities.length ? "No parameter was varied." : "No number was collected: there is nothing to draw.";
      return;
    }
    const rows = data.values.filter(([point, quantity]) => quantity === y && chosen.has(point)).map(([point, , found]) => (
      { x: data.points[point][x], y: found, by: named(by, point), panel: named(panel, point) }));
    const title = { x: data.parameters[x], y: data.quantities[y], by: by === "" ? "" : data.parameters[by],
      panel: panel === "" ? "" : data.parameters[panel] };
    const caption = `${title.y} over ${title.x}${title.by ? `, a curve for each ${title.by}` : ""}` +
      `${title.panel ? `, a panel for each ${title.panel}` : ""}: mean of the values of all ` +
      "chosen points there, and from the least to the most as a band.";
    at("caption").textContent = rows.length ? caption : "None of the chosen points has this quantity.";
    const view = new vega.View(vega.parse(vegaLite.compile(chart(rows, title, at("logx").checked, at("logy").checked)).spec),
      { renderer: "none" });
    view.toSVG().then((svg) => { if (number === drawing) place.innerHTML = svg; })
      .catch((problem) => { place.textContent = `This cannot be drawn: ${problem.message}`; });
  }
  draw();
}

if (typeof document !== "undefined") start(document, JSON.parse(document.getElementById("data").textContent));
