// Runs the playground's engine under Node for test_engine.py: a job as JSON on stdin, its answer as JSON on stdout.
import { readFileSync } from "node:fs";

const job = JSON.parse(readFileSync(0, "utf8"));
const engine = new Function(`${readFileSync(job.engine, "utf8")}; return playgroundEngine();`)();

function finished(work) {
  for (;;) {
    const { value, done } = work.next();
    if (done) return value;
  }
}

const floats = (text) => new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
const text = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");

const jobs = {
  // a training from a start that was made elsewhere: a row an epoch, the first before any step, and the last gradients
  train({ settings, start, orders }) {
    const layers = start.layers.map((l) => ({ ...l, weights: floats(l.weights), biases: floats(l.biases) }));
    const part = ({ images, labels }) => ({ images: floats(images), labels: Uint8Array.from(labels) });
    const task = { ...start.task, train: part(start.task.train), test: part(start.task.test) };
    let epoch = 0;
    const order = () => Int32Array.from(orders[epoch++]);
    const training = engine.training(settings, { ...start, task, layers, order });
    const rows = [finished(training.observe(true))];
    for (let e = 0; e < orders.length; e++) {
      const loss = finished(training.epoch());
      rows.push({ loss_seen: loss, ...finished(training.observe(true)) });
    }
    const gradients = rows.map((row) =>
      Object.fromEntries(
        Object.entries(row.gradients).map(([name, g]) => [name, g.map((l) => [text(l.weights), text(l.biases)])]),
      ),
    );
    return { rows: rows.map((row) => ({ ...row, gradients: undefined })), gradients: [gradients[0], gradients.at(-1)] };
  },
  // trainings from draws of the engine's own
  run({ digits, runs, epochs }) {
    const decoded = engine.decode(digits);
    return runs.map((settings) => {
      const training = engine.training(settings, engine.start(settings, decoded));
      const rows = [finished(training.observe())];
      for (let e = 0; e < epochs; e++) {
        finished(training.epoch());
        rows.push(finished(training.observe()));
      }
      return rows;
    });
  },
  // what the driver of worker.js sends for a list of messages, each sent when nothing is left to do for the last
  async drive({ worker, digits, messages }) {
    const driver = new Function(`${readFileSync(worker, "utf8")}; return playgroundDriver;`)();
    const sent = [], waiting = [...messages];
    await new Promise((done) => {
      const receive = driver(engine, digits, (message) => {
        sent.push({ ...message, row: undefined, watched: undefined, shown: message.watched?.length });
        if (message.kind === "idle") setTimeout(() => (waiting.length ? receive(waiting.shift()) : done()));
      }, 5);
      receive(waiting.shift());
    });
    return sent;
  },
  // what is drawn
  start({ digits, settings }) {
    const { task, given, layers, watched, order } = engine.start(settings, engine.decode(digits));
    const part = ({ images, labels, index }) => ({ images: [...images], labels: [...labels], index });
    const drawn = layers.map(({ inputs, weights, biases }) => ({ inputs, weights: [...weights], biases: [...biases] }));
    const orders = [[...order(7)], [...order(7)]];
    return { train: part(task.train), test: part(task.test), given: [...given], layers: drawn, watched, orders };
  },
  rounded: ({ values }) => values.map(engine.rounded),
  numbers: ({ seed, purpose, count }) => {
    const draw = engine.generator(seed, purpose);
    return Array.from({ length: count }, draw.uniform);
  },
};

process.stdout.write(JSON.stringify(await jobs[job.job](job)));
