/* Keeps a training going, in a Worker or on the page's own thread: in slices, so that messages come through between
   them. One function, so that its text can be handed to a Worker. `text` is that of the digits.

   Takes { kind: "reset", id, settings }, { kind: "train", until } (an epoch) and { kind: "pause" }; sends
   { kind: "row", id, epoch, row, watched } after each epoch, { kind: "idle", id } when there is nothing left to do and
   { kind: "diverged", id, epoch } when the loss is no longer a number. */
"use strict";

function playgroundDriver(engine, text, send, slice) {
  const digits = engine.decode(text);
  let id = 0, life = null, epoch = -1, until = -1, timer = null; // epoch: the last one observed

  function* live(settings) {
    const begun = engine.start(settings, digits), training = engine.training(settings, begun);
    const image = (at) => digits.images.slice(64 * at, 64 * at + 64);
    const about = ({ given, task: { train }, watched }) =>
      watched.map((i) => ({ given: given[i], true: train.labels[i], pixels: image(train.index[i]) }));
    for (let next = 0; ; next++) {
      const loss = next ? yield* training.epoch() : 0, row = yield* training.observe();
      if (!Number.isFinite(loss + row.train_loss)) return send({ kind: "diverged", id, epoch: next });
      epoch = next;
      send({ kind: "row", id, epoch, row, watched: next ? null : about(begun) });
    }
  }

  function turn() {
    timer = null;
    for (const end = performance.now() + slice; life && epoch < until; ) {
      if (life.next().done) life = null;
      if (performance.now() > end) return wake();
    }
    send({ kind: "idle", id });
  }

  function wake() {
    timer ??= setTimeout(turn);
  }

  return function receive(message) {
    if (message.kind === "reset") {
      id = message.id;
      life = live(message.settings);
      epoch = -1;
      until = 0;
    } else if (message.kind === "train") {
      until = message.until;
    } else {
      until = epoch; // an epoch in progress is gone on with later
    }
    wake();
  };
}

/* A driver in a Worker of its own, or on this thread where there is none; gives the function that takes messages. */
function playgroundStart(text, send) {
  const here = () => playgroundDriver(playgroundEngine(), text, send, 8);
  const source = `"use strict";
    ${playgroundEngine}
    ${playgroundDriver}
    let receive;
    onmessage = ({ data }) => {
      if (receive) receive(data);
      else receive = playgroundDriver(playgroundEngine(), data, postMessage.bind(self), 60);
    };`;
  let worker, receive = null, sent = [];
  try {
    worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  } catch {
    return here();
  }
  worker.onmessage = ({ data }) => {
    sent = null; // it works
    send(data);
  };
  worker.onerror = () => { // refused after all: what was sent to it is done here
    if (!sent) return;
    receive = here();
    sent.forEach(receive);
    sent = null;
  };
  worker.postMessage(text);
  return (message) => {
    if (receive) return receive(message);
    if (sent) sent.push(message);
    worker.postMessage(message);
  };
}
