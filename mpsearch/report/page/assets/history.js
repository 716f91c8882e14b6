// How much of the box the front dominated after each trial, and after each hour.
function startHistory() {
  const { trials: counts, seconds, hypervolume, numbers } = run.history;
  if (!counts.length) return;
  const last = seconds[seconds.length - 1];
  const [unit, size] = last >= 7200 ? ["hours", 3600] : last >= 120 ? ["minutes", 60] : ["seconds", 1];
  // The first few trials, uniform policies, bring most of it; the axis shows what came after them.
  const settled = hypervolume[Math.min(hypervolume.length - 1, Math.max(3, Math.floor(hypervolume.length / 20)))], high = Math.max(...hypervolume);
  const low = settled > high / 2 ? settled : 0, margin = (high - low) * 0.15 || 0.01;

  const draw = (id, x, title) => startChart(id, (colour) => ({
    height: 300,
    traces: [
      { x, y: hypervolume, mode: "lines", line: { shape: "hv", color: colour.ink, width: 1.6 }, hoverinfo: "skip" },
      {
        x, y: hypervolume, customdata: numbers, mode: "markers", hoverinfo: "none",
        marker: { size: hypervolume.map((value, at) => (at === 0 || value > hypervolume[at - 1] ? 7 : 3)), color: numbers.map((number) => (selection.chosen?.has(number) ? colour.accent : colour.ink)), opacity: opacities(numbers, 0.9) },
      },
    ],
    layout: { xaxis: { title, rangemode: "tozero", nticks: 7 }, yaxis: { title: "hypervolume", range: [Math.max(0, low - margin), Math.min(1, high + margin)], nticks: 6, tickformat: ".3~f" } },
  }), {
    numberOf: (point) => point.customdata,
    onHover: (event, point) => {
      const index = indexOf.get(point.customdata);
      const more = make("p", { text: `hypervolume ${point.y.toFixed(4)} after ${counts[point.pointIndex]} trials` });
      if (index === undefined) { tooltip.show(event, make("b", { text: `Trial ${point.customdata} failed` }), more); return; }
      selection.focus(point.customdata);
      tooltip.showTrial(event, index, more);
    },
  });
  draw("history-trials", counts, "finished trials");
  draw("history-hours", seconds.map((value) => value / size), `${unit} of search`);
}
