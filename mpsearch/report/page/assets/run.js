// The run, as the page's data have it, and what the charts ask of it.
const run = JSON.parse(document.getElementById("run-data").textContent);
const trials = run.trials;
const indexOf = new Map(trials.numbers.map((number, index) => [number, index]));
const schemeOf = new Map(run.schemes.map((scheme) => [scheme.letter, scheme]));
const schemeNamed = new Map(run.schemes.map((scheme, rank) => [scheme.name, { ...scheme, rank }]));
const LONG_STRIP = 32; // more layers than this are drawn as one picture, without letters

const valueOf = (name, index) => trials.values[name][index];
const isProminent = (index) => trials.front[index] || trials.labels[index] !== "";
const trialName = (index) => `Trial ${trials.numbers[index]}${trials.labels[index] ? ` · ${trials.labels[index]}` : ""}`;
const MARKS = { knee: "★", best: "◉", baseline: "◆", uniform: "□", front: "●", trial: "·" };
const kindOf = (index) => trials.kinds[index] || (trials.front[index] ? "front" : "trial");

function spread(index) {
  const low = trials.low[index], high = trials.high[index];
  return low === null ? "" : ` ± ${((100 * (high - low)) / 2).toFixed(1)}`;
}

// The precision strip of some letters: a cell a layer with its letter, or one picture where there are many.
function strip(letters, { wide = false } = {}) {
  const node = make("span", { className: "strip", role: "img", "aria-label": stripText(letters) });
  if (letters.length > LONG_STRIP) {
    node.append(stripCanvas(letters, wide ? 280 : 180, 18));
    return node;
  }
  if (letters.length > 12) node.classList.add("dense");
  for (const letter of letters) {
    const cell = make("i", { text: letter, "aria-hidden": "true" });
    cell.style.background = schemeOf.get(letter).colour;
    node.append(cell);
  }
  return node;
}

function stripCanvas(letters, width, height) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const across = Math.max(width * 2, letters.length);
  canvas.width = across;
  canvas.height = height;
  canvas.style.width = `${width}px`;
  const pen = canvas.getContext("2d");
  [...letters].forEach((letter, place) => {
    const from = Math.floor((place * across) / letters.length), to = Math.floor(((place + 1) * across) / letters.length);
    pen.fillStyle = schemeOf.get(letter).colour;
    pen.fillRect(from, 0, to - from, height);
  });
  return canvas;
}

// "2 layers w8a8, then 3 w1a1": what a strip says to who cannot see it.
function stripText(letters) {
  const runs = [];
  for (const letter of letters) {
    const last = runs[runs.length - 1];
    if (last && last[0] === letter) last[1] += 1;
    else runs.push([letter, 1]);
  }
  const shown = runs.slice(0, 40).map(([letter, count]) => `${count > 1 ? `${count} × ` : ""}${schemeOf.get(letter).name}`);
  return `${letters.length} layers: ${shown.join(", ")}${runs.length > 40 ? " and more" : ""}`;
}

// Trials that no other beats in two objectives, as the corners of a staircase.
function stairs(xName, yName) {
  const signs = [xName, yName].map((name) => (run.objectives[name].maximize ? -1 : 1));
  const order = trials.numbers.map((_, index) => index).sort((a, b) =>
    signs[0] * (valueOf(xName, a) - valueOf(xName, b)) || signs[1] * (valueOf(yName, a) - valueOf(yName, b)));
  const corners = [];
  let best = Infinity;
  for (const index of order) {
    const y = signs[1] * valueOf(yName, index);
    if (y < best) {
      if (corners.length) corners.push([valueOf(xName, index), corners[corners.length - 1][1]]);
      corners.push([valueOf(xName, index), valueOf(yName, index)]);
      best = y;
    }
  }
  return corners;
}
