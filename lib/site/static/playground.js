/* The playground's page: controls, charts, flipped images and words around a training that runs elsewhere. */
"use strict";

(() => {
  const root = document.querySelector(".playground"), still = document.querySelector(".playground-still");
  const form = root.querySelector("form"), find = (name) => root.querySelector(`[data-pg="${name}"]`);
  const { DEFAULTS, TEN, fromLink, toLink, readSeed } = playgroundSettings;
  const EPOCHS = 200, TELL = 50; // of a run; epochs between two announcements
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

  let settings = { ...DEFAULTS }, id = 0, rows = [], watched = [], picked = 0, best = 0, until = EPOCHS;
  let running = false, quiet = false, follow = true, diverged = false, due = false, tell = "";

  const send = playgroundStart(PLAYGROUND_DIGITS, (message) => {
    if (message.id !== id) return; // of a training that was given up
    if (message.kind === "row") {
      rows.push(message.row);
      if (message.watched) showWatched(message.watched);
      if (rows.length % TELL === 1 && rows.length > 1 && !quiet) tell = "row";
    } else if (message.kind === "diverged") {
      diverged = true;
      problem(["The training diverged: its loss is no longer a number. A smaller learning rate helps."]);
    } else if (rows.length || diverged) {
      if ((running && !quiet) || tell === "step") tell = "end";
      running = false;
    }
    if (!running || !calm.matches || rows.length % TELL === 1) redraw(); // reduced motion: now and then
  });

  /* ---- charts ---------------------------------------------------------------------------------------------------- */

  const axes = {
    errors: { from: 0, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1], shown: (value) => `${100 * value} %` },
    ratio: { from: 0.1, to: 100, ticks: [0.1, 0.3, 1, 3, 10, 30, 100], logarithmic: true, shown: String },
    one: { from: 0, to: 1, ticks: [0, 0.5, 1], shown: (value) => `${100 * value} %` },
  };
  const charts = {};
  for (const [name, axis] of Object.entries(axes)) {
    if (find(name)) charts[name] = playgroundChart(find(name), axis, (epoch) => look(epoch));
  }

  const column = (name) => rows.map((row) => row[name]);
  const common = (shown) => ({ last: Math.max(EPOCHS, until, rows.length - 1), shown, best });

  function drawErrors(shown) {
    const { noise } = settings, curves = [
      { name: "test", kind: "test", values: column("test_error") },
      { name: "clean", kind: "clean", values: column("clean_error") },
      { name: "noisy", kind: "noisy", values: column("noisy_error") },
    ];
    charts.errors({ ...common(shown), curves, levels: noise ? [{ value: noise, name: "noise δ" }] : [] });
  }

  function drawRatio(shown) {
    const { noise, classes } = settings, others = classes.length - 1;
    const levels = [{ value: 1, text: "balance", below: true }], mean = column("ratio");
    const curves = classes.map((digit, c) => ({
      name: others === 1 ? `class ${digit}` : "", kind: `class pg-class-${c % 2}`, values: column(`ratio_${c}`),
    }));
    // before any training all classes are as probable: a right label is off by (C - 1) / C, a wrong one by 1 / C
    const text = `${others > 1 ? `${others} ` : ""}(1 − δ) / δ`;
    if (noise) levels.push({ value: (others * (1 - noise)) / noise, text });
    charts.ratio({ ...common(shown), curves: [...curves, { name: "mean", kind: "clean", values: mean }], levels });
  }

  function drawOne(shown) {
    const names = settings.classes, one = watched[picked];
    const of = (name) => rows.map((row) => row.watched[picked]?.[name]);
    const curves = [
      { name: one && `a ${names[one.true]}`, kind: "clean", values: of("true") },
      { name: one && `a ${names[one.given]}`, kind: "noisy", values: of("given") },
    ];
    charts.one({ ...common(shown), curves });
    const is = one && `Image ${picked + 1} is a ${names[one.true]}, labelled ${names[one.given]}`;
    write("which", one ? `${is}: how probable the network finds both` : "No label is wrong.");
  }

  /* ---- flipped images -------------------------------------------------------------------------------------------- */

  function showWatched(some) {
    const list = find("flipped"), shown = Math.min(some.length, Number(list.dataset.most));
    watched = some.slice(0, shown);
    picked = Math.min(picked, Math.max(0, shown - 1));
    list.replaceChildren();
    addTiles(id);
    find("none").hidden = shown > 0;
  }

  function addTiles(training) { // some a frame, so that the page is not held
    if (training !== id) return;
    const list = find("flipped"), from = list.children.length;
    list.append(...watched.slice(from, from + 4).map((one, k) => tile(one, from + k)));
    if (list.children.length < watched.length) requestAnimationFrame(() => addTiles(training));
    redraw();
  }

  function tile({ pixels, given, true: right }, k) {
    const item = document.getElementById("pg-flipped").content.cloneNode(true).firstElementChild;
    const [is, says] = [settings.classes[right], settings.classes[given]], radio = item.querySelector("input");
    paint(item.querySelector("canvas"), pixels);
    item.querySelector(".pg-is").textContent = `Image ${k + 1}, a ${is} labelled ${says}.`;
    item.querySelector(".pg-label").textContent = `label ${says}`;
    if (!charts.one) radio.remove(); // nothing to choose it for
    else {
      radio.checked = k === picked;
      radio.addEventListener("change", () => { picked = k; redraw(); });
    }
    return item;
  }

  function paint(canvas, pixels) {
    const context = canvas.getContext("2d"), picture = context.createImageData(8, 8);
    for (let p = 0; p < 64; p++) {
      const grey = 255 - Math.round((255 * pixels[p]) / 16);
      picture.data.set([grey, grey, grey, 255], 4 * p);
    }
    context.putImageData(picture, 0, 0);
  }

  function drawWatched(shown) {
    [...find("flipped").children].forEach((item, k) => {
      const { said } = rows[shown].watched[k], one = watched[k];
      const state = said === one.true ? "true" : said === one.given ? "given" : "other";
      if (item.dataset.said === String(said)) return;
      item.dataset.said = said;
      item.dataset.state = state;
      item.querySelector(".pg-mark").textContent = { true: "✓", given: "✗", other: "○" }[state];
      item.querySelector(".pg-said").textContent = settings.classes[said];
    });
  }

  /* ---- words ----------------------------------------------------------------------------------------------------- */

  function words(shown) {
    const row = rows[shown], flips = Number.isFinite(row.called_true);
    const when = shown ? `After epoch ${shown}` : "Before any training";
    const noise = flips ? `${percent(settings.noise)} of the training labels are wrong` : "no training label is wrong";
    const told = [`${when} the network errs on ${percent(row.test_error)} of the test images (${noise}).`];
    if (flips) {
      told.push(`It calls ${percent(row.called_true)} of the wrongly labelled images what they truly are`
        + ` and repeats the wrong label of ${percent(row.called_given)}.`);
    }
    if (row.ratio && charts.ratio) {
      told.push(`The clean gradient is ${row.ratio.toPrecision(2)} times as long as the noisy one.`);
    }
    if (best > 0 && best !== shown) {
      const right = percent(rows[best].called_true);
      const then = flips ? `, when it called ${right} of those images what they truly are` : "";
      told.push(`The lowest test error was ${percent(rows[best].test_error)}, after epoch ${best}${then}.`);
    } else if (best > 0) told.push("This is the lowest test error so far.");
    return told.join(" ");
  }

  function problem(sentences) {
    const place = find("problem");
    place.textContent = sentences.join(" ");
    place.hidden = !sentences.length;
  }

  /* ---- drawing, at most once a frame ----------------------------------------------------------------------------- */

  const panels = [drawErrors, drawRatio, drawOne, drawWatched, drawWords].filter(
    (panel) => (panel !== drawRatio || charts.ratio) && (panel !== drawOne || charts.one),
  );
  const SLICE = 2; // ms a frame: what is left is drawn in the next one
  let stale = 0, turn = 0;

  function redraw() {
    stale = panels.length;
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  }

  function draw() {
    due = false;
    buttons();
    if (!rows.length) return;
    const slider = find("epoch"), last = rows.length - 1, end = performance.now() + SLICE;
    if (slider.max !== String(last)) slider.max = last;
    if (follow) slider.value = last;
    const shown = Number(slider.value);
    best = rows.reduce((least, row, epoch) => (row.test_error < rows[least].test_error ? epoch : least), 0);
    do {
      panels[turn](shown);
      turn = (turn + 1) % panels.length;
    } while (--stale > 0 && performance.now() < end);
    if (stale > 0) {
      due = true;
      requestAnimationFrame(draw);
    }
  }

  function drawWords(shown) {
    const said = words(shown), last = rows.length - 1;
    find("epoch").setAttribute("aria-valuetext", `epoch ${shown} of ${last}`);
    find("early").disabled = best === 0;
    write("shown", String(shown));
    write("words", said);
    if (tell && tell !== "step") {
      write("live", tell === "end" ? said : `Epoch ${last}. Test error ${percent(rows[last].test_error)}.`);
      tell = "";
    }
  }

  function write(name, text) {
    const place = find(name);
    if (place.textContent !== text) place.textContent = text;
  }

  function buttons() {
    write("run", running ? "Pause" : "Run");
    find("run").disabled = diverged;
    if (find("step")) find("step").disabled = running || diverged;
  }

  function look(epoch) {
    const last = rows.length - 1;
    find("epoch").value = Math.min(epoch, last);
    follow = epoch >= last;
    redraw();
  }

  /* ---- doing ----------------------------------------------------------------------------------------------------- */

  function train(epochs) {
    quiet = false;
    until = rows.length - 1 + epochs;
    running = epochs > 1;
    follow = true;
    send({ kind: "train", until });
    redraw();
  }

  function pause() {
    quiet = false;
    running = false;
    tell = "end";
    send({ kind: "pause" });
    redraw();
  }

  function reset(goOn = false) {
    rows = [];
    diverged = false;
    follow = true;
    tell = "";
    until = EPOCHS;
    running = goOn;
    send({ kind: "reset", id: ++id, settings });
    if (goOn) send({ kind: "train", until });
    buttons();
  }

  find("run").addEventListener("click", () => (running ? pause() : train(EPOCHS - ((rows.length - 1) % EPOCHS))));
  find("step")?.addEventListener("click", () => { tell = "step"; train(1); });
  find("reset").addEventListener("click", () => { reset(); tell = "end"; });
  find("early").addEventListener("click", () => look(best));
  find("epoch").addEventListener("input", () => look(Number(find("epoch").value)));
  find("copy")?.addEventListener("click", async () => {
    const address = location.href.split(/[?#]/)[0] + toLink(settings), told = find("copied");
    try {
      await navigator.clipboard.writeText(address);
      told.textContent = "Copied.";
    } catch { // not allowed here: the address bar has it
      remember("replaceState");
      told.textContent = "The address of this page carries the settings.";
    }
  });

  /* ---- controls and settings ------------------------------------------------------------------------------------- */

  const NUMBERS = ["noise", "width", "rate", "momentum", "batch"];

  function toControls() {
    const { elements } = form, ten = settings.classes.length > 2;
    for (const name of [...NUMBERS, "seed"]) if (elements[name]) elements[name].value = settings[name];
    if (elements.classes) {
      elements.classes.value = ten ? "ten" : "two";
      if (!ten) ["first", "second"].forEach((name, c) => { elements[name].value = settings.classes[c]; });
      elements.first.disabled = elements.second.disabled = ten;
    }
    find("noise").textContent = percent(settings.noise);
    if (find("whole")) find("whole").search = toLink(settings);
  }

  function fromControls(changed) {
    const { elements } = form;
    for (const name of NUMBERS) if (elements[name]) settings[name] = Number(elements[name].value);
    if (elements.seed) {
      settings.seed = readSeed(elements.seed.value) ?? DEFAULTS.seed;
    }
    if (elements.classes) {
      let pair = [Number(elements.first.value), Number(elements.second.value)];
      if (pair[0] === pair[1]) { // the other digit gives way
        const free = settings.classes.find((digit) => digit !== pair[0]);
        pair = changed === elements.first ? [pair[0], free] : [free, pair[1]];
      }
      settings.classes = elements.classes.value === "ten" ? TEN : pair;
    }
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { find("noise").textContent = percent(Number(form.elements.noise.value)); });
  form.addEventListener("change", (event) => {
    fromControls(event.target);
    toControls();
    problem([]);
    remember("replaceState");
    reset(running);
  });

  function remember(how, query = toLink(settings)) { // in the page's address, but on the first page
    try {
      if (find("copy")) history[how](null, "", query);
    } catch { /* a browser that forbids it: Copy link still has the address */ }
  }

  function begin(query) {
    const asked = fromLink(query) ?? { settings: { ...DEFAULTS }, problems: [] };
    settings = asked.settings;
    toControls();
    problem(asked.problems);
    reset();
  }

  still.hidden = true;
  root.hidden = false;
  begin(find("copy") ? location.search : "");
  if (find("copy")) {
    addEventListener("popstate", () => begin(location.search));
    document.addEventListener("click", (event) => { // links to settings need no new page
      const link = event.target.closest('a[href^="?"]');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      remember("pushState", link.search);
      begin(link.search);
      root.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
      find("run").focus({ preventScroll: true });
    });
  } else if (!calm.matches && "IntersectionObserver" in window) { // the small one begins when it is first seen
    const seen = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      seen.disconnect();
      running = quiet = true; // nobody asked for it: it is not announced
      send({ kind: "train", until });
    }, { threshold: 0.5 });
    seen.observe(root);
  }
  new ResizeObserver(redraw).observe(root);
})();
