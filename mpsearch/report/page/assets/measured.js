// Predicted latency against what `mpsearch bench` measured: on the line, the promise was kept.
function startMeasured() {
  const rows = run.measured.filter((row) => indexOf.has(row.number));
  if (!rows.length) return;
  const values = rows.flatMap((row) => [row.predicted, row.low, row.high]);
  const isLog = Math.max(...values) > LOG_FROM * Math.min(...values);
  const place = isLog ? Math.log10 : (value) => value;
  const low = Math.min(...values.map(place)), high = Math.max(...values.map(place)), margin = (high - low) * 0.07 || Math.abs(high) * 0.1;
  const range = [low - margin, high + margin];
  const scale = { unit: "s", isLog, maximize: false, place, back: isLog ? (at) => 10 ** at : (at) => at };

  startChart("measured-chart", (colour, node) => {
    const narrow = isNarrow(node);
    const axis = (title) => ({ title: `${title}${isLog ? " (log)" : ""}`, range, ...ticksIn(scale, range, narrow ? 4 : 6) });
    const band = (by) => ({ x: range, y: range.map((at) => place(Math.max(scale.back(at) * by, 1e-12))), mode: "lines", hoverinfo: "skip", line: { width: 0 } });
    const numbers = rows.map((row) => row.number);
    return {
      height: narrow ? 360 : 430,
      traces: [
        band(0.9), { ...band(1.1), fill: "tonexty", fillcolor: colour.faint },
        { x: range, y: range, mode: "lines", hoverinfo: "skip", line: { color: colour.quiet, width: 1, dash: "dot" } },
        {
          x: rows.map((row) => place(row.predicted)), y: rows.map((row) => place(row.latency)), customdata: rows.map((_, index) => index), mode: "markers", hoverinfo: "none",
          error_y: { type: "data", symmetric: false, thickness: 1, width: 0, color: colour.point, array: rows.map((row) => place(row.high) - place(row.latency)), arrayminus: rows.map((row) => place(row.latency) - place(row.low)) },
          marker: {
            size: rows.map((row) => (kindOf(indexOf.get(row.number)) === "knee" ? 15 : 10)), opacity: opacities(numbers),
            symbol: rows.map((row) => ({ knee: "star", baseline: "diamond", uniform: "square", best: "circle" }[kindOf(indexOf.get(row.number))] ?? "circle")),
            color: rows.map((row) => (["knee", "best"].includes(kindOf(indexOf.get(row.number))) ? colour.accent : colour.ink)), line: { width: 1, color: colour.surface },
          },
        },
      ],
      layout: { xaxis: axis("predicted"), yaxis: axis("measured, median and quartiles") },
    };
  }, {
    numberOf: (point) => rows[point.customdata]?.number,
    onHover: (event, point) => {
      const row = rows[point.customdata];
      if (!row) return;
      selection.focus(row.number);
      tooltip.showTrial(event, indexOf.get(row.number), make("p", { text: `measured ${quantity("s", row.latency)}, predicted ${quantity("s", row.predicted)} (${points(row.predicted / row.latency - 1).replace(/(\.\d)\d$/, "$1")}%)` }));
    },
  });
}
