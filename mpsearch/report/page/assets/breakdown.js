// Where the time of a policy goes: stacked by layer, or by what the layers compute.
const KIND_COLOURS = ["#4f86b8", "#c9803c", "#7a6fb5", "#5f9a76", "#b5657d", "#8b8f52"];
const KIND_PATTERNS = ["", "/", ".", "\\", "x", "-"];
const MOST_BARS = 14;

function startBreakdown() {
  const data = run.breakdown;
  if (!data.numbers.length) return;
  const placeOf = new Map(data.numbers.map((number, place) => [number, place]));
  const kinds = [...new Set(run.layers.map((layer) => layer.kind))];
  const note = document.getElementById("breakdown-note");
  const mode = segments("breakdown-by");
  const measure = segments("breakdown-as");
  const total = (place) => data.parts[place].reduce((sum, part) => sum + part, data.rest[place]);

  function shownPlaces() {
    if (selection.chosen !== null) {
      const chosen = [...selection.chosen].filter((number) => placeOf.has(number)).sort((a, b) => total(placeOf.get(b)) - total(placeOf.get(a)));
      const kept = chosen.slice(0, MOST_BARS);
      note.textContent = kept.length ? (chosen.length > kept.length ? `The ${kept.length} slowest of ${chosen.length} selected.` : kept.length < selection.chosen.size ? "Of the selected trials, those on the front or with a name." : "The selected trials.")
        : "None of the selected trials is on the front or has a name: here are those that do.";
      if (kept.length) return kept.map((number) => placeOf.get(number));
    } else note.textContent = "";
    const places = data.chosen.map((number) => placeOf.get(number)).filter((place) => place !== undefined).slice(0, MOST_BARS);
    const first = places[0];
    const isApart = measure.value === "time" && places.length > 2 && total(first) > 3 * total(places[1]);
    if (isApart && selection.chosen === null) note.textContent = `${labelOf(first)} takes ${quantity("s", total(first))} and would dwarf the others: see shares, or select it.`;
    return isApart ? places.slice(1) : places;
  }
  const labelOf = (place) => {
    const number = data.numbers[place], label = trials.labels[indexOf.get(number)];
    return label ? `${label} (${number})` : `trial ${number}`;
  };

  function pieces(place) {
    const letters = trials.strips[indexOf.get(data.numbers[place])];
    const rest = { name: "outside of layers", seconds: data.rest[place], isRest: true };
    if (mode.value === "layer") return [...data.parts[place].map((seconds, at) => ({ name: run.layers[at].name, seconds, scheme: schemeOf.get(letters[at]) })), rest];
    return [...kinds.map((kind, order) => {
      const seconds = data.parts[place].reduce((sum, part, at) => (run.layers[at].kind === kind ? sum + part : sum), 0);
      return { name: kind, seconds, order };
    }), rest];
  }

  function describe(colour, node) {
    const places = shownPlaces().reverse();
    const narrow = isNarrow(node);
    const bars = [];
    places.forEach((place, row) => {
      const whole = measure.value === "share" ? total(place) : 1;
      let from = 0;
      for (const piece of pieces(place)) {
        bars.push({ ...piece, row, base: from / whole, size: piece.seconds / whole, place });
        from += piece.seconds;
      }
    });
    const longest = Math.max(...places.map((place) => (measure.value === "share" ? 1 : total(place))));
    const fits = (bar) => (bar.size / longest) * (node.clientWidth - 190) > 13;
    const fill = (bar) => (bar.isRest ? colour.line : bar.scheme ? bar.scheme.colour : KIND_COLOURS[bar.order % KIND_COLOURS.length]);
    const hatching = { fillmode: "overlay", fgcolor: colour.surface, fgopacity: 0.6, size: 6, solidity: 0.2 };
    const traces = [{
      type: "bar", orientation: "h", showlegend: false, x: bars.map((bar) => bar.size), base: bars.map((bar) => bar.base), y: bars.map((bar) => bar.row), width: 0.66,
      customdata: bars.map((_, index) => index), hoverinfo: "none", textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none",
      text: bars.map((bar) => (bar.scheme && fits(bar) ? bar.scheme.letter : "")), textfont: { size: 11, color: "#101010" },
      marker: {
        color: bars.map(fill), line: { width: run.layers.length > 60 && mode.value === "layer" ? 0 : 1, color: colour.surface },
        pattern: mode.value === "kind" ? { shape: bars.map((bar) => (bar.isRest ? "" : KIND_PATTERNS[bar.order % KIND_PATTERNS.length])), ...hatching } : undefined,
      },
    }];
    const ticks = measure.value === "share" ? [0, 0.25, 0.5, 0.75, 1] : roundBetween(0, longest, narrow ? 3 : 6);
    const legend = mode.value === "kind" ? kinds.map((kind, order) => ({
      type: "bar", x: [null], y: [null], name: kind, showlegend: true,
      marker: { color: KIND_COLOURS[order % KIND_COLOURS.length], pattern: { shape: KIND_PATTERNS[order % KIND_PATTERNS.length], ...hatching } },
    })) : [];
    legend.push({ type: "bar", x: [null], y: [null], name: "outside of layers", showlegend: true, marker: { color: colour.line } });
    const layout = {
      barmode: "overlay", margin: { l: 20, r: measure.value === "share" ? 66 : 70, t: 12, b: 78 },
      showlegend: true, legend: { orientation: "h", y: -0.02, yref: "container", yanchor: "bottom", x: 0, font: { color: colour.soft, size: 12 }, itemclick: false, itemdoubleclick: false },
      xaxis: { range: [0, longest * 1.01], tickvals: ticks, ticktext: ticks.map((value) => (measure.value === "share" ? `${100 * value}%` : value === 0 ? "0" : tickText("s", value))) },
      yaxis: { range: [-0.6, places.length - 0.4], tickvals: places.map((_, row) => row), ticktext: places.map((place) => `${literal(shortened(labelOf(place), narrow ? 15 : 34))}  `), showgrid: false, tickfont: { color: colour.ink, size: 13 }, fixedrange: true },
      annotations: places.map((place, row) => ({
        x: measure.value === "share" ? 1 : total(place), y: row, text: ` ${quantity("s", total(place))}`, showarrow: false, xanchor: "left", font: { color: colour.soft, size: 12 },
      })),
    };
    node.bars = bars;
    return { traces: [...traces, ...legend], layout, height: 100 + 36 * Math.max(places.length, 1) };
  }
  const chart = startChart("breakdown-chart", describe, {
    onHover: (event, point) => {
      const bar = document.getElementById("breakdown-chart").bars[point.customdata];
      if (!bar) return;
      tooltip.show(event,
        make("b", { text: bar.name }),
        make("div", { text: `${quantity("s", bar.seconds)}, ${((100 * bar.seconds) / total(bar.place)).toFixed(1)}% of ${labelOf(bar.place)}` }),
        make("p", { text: bar.scheme ? bar.scheme.name : "" }));
    },
    numberOf: (point) => data.numbers[document.getElementById("breakdown-chart").bars[point.customdata]?.place],
  });
  mode.onChange(() => chart.draw());
  measure.onChange(() => chart.draw());
}

// Buttons side by side, one of which is pressed.
function segments(id) {
  const node = document.getElementById(id), buttons = [...node.querySelectorAll("button")], listeners = [];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      for (const listener of listeners) listener();
    });
  }
  return {
    get value() { return buttons.find((button) => button.getAttribute("aria-pressed") === "true").value; },
    onChange(listener) { listeners.push(listener); },
  };
}
