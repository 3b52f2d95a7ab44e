/* Training with wrong labels, and what is measured on the way: the playground's own code, without any page.

What `lib` does in PyTorch (its data, noise, models, train, gradients and observe) is done here in plain
JavaScript over Float32Arrays, for the digits and a network of two hidden layers; from the same start both give the same
numbers (tests/site/test_engine.py). What is drawn at random (images kept for testing, wrong labels, weights, order,
images watched) comes from generators of our own, one for each purpose: `generator` says which. Other draws than
PyTorch's, so another run than that of the same seed in the book.

All of it is one function, so that a page without a server can hand its text to a Worker. */
"use strict";

function playgroundEngine() {
  const PIXELS = 64, WHITE = 16, CLASSES = 10;
  const WATCHED = 24; // flipped images followed one by one
  const PASS = 8e5; // weights times images of one unit of work: some milliseconds

  /* ---- random numbers -------------------------------------------------------------------------------------------- */

  /* A generator for a seed and a purpose: Chris Doty-Humphrey's small fast counter (sfc32), begun with the seed, the
     FNV-1a hash of the purpose, a constant and a count of 1, and turned 15 times before its first number. */
  function generator(seed, purpose) {
    let a = seed | 0, b = 0x811c9dc5 | 0, c = 0x9e3779b9 | 0, count = 1;
    for (let i = 0; i < purpose.length; i++) b = Math.imul(b ^ purpose.charCodeAt(i), 0x01000193);
    function bits() {
      const sum = (a + b + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + sum | 0;
      return sum >>> 0;
    }
    for (let i = 0; i < 15; i++) bits();
    const uniform = () => bits() / 4294967296; // in [0, 1)
    const below = (n) => Math.floor(uniform() * n); // 0 to n - 1
    function shuffled(n) { // 0 to n - 1 in random order
      const order = Int32Array.from({ length: n }, (_, i) => i);
      for (let i = n - 1; i > 0; i--) {
        const j = below(i + 1), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
      }
      return order;
    }
    return { uniform, below, shuffled };
  }

  /* ---- data ------------------------------------------------------------------------------------------------------ */

  /* The digits from the page's string: five bits a pixel (0 to 16), the highest first, then the labels, as base64. */
  function decode(text) {
    const bytes = atob(text), values = new Uint8Array(Math.floor(bytes.length * 8 / 5));
    for (let i = 0, bit = 0; i < values.length; i++, bit += 5) {
      const two = (bytes.charCodeAt(bit >> 3) << 8) | (bytes.charCodeAt((bit >> 3) + 1) || 0);
      values[i] = (two >> (11 - (bit & 7))) & 31;
    }
    const count = Math.floor(values.length / (PIXELS + 1));
    const end = count * PIXELS;
    return { images: values.subarray(0, end), labels: values.subarray(end, end + count) };
  }

  /* Training and test images of the given digits, [n, 64] in [0, 1], a third of each class to test (as lib/data.py). */
  function task(digits, classes, draw) {
    const order = draw.shuffled(digits.labels.length), parts = { train: [], test: [] };
    classes.forEach((digit, c) => {
      const members = [...order].filter((i) => digits.labels[i] === digit), third = Math.floor(members.length / 3);
      members.forEach((i, k) => parts[k < third ? "test" : "train"].push([i, c]));
    });
    function gathered(part) {
      const images = new Float32Array(part.length * PIXELS);
      part.forEach(([i], k) => {
        for (let p = 0; p < PIXELS; p++) images[k * PIXELS + p] = digits.images[i * PIXELS + p] / WHITE;
      });
      return { images, labels: Uint8Array.from(part, ([, c]) => c), index: part.map(([i]) => i) };
    }
    const outputs = classes.length === 2 ? 1 : classes.length;
    return { train: gathered(parts.train), test: gathered(parts.test), classes: classes.length, outputs };
  }

  /* To the nearest whole number, halves to the even one, as Python rounds. */
  function rounded(x) {
    const below = Math.floor(x), rest = x - below;
    return rest === 0.5 ? below + (below % 2) : Math.round(x);
  }

  /* Another label for round(rate n_c) images of each class c, uniform over the other classes (as lib/noise.py). */
  function flipped(labels, rate, classes, draw) {
    const given = Uint8Array.from(labels);
    for (let c = 0; c < classes; c++) {
      const members = [...draw.shuffled(labels.length)].filter((i) => labels[i] === c);
      const wrong = members.slice(0, rounded(rate * members.length));
      for (const i of wrong) given[i] = (c + 1 + draw.below(classes - 1)) % classes;
    }
    return given;
  }

  /* ---- the network ----------------------------------------------------------------------------------------------- */

  /* Linear layers with ReLU between. Weights lie input by input: those of input j are at j * outputs. Drawn as PyTorch
     does, uniform within 1 / sqrt(inputs), biases too. */
  function network(sizes, draw) {
    return sizes.slice(1).map((outputs, l) => {
      const inputs = sizes[l], bound = 1 / Math.sqrt(inputs);
      function drawn(n) {
        const values = new Float32Array(n);
        for (let k = 0; k < n; k++) values[k] = bound * (2 * draw.uniform() - 1);
        return values;
      }
      return { inputs, outputs, weights: drawn(inputs * outputs), biases: drawn(outputs) };
    });
  }

  const like = (layers) =>
    layers.map((l) => ({ weights: new Float32Array(l.weights.length), biases: new Float32Array(l.biases.length) }));
  const copy = ({ weights, biases }) => ({ weights: weights.slice(), biases: biases.slice() });
  const size = (layers) => layers.reduce((sum, l) => sum + l.weights.length + l.biases.length, 0);

  /* target[at ...] += sum of factors[k] * source[starts[k] ...]: four rows at once, since a load costs what a
     multiplication does. Forward passes and gradients are made of this. */
  function addRows(target, at, length, source, starts, factors, count) {
    let k = 0;
    for (; k + 3 < count; k += 4) {
      const a = factors[k], b = factors[k + 1], c = factors[k + 2], d = factors[k + 3];
      const p = starts[k], q = starts[k + 1], r = starts[k + 2], s = starts[k + 3];
      for (let o = 0; o < length; o++) {
        target[at + o] += a * source[p + o] + b * source[q + o] + c * source[r + o] + d * source[s + o];
      }
    }
    for (; k < count; k++) {
      const a = factors[k], p = starts[k];
      for (let o = 0; o < length; o++) target[at + o] += a * source[p + o];
    }
  }

  /* target[at + j] = inner product of rows[j * length ...] and vector[from ...], for `count` inputs j of `which`. */
  function dotRows(target, at, rows, which, count, vector, from, length) {
    let k = 0;
    for (; k + 3 < count; k += 4) {
      const p = which[k] * length, q = which[k + 1] * length, r = which[k + 2] * length, s = which[k + 3] * length;
      let a = 0, b = 0, c = 0, d = 0;
      for (let o = 0; o < length; o++) {
        const v = vector[from + o];
        a += v * rows[p + o];
        b += v * rows[q + o];
        c += v * rows[r + o];
        d += v * rows[s + o];
      }
      target[at + which[k]] = a;
      target[at + which[k + 1]] = b;
      target[at + which[k + 2]] = c;
      target[at + which[k + 3]] = d;
    }
    for (; k < count; k++) {
      const p = which[k] * length;
      let a = 0;
      for (let o = 0; o < length; o++) a += vector[from + o] * rows[p + o];
      target[at + which[k]] = a;
    }
  }

  /* Room for passes of `most` images: activations and derivatives of each layer, and lists of what is not zero. */
  function passes(layers, most) {
    const sizes = [layers[0].inputs, ...layers.map((l) => l.outputs)], widest = Math.max(most, ...sizes);
    const room = () => sizes.map((n) => new Float32Array(most * n)), activations = room(), deltas = room();
    const starts = new Int32Array(widest), factors = new Float32Array(widest), last = layers.length;

    /* Outputs h of images `index[from ...]`, [n, outputs]; half of all pixels and activations are 0: left out. */
    function forward(images, index, from, n) {
      for (let i = 0; i < n; i++) {
        const start = index[from + i] * sizes[0];
        activations[0].set(images.subarray(start, start + sizes[0]), i * sizes[0]);
      }
      layers.forEach((layer, l) => {
        const x = activations[l], y = activations[l + 1], { inputs, outputs } = layer;
        for (let i = 0; i < n; i++) {
          let count = 0;
          for (let j = 0; j < inputs; j++) {
            const value = x[i * inputs + j];
            if (value !== 0) { factors[count] = value; starts[count++] = j * outputs; }
          }
          y.set(layer.biases, i * outputs);
          addRows(y, i * outputs, outputs, layer.weights, starts, factors, count);
        }
        if (l + 1 < last) for (let k = 0; k < n * outputs; k++) if (!(y[k] > 0)) y[k] = y[k] !== y[k] ? NaN : 0;
      });
      return activations[last];
    }

    /* Add to `gradient` the derivatives of the sum of cotangent * h over the last pass's n images; the cotangents
       stand in `cotangent`, [n, outputs]. */
    function backward(gradient, n) {
      for (let l = last - 1; l >= 0; l--) {
        const { inputs, outputs, weights } = layers[l], x = activations[l], delta = deltas[l + 1], total = gradient[l];
        for (let i = 0; i < n; i++) for (let o = 0; o < outputs; o++) total.biases[o] += delta[i * outputs + o];
        for (let j = 0; j < inputs; j++) {
          let count = 0;
          for (let i = 0; i < n; i++) {
            const value = x[i * inputs + j];
            if (value !== 0) { factors[count] = value; starts[count++] = i * outputs; }
          }
          addRows(total.weights, j * outputs, outputs, delta, starts, factors, count);
        }
        if (l === 0) break;
        deltas[l].fill(0, 0, n * inputs); // the derivative of ReLU is 0 where its value is
        for (let i = 0; i < n; i++) {
          let count = 0;
          for (let j = 0; j < inputs; j++) if (x[i * inputs + j] !== 0) starts[count++] = j;
          dotRows(deltas[l], i * inputs, weights, starts, count, delta, i * outputs, outputs);
        }
      }
    }
    return { forward, backward, cotangent: deltas[last], most };
  }

  /* ---- loss and answers ------------------------------------------------------------------------------------------ */

  /* Of one image with outputs h[at ...]: probabilities into `f`, and the loss against `label`. One output is the
     logit of class 1 (sigmoid), more are one a class (softmax). */
  function answer(h, at, outputs, label, f) {
    if (outputs === 1) {
      const logit = h[at];
      f[0] = 1 / (1 + Math.exp(-logit));
      return Math.max(logit, 0) - logit * label + Math.log1p(Math.exp(-Math.abs(logit)));
    }
    let top = h[at], sum = 0;
    for (let o = 1; o < outputs; o++) top = Math.max(top, h[at + o]);
    for (let o = 0; o < outputs; o++) sum += f[o] = Math.exp(h[at + o] - top);
    for (let o = 0; o < outputs; o++) f[o] /= sum;
    return Math.log(sum) + top - h[at + label];
  }

  /* The class of the largest probability; a logit of exactly 0 predicts class 0. */
  function predicted(h, at, outputs) {
    if (outputs === 1) return h[at] > 0 ? 1 : 0;
    let best = 0;
    for (let o = 1; o < outputs; o++) if (h[at + o] > h[at + best]) best = o;
    return best;
  }

  const target = (label, o, outputs) => (outputs === 1 ? label : label === o ? 1 : 0);
  const probability = (f, outputs, c) => (outputs === 1 ? (c === 1 ? f[0] : 1 - f[0]) : f[c]);

  /* ---- a training ------------------------------------------------------------------------------------------------ */

  /* Everything that a training begins with, drawn from the settings' seed. */
  function start(settings, digits) {
    const { classes, noise, width, seed } = settings;
    const data = task(digits, classes, generator(seed, "images"));
    const given = flipped(data.train.labels, noise, data.classes, generator(seed, "labels"));
    const layers = network([PIXELS, width, width, data.outputs], generator(seed, "weights"));
    const order = generator(seed, "order"), watch = generator(seed, "watch");
    const noisy = [...watch.shuffled(given.length)].filter((i) => given[i] !== data.train.labels[i]);
    return { task: data, given, layers, order: (n) => order.shuffled(n), watched: noisy.slice(0, WATCHED) };
  }

  /* A training from a start; `epoch()` and `observe()` give their work in units of some milliseconds (generators). */
  function training(settings, begun) {
    const { task: data, given, layers, watched } = begun, { train, test, outputs } = data, n = given.length;
    const most = Math.max(4, Math.min(64, Math.floor(PASS / size(layers))));
    const pass = passes(layers, most), gradient = like(layers), velocity = like(layers), f = new Float64Array(outputs);
    const batch = settings.batch || n; // 0: all images
    const everyone = Int32Array.from({ length: n }, (_, i) => i);
    const subsets = [];
    for (let c = 0; c < data.classes; c++) {
      for (const kind of ["clean", "noise"]) {
        const index = everyone.filter((i) => train.labels[i] === c && (given[i] !== c) === (kind === "noise"));
        if (index.length) subsets.push({ kind, c, index });
      }
    }
    const zero = (some) => some.forEach((l) => { l.weights.fill(0); l.biases.fill(0); });

    /* One pass over the training set in a new order: mini-batch SGD with momentum; gives the mean loss seen. */
    function* epoch() {
      const order = begun.order(n);
      let total = 0;
      for (let from = 0; from < n; from += batch) {
        const many = Math.min(batch, n - from);
        zero(gradient);
        for (let done = 0; done < many; done += most) {
          const some = Math.min(most, many - done), h = pass.forward(train.images, order, from + done, some);
          for (let i = 0; i < some; i++) {
            const label = given[order[from + done + i]];
            total += answer(h, i * outputs, outputs, label, f);
            for (let o = 0; o < outputs; o++) {
              pass.cotangent[i * outputs + o] = (f[o] - target(label, o, outputs)) / many;
            }
          }
          pass.backward(gradient, some);
          yield;
        }
        layers.forEach((layer, l) => {
          for (const part of ["weights", "biases"]) move(layer[part], velocity[l][part], gradient[l][part], settings);
        });
      }
      return total / n;
    }

    /* What lib/observe.py measures: errors, losses, subset gradients and their ratios, answers to watched images. */
    function* observe(keep) {
      const row = { gradients: {}, watched: [] }, sums = { clean: [0, 0, 0], noise: [0, 0, 0], test: [0, 0, 0] };
      const places = new Map(watched.map((i, k) => [i, k]));
      let astray = 0, followed = 0; // flipped images called by their true and by their given label
      for (const { kind, c, index } of subsets) {
        zero(gradient);
        for (let from = 0; from < index.length; from += most) {
          const some = Math.min(most, index.length - from), h = pass.forward(train.images, index, from, some);
          for (let i = 0; i < some; i++) {
            const image = index[from + i], label = given[image], said = predicted(h, i * outputs, outputs);
            count(sums[kind], answer(h, i * outputs, outputs, label, f), said !== label);
            for (let o = 0; o < outputs; o++) { // the logit of the class alone (§ 5)
              const residual = f[o] - target(label, o, outputs);
              pass.cotangent[i * outputs + o] = outputs === 1 || o === c ? residual : 0;
            }
            if (kind === "noise") { astray += said === c; followed += said === label; }
            if (places.has(image)) {
              const shown = { said, given: probability(f, outputs, label), true: probability(f, outputs, c) };
              row.watched[places.get(image)] = shown;
            }
          }
          pass.backward(gradient, some);
          yield;
        }
        row[`norm_${kind}_${c}`] = norm(gradient);
        if (keep) row.gradients[`${kind}_${c}`] = gradient.map(copy);
      }
      const all = Int32Array.from({ length: test.labels.length }, (_, i) => i);
      for (let from = 0; from < all.length; from += most) {
        const some = Math.min(most, all.length - from), h = pass.forward(test.images, all, from, some);
        for (let i = 0; i < some; i++) {
          const label = test.labels[from + i], loss = answer(h, i * outputs, outputs, label, f);
          count(sums.test, loss, predicted(h, i * outputs, outputs) !== label);
        }
        yield;
      }
      for (const [name, part] of [["clean", "clean"], ["noisy", "noise"], ["test", "test"]]) {
        const [many, loss, wrong] = sums[part];
        row[`${name}_error`] = many ? wrong / many : null;
        row[`${name}_loss`] = many ? loss / many : null;
      }
      row.train_error = (sums.clean[2] + sums.noise[2]) / n;
      row.train_loss = (sums.clean[1] + sums.noise[1]) / n;
      const flips = sums.noise[0] || NaN;
      row.called_true = astray / flips;
      row.called_given = followed / flips;
      const logs = [];
      for (let c = 0; c < data.classes; c++) {
        const clean = row[`norm_clean_${c}`], noise = row[`norm_noise_${c}`];
        if (clean === undefined || noise === undefined) continue; // no noise in this class: no ratio
        row[`ratio_${c}`] = clean / noise;
        logs.push(Math.log(clean / noise));
      }
      if (logs.length) row.ratio = Math.exp(logs.reduce((a, b) => a + b) / logs.length);
      return row;
    }
    return { epoch, observe };
  }

  function count(sum, loss, wrong) {
    sum[0] += 1;
    sum[1] += loss;
    sum[2] += wrong ? 1 : 0;
  }

  /* One step of PyTorch's SGD: v = momentum v + g, w = w - rate v. */
  function move(weights, velocity, gradient, { rate, momentum }) {
    for (let k = 0; k < weights.length; k++) {
      const v = momentum * velocity[k] + gradient[k];
      velocity[k] = v;
      weights[k] -= rate * v;
    }
  }

  function norm(gradient) {
    let square = 0;
    for (const layer of gradient) {
      for (const g of layer.weights) square += g * g;
      for (const g of layer.biases) square += g * g;
    }
    return Math.sqrt(square);
  }

  return { generator, decode, task, rounded, flipped, network, start, training };
}
