// Parallel coordinates: one axis a layer from input to output, then what it costs and scores; up is better.
const PARALLEL = { top: 34, bottom: 34, side: 46, cell: 20, value: 84 };

function startParallel() {
  const node = document.getElementById("parallel-chart");
  if (!node || !trials.numbers.length) return;
  const canvas = make("canvas", { "aria-hidden": "true" });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", "Precision of each layer; activate a cell to select the trials that take it");
  node.append(canvas, svg);
  const onlyFront = document.getElementById("parallel-front");
  const used = run.schemes.filter((scheme) => trials.strips.some((letters) => letters.includes(scheme.letter)));
  const names = Object.keys(run.objectives).filter((name) => run.objectives[name].searched || name in run.bounds || name === "accuracy");
  const axes = [
    ...run.layers.map((layer, at) => ({ kind: "layer", at, label: layer.name })),
    ...names.map((name) => ({ kind: "value", name, label: name.replace("_", " ") })),
  ];
  const ranks = trials.numbers.map((_, i) => i).sort((a, b) => valueOf("accuracy", a) - valueOf("accuracy", b));
  const rankOf = [];
  ranks.forEach((index, rank) => { rankOf[index] = trials.numbers.length > 1 ? rank / (trials.numbers.length - 1) - 0.5 : 0; });
  const brushes = new Map(); // axis -> Set of letters, or [low, high] in places from 0 to 1
  let layout = null;

  function measure() {
    const isTiny = node.parentElement.clientWidth < 560;
    const isPrinted = document.documentElement.dataset.printing !== undefined; // paper does not scroll
    const least = isPrinted ? 2 : axes.length > 120 ? 15 : isTiny ? 56 : 30;
    const longest = Math.max(...axes.map((axis) => Math.min(axis.label.length, 18)));
    // Axes of numbers need room for their ends' texts, those of layers for a letter.
    const fixed = names.length * PARALLEL.value, room = node.parentElement.clientWidth - 2 * PARALLEL.side - fixed;
    let gap = Math.max(least, room / Math.max(run.layers.length - 1, 1));
    const isSlanted = gap < Math.min(longest, 14) * 6.6;
    const left = isSlanted ? Math.max(PARALLEL.side, Math.min(longest * 3.6, 70)) : PARALLEL.side;
    gap = Math.max(least, (room + PARALLEL.side - left) / Math.max(run.layers.length - 1, 1));
    const xs = axes.map((axis, place) => left + (axis.kind === "layer" ? place * gap : (run.layers.length - 1) * gap + (place - run.layers.length + 1) * PARALLEL.value));
    const width = xs[xs.length - 1] + PARALLEL.side;
    const bottom = isSlanted ? 34 + longest * 5.4 : PARALLEL.bottom;
    const height = 300 + PARALLEL.top + bottom;
    return { width, gap, xs, height, bottom, isSlanted, low: height - bottom, high: PARALLEL.top };
  }
  const xOf = (place) => layout.xs[place];
  const yOfShare = (share) => layout.low - 12 - share * (layout.low - layout.high - 24);
  const schemeShare = (letter) => (used.length > 1 ? used.findIndex((scheme) => scheme.letter === letter) / (used.length - 1) : 0.5);

  for (const axis of axes.filter((axis) => axis.kind === "value")) {
    axis.scale = scaleOf(axis.name, prefersLog(axis.name), trials.values[axis.name]);
    const places = trials.values[axis.name].map(axis.scale.place);
    const low = Math.min(...places), high = Math.max(...places);
    axis.share = (index) => {
      const share = high > low ? (places[index] - low) / (high - low) : 0.5;
      return axis.scale.maximize ? share : 1 - share;
    };
    const ends = [Math.min(...trials.values[axis.name]), Math.max(...trials.values[axis.name])].map((value) => tickText(axis.scale.unit, value));
    [axis.worst, axis.best] = axis.scale.maximize ? ends : [ends[1], ends[0]];
  }
  const yOf = (axis, index) => (axis.kind === "value" ? yOfShare(axis.share(index))
    : yOfShare(schemeShare(trials.strips[index][axis.at])) + rankOf[index] * -(PARALLEL.cell - 5));

  const shown = () => trials.numbers.map((_, index) => index).filter((index) =>
    !onlyFront.checked || trials.front[index] || selection.chosen?.has(trials.numbers[index]));

  function paint() {
    const colour = colours(), pen = canvas.getContext("2d"), scale = Math.min(window.devicePixelRatio || 1, 8000 / layout.width, 2);
    canvas.width = layout.width * scale;
    canvas.height = layout.height * scale;
    canvas.style.width = `${layout.width}px`;
    canvas.style.height = `${layout.height}px`;
    pen.scale(scale, scale);
    const indices = shown();
    const crowd = Math.min(1, 26 / indices.length), frontCrowd = Math.min(1, 30 / indices.filter((index) => trials.front[index]).length);
    const isOut = (index) => !selection.has(trials.numbers[index]);
    const order = [...indices].sort((a, b) => isOut(b) - isOut(a) || trials.front[a] - trials.front[b]);
    for (const index of order) {
      const isChosen = selection.chosen !== null && !isOut(index);
      line(pen, index, isChosen ? colour.accent : trials.front[index] ? colour.ink : colour.quiet,
        isOut(index) ? 0.05 + 0.05 * crowd : isChosen ? 0.8 : trials.front[index] ? 0.14 + 0.48 * frontCrowd : 0.1 + 0.35 * crowd, isChosen ? 1.6 : 1.1);
    }
    const focused = indexOf.get(selection.focused);
    if (focused !== undefined) line(pen, focused, colour.accent, 1, 2.8);
  }
  function line(pen, index, colour, opacity, width) {
    pen.globalAlpha = opacity;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    axes.forEach((axis, place) => {
      const x = xOf(place), y = yOf(axis, index);
      if (place === 0) pen.moveTo(x, y);
      else {
        const before = xOf(place - 1), middle = (before + x) / 2;
        pen.bezierCurveTo(middle, yOf(axes[place - 1], index), middle, y, x, y);
      }
    });
    pen.stroke();
    pen.globalAlpha = 1;
  }

  const part = (tag, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  function frame() {
    svg.setAttribute("width", layout.width);
    svg.setAttribute("height", layout.height);
    svg.replaceChildren();
    const wide = Math.min(26, layout.gap - 3), every = Math.ceil(13 / Math.max(layout.gap, 1));
    axes.forEach((axis, place) => {
      const x = xOf(place);
      svg.append(part("line", { class: "axis-line", x1: x, x2: x, y1: layout.high, y2: layout.low }));
      if (axis.kind === "value" || place % every === 0) {
        const text = shortened(axis.label, layout.isSlanted ? 18 : axis.kind === "value" ? 14 : Math.max(4, Math.floor(layout.gap / 6.6)));
        const label = part("text", layout.isSlanted
          ? { class: "axis-name", transform: `translate(${x + 4} ${layout.low + 16}) rotate(-52)`, "text-anchor": "end" }
          : { class: "axis-name", x, y: layout.low + 22, "text-anchor": "middle" }, text);
        label.append(part("title", {}, axis.label));
        svg.append(label);
      }
      if (axis.kind === "value") valueAxis(axis, place, x);
      else for (const scheme of used) svg.append(cell(axis, place, x, scheme, wide));
    });
  }

  function cell(axis, place, x, scheme, wide) {
    const y = yOfShare(schemeShare(scheme.letter)), count = trials.strips.filter((letters) => letters[axis.at] === scheme.letter).length;
    const isPressed = brushes.get(axis)?.has(scheme.letter) ?? false;
    const isFirst = place === 0 && scheme === used[used.length - 1];
    const group = part("g", { class: "axis-cell", role: "button", tabindex: isFirst ? 0 : -1, "aria-pressed": isPressed, "data-place": place, "data-letter": scheme.letter,
      "aria-label": `${axis.label} at ${scheme.name}, ${count} trials` });
    group.append(
      part("rect", { x: x - wide / 2, y: y - PARALLEL.cell / 2, width: wide, height: PARALLEL.cell, rx: 4, fill: scheme.colour, "fill-opacity": count ? 1 : 0.16 }),
      part("title", {}, `${axis.label} at ${scheme.name}: ${count} trials`));
    if (wide >= 11) group.append(part("text", { x, y: y + 4, "text-anchor": "middle", class: count ? "" : "unused" }, scheme.letter));
    const press = () => {
      const letters = brushes.get(axis) ?? new Set();
      if (!letters.delete(scheme.letter)) letters.add(scheme.letter);
      if (letters.size) brushes.set(axis, letters);
      else brushes.delete(axis);
      brush();
      svg.querySelector(`[data-place="${place}"][data-letter="${CSS.escape(scheme.letter)}"]`)?.focus({ preventScroll: true });
    };
    group.addEventListener("click", press);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); return; }
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
      const letter = used[used.indexOf(scheme) + dy]?.letter;
      const next = svg.querySelector(`[data-place="${place + dx}"][data-letter="${CSS.escape(letter ?? "")}"]`);
      if ((dx || dy) && next) { event.preventDefault(); next.focus(); }
    });
    return group;
  }

  function valueAxis(axis, place, x) {
    svg.append(part("text", { x, y: layout.high - 4, "text-anchor": "middle" }, axis.best));
    svg.append(part("text", { x, y: layout.low + 4 + (layout.isSlanted ? 0 : 2), "text-anchor": "middle" }, axis.worst));
    const kept = brushes.get(axis);
    if (kept) svg.append(part("rect", { class: "brush", x: x - 9, width: 18, rx: 4, y: yOfShare(kept[1]), height: yOfShare(kept[0]) - yOfShare(kept[1]) }));
    const wide = 44;
    const hit = part("rect", { class: "axis-hit", x: x - wide / 2, y: layout.high, width: wide, height: layout.low - layout.high, "data-axis": axis.name });
    hit.append(part("title", {}, `Drag along ${axis.label} to select`));
    hit.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      hit.setPointerCapture(event.pointerId);
      const from = shareAt(event);
      const drag = (moved) => {
        const to = shareAt(moved);
        svg.querySelector(`[data-drag]`)?.remove();
        const [low, high] = [Math.min(from, to), Math.max(from, to)];
        svg.append(part("rect", { class: "brush", "data-drag": "", x: x - 9, width: 18, rx: 4, y: yOfShare(high), height: Math.max(1, yOfShare(low) - yOfShare(high)), "pointer-events": "none" }));
      };
      const drop = (ended) => {
        hit.removeEventListener("pointermove", drag);
        const to = shareAt(ended);
        if (Math.abs(to - from) < 0.015) brushes.delete(axis);
        else brushes.set(axis, [Math.min(from, to), Math.max(from, to)]);
        brush();
      };
      hit.addEventListener("pointermove", drag);
      hit.addEventListener("pointerup", drop, { once: true });
    });
    svg.append(hit);
  }
  const shareAt = (event) => {
    const y = event.clientY - node.getBoundingClientRect().top;
    return Math.min(1.03, Math.max(-0.03, (layout.low - 12 - y) / (layout.low - layout.high - 24)));
  };

  function brush() {
    if (!brushes.size) { selection.select(null, "parallel"); return; }
    const kept = trials.numbers.filter((_, index) => [...brushes].every(([axis, range]) => (axis.kind === "layer"
      ? range.has(trials.strips[index][axis.at]) : axis.share(index) >= range[0] - 1e-9 && axis.share(index) <= range[1] + 1e-9)));
    selection.select(kept, "parallel");
  }

  node.addEventListener("pointermove", (event) => {
    if (event.buttons || event.target.closest?.(".axis-cell")) { tooltip.hide(); return; }
    const box = node.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const place = Math.max(0, axes.findLastIndex((_, at) => at < axes.length - 1 && xOf(at) <= x));
    const t = Math.min(1, Math.max(0, (x - xOf(place)) / (xOf(place + 1) - xOf(place)))), smooth = t * t * (3 - 2 * t);
    let best = null, distance = 9;
    for (const index of shown()) {
      if (!selection.has(trials.numbers[index])) continue;
      const from = yOf(axes[place], index), off = Math.abs(from + (yOf(axes[place + 1], index) - from) * smooth - y);
      if (off < distance) [best, distance] = [index, off];
    }
    if (best === null) { tooltip.hide(); return; }
    selection.focus(trials.numbers[best]);
    tooltip.showTrial(event, best);
  });
  node.addEventListener("pointerleave", () => tooltip.hide());

  function draw() {
    layout = measure();
    node.style.width = `${layout.width}px`;
    node.style.height = `${layout.height}px`;
    frame();
    paint();
  }
  const chart = { id: "parallel-chart", node, draw };
  addChart(chart);
  onlyFront.addEventListener("change", () => invalidate(chart));
  selection.on("focus", () => { if (chart.isNear && layout) paint(); });
  selection.on("select", (origin) => {
    if (origin !== "parallel") brushes.clear();
    invalidate(chart);
  });
}
