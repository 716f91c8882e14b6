// What one layer loses and saves when it alone takes another precision: from the trials, with intervals.
const SCHEME_SYMBOLS = ["x", "circle", "triangle-up", "diamond", "square", "cross"]; // where letters have no room

function startEffects() {
  const effects = run.effects;
  const order = document.getElementById("effects-order");
  if (!effects || !order) return;
  const choices = [...new Set(effects.rows.map((row) => row.choice))];
  const rowsOf = new Map(choices.map((choice) => [choice, effects.rows.filter((row) => row.choice === choice)]));
  const used = run.schemes.filter((scheme) => effects.rows.some((row) => row.scheme === scheme.name));
  const isCompact = choices.length > 16;
  const rowPixels = isCompact ? 30 : Math.max(34, 15 * used.length + 8);
  const worst = (choice) => Math.min(...rowsOf.get(choice).map((row) => row.change));

  // Whether a trial that is selected takes the choice at that scheme.
  const isTaken = (row) => selection.chosen === null
    || [...selection.chosen].some((number) => schemeOf.get(trials.strips[indexOf.get(number)][row.layers[0]]).name === row.scheme);

  function describe(colour, node) {
    const shown = order.value === "called" ? choices : [...choices].sort((a, b) => worst(a) - worst(b));
    const narrow = isNarrow(node);
    const place = new Map(shown.map((choice, index) => [choice, index]));
    const offset = (scheme) => (used.length > 1 ? (used.findIndex((each) => each.name === scheme) / (used.length - 1) - 0.5) * (isCompact ? 0.62 : 0.74) : 0);
    const traces = [];
    for (const scheme of used) {
      const rows = effects.rows.filter((row) => row.scheme === scheme.name);
      const y = rows.map((row) => place.get(row.choice) + offset(row.scheme));
      const opacity = rows.map((row) => (isTaken(row) ? 1 : 0.16));
      const common = { y, customdata: rows.map((row) => effects.rows.indexOf(row)), hoverinfo: "none", yaxis: "y" };
      traces.push({
        ...common, x: rows.map((row) => 100 * row.change), mode: isCompact ? "markers" : "markers+text", text: rows.map(() => scheme.letter),
        textfont: { size: 10, color: "#101010" }, name: scheme.name, cliponaxis: false,
        error_x: {
          type: "data", symmetric: false, thickness: isCompact ? 0.8 : 1.2, width: 0, color: colour.point,
          array: rows.map((row) => (isTaken(row) ? 100 * (row.high - row.change) : 0)), arrayminus: rows.map((row) => (isTaken(row) ? 100 * (row.change - row.low) : 0)),
        },
        marker: { color: scheme.colour, size: isCompact ? 8 : 14, symbol: isCompact ? SCHEME_SYMBOLS[schemeNamed.get(scheme.name).rank] : "square", opacity, line: { width: 0 } }, showlegend: isCompact,
      });
      if (!narrow) {
        for (const [axis, key, size] of [["x2", "latency", 1], ["x3", "memory", 1]]) {
          traces.push({
            ...common, type: "bar", showlegend: false, orientation: "h", xaxis: axis, x: rows.map((row) => row[key] * size), width: (isCompact ? 0.62 : 0.74) / used.length,
            marker: { color: scheme.colour, opacity, line: { width: 0 } },
          });
        }
      }
    }
    const savedAxis = (key, title, domain) => {
      const { unit } = run.objectives[key];
      const values = effects.rows.map((row) => row[key]);
      const low = Math.min(0, ...values), high = Math.max(0, ...values) || 1;
      const ticks = roundBetween(low, high, node.clientWidth < 800 ? 2 : 4);
      return { title, domain, side: "top", range: [low - (high - low) * 0.03, high + (high - low) * 0.05], tickvals: ticks, ticktext: ticks.map((value) => (value === 0 ? "0" : `${value < 0 ? "−" : ""}${tickText(unit, Math.abs(value))}`)), zeroline: true };
    };
    const most = narrow ? 14 : 30;
    const layout = {
      barmode: "overlay", bargap: 0, margin: { l: 20, r: 24, t: 62, b: isCompact ? 48 : 14 }, showlegend: isCompact,
      legend: { orientation: "h", y: 0, yref: "container", yanchor: "bottom", x: 0, font: { color: colour.soft, size: 12 }, itemclick: false, itemdoubleclick: false },
      yaxis: {
        range: [shown.length - 0.42, -0.58], tickvals: shown.map((_, index) => index), ticktext: shown.map((choice) => `${literal(shortened(choice, most))}  `),
        tickfont: { color: colour.ink, size: 13 }, showgrid: false, fixedrange: true,
      },
      xaxis: { title: narrow ? "change in points" : `change of ${literal(run.metric)}, points`, domain: narrow ? [0, 1] : [0, 0.5], side: "top", zeroline: true, zerolinecolor: colour.quiet },
      xaxis2: savedAxis("latency", "time saved", [0.55, 0.76]), xaxis3: savedAxis("memory", "memory saved", [0.81, 1]),
      shapes: [
        ...shown.slice(1).map((_, index) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: index + 0.5, y1: index + 0.5, line: { color: colour.line, width: 1 }, layer: "below" })),
        { type: "rect", x0: -100 * effects.tolerance, x1: 0, yref: "paper", y0: 0, y1: 1, fillcolor: colour.accent, opacity: 0.07, line: { width: 0 }, layer: "below" },
      ],
    };
    if (narrow) { delete layout.xaxis2; delete layout.xaxis3; }
    return { traces, layout, height: (isCompact ? 110 : 76) + rowPixels * shown.length };
  }
  const chart = startChart("effects-chart", describe, {
    onHover: (event, point) => {
      const row = effects.rows[point.customdata];
      if (!row) return;
      tooltip.show(event,
        make("b", { text: `${row.choice} at ${row.scheme}` }),
        make("div", { text: `${points(row.change)} points (${points(row.low)} to ${points(row.high)})` }),
        make("p", { text: `one training of it may show ${points(row.retrained[0])} to ${points(row.retrained[1])}` }),
        make("p", { text: `saves ${saving("s", row.latency)}, ${saving("B", row.memory)}; in ${row.trials} trials` }),
        make("p", { text: { safe: "surely within the tolerance", costly: "surely beyond the tolerance", unclear: "unclear: more trials would tell" }[row.verdict] }));
    },
  });
  order.addEventListener("change", () => chart.draw());
}
