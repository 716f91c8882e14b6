// The front: any objective against any other, brushed with a box or a lasso, walked along with arrow keys.
const LOOKS = [
  { kind: "trial", name: "trial", symbol: "circle", size: 6, colour: "point" },
  { kind: "front", name: "on the front", symbol: "circle", size: 9, colour: "ink", edge: "surface" },
  { kind: "uniform", name: "uniform", symbol: "square-open", size: 10, colour: "ink" },
  { kind: "baseline", name: "32-bit", symbol: "diamond", size: 11, colour: "ink", edge: "surface" },
  { kind: "best", name: "best under budget", symbol: "circle-open", size: 13, colour: "accent", line: 2.5 },
  { kind: "knee", name: "knee", symbol: "star", size: 17, colour: "accent", edge: "surface" },
];

function startFront() {
  const node = document.getElementById("front-chart");
  if (!node) return;
  const controls = {};
  for (const id of ["front-x", "front-y", "front-x-log", "front-y-log", "front-intervals"]) controls[id] = document.getElementById(id);
  const axisOf = (side) => controls[`front-${side}`].value;
  let scales = {};
  let ranges = { x: null, y: null };
  const resetLog = (side) => { controls[`front-${side}-log`].checked = prefersLog(axisOf(side)); ranges[side] = null; };
  resetLog("x");
  resetLog("y");

  const shownValues = (name) => {
    const values = trials.values[name].filter((value) => value !== null);
    if (name === "accuracy" && controls["front-intervals"].checked)
      trials.numbers.forEach((_, i) => { if (trials.front[i] && trials.low[i] !== null) values.push(trials.low[i], trials.high[i]); });
    return values;
  };

  function describe(colour) {
    const names = { x: axisOf("x"), y: axisOf("y") };
    scales = Object.fromEntries(["x", "y"].map((side) =>
      [side, scaleOf(names[side], controls[`front-${side}-log`].checked, shownValues(names[side]))]));
    const at = (side, index) => scales[side].place(valueOf(names[side], index));
    const corners = stairs(names.x, names.y);
    const traces = [{
      x: corners.map(([x]) => scales.x.place(x)), y: corners.map(([, y]) => scales.y.place(y)), mode: "lines",
      hoverinfo: "skip", line: { color: colour.ink, width: 1.2 }, opacity: selection.chosen ? 0.3 : 0.55,
    }];
    for (const look of LOOKS) {
      const indices = trials.numbers.map((_, index) => index).filter((index) => kindOf(index) === look.kind);
      if (!indices.length) continue;
      const numbers = indices.map((index) => trials.numbers[index]);
      traces.push({
        x: indices.map((index) => at("x", index)), y: indices.map((index) => at("y", index)), customdata: numbers, name: look.name,
        mode: "markers", hoverinfo: "none", ...intervals(look, indices, names, colour),
        marker: {
          symbol: indices.map((index) => (look.kind === "trial" && !trials.feasible[index] ? "x-thin-open" : look.symbol)),
          size: look.size, color: colour[look.colour], opacity: opacities(numbers),
          line: { width: look.line ?? (look.kind === "uniform" ? 1.8 : look.kind === "trial" ? 1.2 : 1.2), color: colour[look.edge ?? look.colour] },
        },
        selected: { marker: {} }, unselected: { marker: {} },
      });
    }
    const narrow = isNarrow(node), isPrinted = document.documentElement.dataset.printing !== undefined;
    const height = narrow || isPrinted ? 400 : 520;
    const axis = (side) => {
      const range = ranges[side] ?? scales[side].range;
      return { title: literal(scales[side].title), range, ...ticksIn(scales[side], range, side === "x" && narrow ? 4 : 7), showline: side === "x" };
    };
    const layout = {
      xaxis: axis("x"), yaxis: axis("y"), dragmode: isTouch ? false : (node.layout?.dragmode ?? "select"),
      margin: { l: narrow ? 52 : 64, r: 22, t: 30, b: 50 }, shapes: budgetLines(names, colour),
      annotations: [...labels(indicesWithNames(), at, colour, narrow, height), ...budgetLabels(names, colour)], selections: [],
    };
    return { traces, layout, height };
  }

  // On a phone only the most important names have room; the symbols are told apart below the table.
  const indicesWithNames = () => trials.numbers.map((_, index) => index)
    .filter((index) => trials.labels[index] && !(isNarrow(node) && trials.kinds[index] === "uniform"))
    .sort((a, b) => LOOKS.findIndex((look) => look.kind === kindOf(b)) - LOOKS.findIndex((look) => look.kind === kindOf(a)));

  function intervals(look, indices, names, colour) {
    if (look.kind === "trial" || !controls["front-intervals"].checked) return {};
    const bars = {};
    for (const side of ["x", "y"].filter((side) => names[side] === "accuracy")) {
      const place = scales[side].place;
      const middle = (index) => place(valueOf("accuracy", index));
      const known = (index) => trials.low[index] !== null && selection.has(trials.numbers[index]);
      bars[`error_${side}`] = {
        type: "data", symmetric: false, thickness: 0.9, width: 0, color: colour[look.colour === "accent" ? "accent" : "point"],
        array: indices.map((index) => (known(index) ? place(trials.high[index]) - middle(index) : 0)),
        arrayminus: indices.map((index) => (known(index) ? middle(index) - place(trials.low[index]) : 0)),
      };
    }
    return bars;
  }

  // Names beside their marks, where they cover no other mark or name.
  function labels(indices, at, colour, narrow, height) {
    const width = node.clientWidth - 86, tall = height - 80, size = 12.5;
    const pixel = (side, value) => {
      const [low, high] = ranges[side] ?? scales[side].range;
      return side === "x" ? ((value - low) / (high - low)) * width : (1 - (value - low) / (high - low)) * tall;
    };
    const boxes = trials.numbers.map((_, i) => i).filter(isProminent).map((i) => {
      const x = pixel("x", at("x", i)), y = pixel("y", at("y", i));
      return [x - 6, y - 6, x + 6, y + 6];
    });
    const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
    return indices.map((index) => {
      const x = pixel("x", at("x", index)), y = pixel("y", at("y", index)), text = trials.labels[index];
      const wide = text.length * size * 0.56, gap = kindOf(index) === "knee" ? 12 : 9, half = size * 0.6;
      const places = [[gap, -half], [-gap - wide, -half], [-wide / 2, gap], [-wide / 2, -gap - 2 * half], [gap, gap], [gap, -gap - 2 * half], [-gap - wide, gap],
        [-gap - wide, -gap - 2 * half], [gap, 2.4 * gap], [-gap - wide, -3 * gap]].map(([dx, dy]) => [x + dx, y + dy, x + dx + wide, y + dy + 2 * half]);
      const cost = (box) => boxes.reduce((sum, other) => sum + overlap(box, other), 0) + 9 * (wide * 2 * half - overlap(box, [0, 0, width, tall]));
      const best = places.reduce((kept, box) => (cost(box) < cost(kept) - 1e-9 ? box : kept));
      boxes.push(best);
      return {
        x: at("x", index), y: at("y", index), text: literal(text), showarrow: false, xanchor: "left", yanchor: "top",
        xshift: best[0] - x, yshift: y - best[1] + 3, opacity: selection.has(trials.numbers[index]) ? 1 : 0.3,
        font: { size, color: kindOf(index) === "knee" ? colour.accent : colour.ink, weight: kindOf(index) === "knee" ? 650 : 400 },
      };
    });
  }

  const bounded = (names) => ["x", "y"].filter((side) => run.bounds[names[side]] !== undefined);
  const budgetLines = (names, colour) => bounded(names).map((side) => {
    const at = scales[side].place(run.bounds[names[side]]), line = { color: colour.warn, width: 1.2, dash: "dash" };
    return side === "x" ? { type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line, layer: "below" }
      : { type: "line", y0: at, y1: at, xref: "paper", x0: 0, x1: 1, line, layer: "below" };
  });
  const budgetLabels = (names, colour) => bounded(names).map((side) => {
    const at = scales[side].place(run.bounds[names[side]]), common = { text: "budget", showarrow: false, font: { color: colour.warn, size: 12 } };
    return side === "x" ? { ...common, x: at, yref: "paper", y: 1, yanchor: "bottom" }
      : { ...common, y: at, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom" };
  });

  const chart = startChart("front-chart", describe, {
    toolbar: true, numberOf: (point) => point.customdata,
    onHover: (event, point) => {
      if (point.customdata === undefined) return;
      selection.focus(point.customdata);
      tooltip.showTrial(event, indexOf.get(point.customdata));
    },
    onStart: () => {
      node.on("plotly_selected", brushed);
      node.on("plotly_deselect", () => { if (!isBrushing) selection.select(null, "front"); });
      node.on("plotly_relayout", zoomed);
    },
  });
  let isBrushing = false;
  function brushed(data) {
    if (!data || isBrushing) return;
    isBrushing = true;
    selection.select(data.points.map((point) => point.customdata).filter((number) => number !== undefined), "front");
    isBrushing = false;
  }
  function zoomed(change) {
    if (!Object.keys(change).some((key) => /axis\.(range|autorange)/.test(key))) return;
    for (const side of ["x", "y"]) {
      const given = change[`${side}axis.range`] ?? (change[`${side}axis.range[0]`] !== undefined ? [change[`${side}axis.range[0]`], change[`${side}axis.range[1]`]] : undefined);
      if (given) ranges[side] = [...given];
      else if (change[`${side}axis.autorange`]) ranges[side] = null;
    }
    chart.draw();
  }
  for (const side of ["x", "y"]) {
    controls[`front-${side}`].addEventListener("change", () => {
      const other = side === "x" ? "y" : "x";
      if (axisOf(side) === axisOf(other)) {
        controls[`front-${other}`].value = axisOf(side) === "accuracy" ? "latency" : "accuracy";
        resetLog(other);
      }
      resetLog(side);
      chart.draw();
    });
    controls[`front-${side}-log`].addEventListener("change", () => { ranges[side] = null; chart.draw(); });
  }
  controls["front-intervals"].addEventListener("change", () => { ranges = { x: null, y: null }; chart.draw(); });

  // A ring around the trial that is looked at, without drawing the chart again.
  const ring = make("div", { className: "ring", "aria-hidden": "true" });
  selection.on("focus", () => {
    const index = indexOf.get(selection.focused);
    if (index === undefined || !node._fullLayout) { ring.remove(); return; }
    const { xaxis, yaxis } = node._fullLayout;
    ring.style.left = `${xaxis._offset + xaxis.l2p(scales.x.place(valueOf(axisOf("x"), index)))}px`;
    ring.style.top = `${yaxis._offset + yaxis.l2p(scales.y.place(valueOf(axisOf("y"), index)))}px`;
    node.append(ring);
  });

  // Arrow keys walk along the front, Enter selects.
  node.addEventListener("keydown", (event) => {
    const along = trials.numbers.filter((_, index) => trials.front[index])
      .sort((a, b) => valueOf(axisOf("x"), indexOf.get(a)) - valueOf(axisOf("x"), indexOf.get(b)));
    const at = along.indexOf(selection.focused);
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step && along.length) {
      event.preventDefault();
      selection.focus(along[at < 0 ? 0 : Math.min(Math.max(at + step, 0), along.length - 1)]);
    } else if ((event.key === "Enter" || event.key === " ") && selection.focused !== null) {
      event.preventDefault();
      selection.toggle(selection.focused, "keys");
    }
  });
}
