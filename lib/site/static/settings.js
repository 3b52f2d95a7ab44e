/* The playground's settings: what they may be, and the link that carries them. */
"use strict";

const playgroundSettings = (() => {
  const TEN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const DEFAULTS = { classes: [7, 9], noise: 0.4, width: 128, rate: 0.03, momentum: 0.9, batch: 32, seed: 0 };
  const CHOICES = { // of the controls; a batch of 0 is all images
    width: [4, 8, 16, 32, 64, 128, 256, 512],
    rate: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1],
    momentum: [0, 0.5, 0.9, 0.99],
    batch: [8, 16, 32, 64, 128, 0],
  };
  const NAMES = {
    classes: "the classes", noise: "the noise rate", width: "the width", rate: "the learning rate",
    momentum: "the momentum", batch: "the batch size", seed: "the seed",
  };
  const MOST_NOISE = 0.8, MOST_SEED = 2147483647;
  const ALLOWED = {
    classes: "two different digits, such as 7,9, or ten",
    noise: `a number from 0 to ${MOST_NOISE}`,
    seed: `a whole number from 0 to ${MOST_SEED}`,
    ...Object.fromEntries(Object.entries(CHOICES).map(([name, some]) => [name, `one of ${some.join(", ")}`])),
  };

  function readSeed(text) {
    return /^\d+$/.test(text) && Number(text) <= MOST_SEED ? Number(text) : undefined;
  }

  /* A setting from a link's text, or undefined if it cannot be that. */
  function read(name, text) {
    if (name === "classes") {
      if (text === "ten") return TEN;
      if (!/^\d,\d$/.test(text) || text[0] === text[2]) return undefined;
      return [Number(text[0]), Number(text[2])];
    }
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    if (name === "noise") return value <= MOST_NOISE ? Math.round(value * 100) / 100 : undefined;
    if (name === "seed") return readSeed(text);
    return CHOICES[name].includes(value) ? value : undefined;
  }

  const written = (name, value) => (name === "classes" ? (value.length === 2 ? value.join() : "ten") : String(value));

  /* Settings from an address's query, with a sentence for each that is impossible; null if it carries none. (A query
     and no fragment: the theme's own scripts take every fragment for a selector.) */
  function fromLink(query) {
    const asked = [...new URLSearchParams(query)].filter(([name]) => name !== "highlight"); // the book's search adds it
    if (!asked.length) return null;
    const settings = { ...DEFAULTS }, problems = [];
    for (const [name, text] of asked) {
      if (!Object.hasOwn(DEFAULTS, name)) {
        problems.push(`The link sets “${name}”, which the playground does not have.`);
        continue;
      }
      const value = read(name, text);
      if (value !== undefined) settings[name] = value;
      else {
        const used = written(name, DEFAULTS[name]);
        problems.push(`The link asks for “${text}” as ${NAMES[name]}. Allowed: ${ALLOWED[name]}. Used: ${used}.`);
      }
    }
    return { settings, problems };
  }

  /* The query that carries them. */
  function toLink(settings) {
    return "?" + Object.keys(DEFAULTS).map((name) => `${name}=${written(name, settings[name])}`).join("&");
  }

  return { TEN, DEFAULTS, CHOICES, fromLink, toLink, readSeed };
})();
