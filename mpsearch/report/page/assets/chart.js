// What all Plotly charts share: the page's colours, its type, its theme, its selection.
const charts = [];

function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "surface", "ink", "soft", "quiet", "line", "faint", "point", "accent", "warn"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const isNarrow = (node) => node.clientWidth < 480;
const isTouch = window.matchMedia("(pointer: coarse)").matches;

function baseLayout(colour, layout) {
  const axis = {
    gridcolor: colour.faint, linecolor: colour.line, zerolinecolor: colour.line, tickcolor: colour.line,
    tickfont: { color: colour.quiet, size: 12 }, automargin: true, tickangle: 0, zeroline: false, fixedrange: isTouch,
  };
  const merged = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 56, r: 20, t: 20, b: 44 },
    font: { family: getComputedStyle(document.body).fontFamily, color: colour.soft, size: 13 },
    hovermode: "closest", hoverdistance: 14, dragmode: false, showlegend: false, autosize: true, selectdirection: "any",
    newselection: { line: { color: colour.accent, width: 1.5, dash: "solid" } },
    activeselection: { fillcolor: colour.accent, opacity: 0.08 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour.quiet, activecolor: colour.accent },
    ...layout,
  };
  for (const name of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
    const title = layout[name].title;
    merged[name] = { ...axis, ...layout[name] };
    if (title) merged[name].title = { font: { color: colour.soft, size: 13 }, standoff: 12, ...(title.text === undefined ? { text: title } : title) };
  }
  return merged;
}

// A chart is drawn when it comes near the screen, and again when something has changed and it is near.
const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.find((each) => each.node === entry.target);
    chart.isNear = entry.isIntersecting;
    if (chart.isNear && chart.isStale) refresh(chart);
  }
}, { rootMargin: "500px" });

function refresh(chart) {
  chart.isStale = false;
  chart.draw();
  chart.node.dataset.state = "drawn";
}
function invalidate(chart) {
  chart.isStale = true;
  chart.node.dataset.state = "stale";
  if (chart.isNear) refresh(chart);
}
function addChart(chart) {
  charts.push(chart);
  chart.isStale = true;
  nearby.observe(chart.node);
}

// `describe(colour, node)` gives { traces, layout, height }; `onStart` is called once it has been drawn.
function startChart(id, describe, { toolbar = false, onHover, numberOf, onStart } = {}) {
  const node = document.getElementById(id);
  if (!node) return null;
  let isStarted = false;
  const config = {
    displaylogo: false, responsive: false, displayModeBar: toolbar && !isTouch, scrollZoom: false, doubleClick: toolbar ? "reset" : false,
    modeBarButtons: [["select2d", "lasso2d", "zoom2d", "pan2d"], ["resetScale2d", "toImage"]],
    toImageButtonOptions: { format: "svg", filename: id },
  };
  const chart = {
    id, node,
    draw() {
      if (!node.clientWidth) return;
      const { traces, layout, height } = describe(colours(), node);
      node.style.height = `${height}px`;
      Plotly.react(node, traces, { ...baseLayout(colours(), layout), width: node.clientWidth, height }, config);
      if (!isStarted) start();
    },
  };
  function start() {
    isStarted = true;
    if (onHover) {
      node.on("plotly_hover", (data) => onHover(data.event, data.points[0]));
      node.on("plotly_unhover", () => tooltip.hide());
    }
    if (numberOf) {
      node.on("plotly_click", (data) => {
        const number = numberOf(data.points[0]);
        if (number !== undefined) { selection.focus(number); selection.toggle(number, id); }
      });
    }
    onStart?.();
  }
  selection.on("select", () => invalidate(chart));
  addChart(chart);
  return chart;
}

const redrawAll = () => charts.forEach(invalidate);

// Opacity of each trial's mark: what is not selected steps back.
const opacities = (numbers, usual = 1) => numbers.map((number) => (selection.has(number) ? usual : 0.13));

function startRedraws() {
  window.addEventListener("themechange", redrawAll);
  let waiting = 0, width = innerWidth;
  window.addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's own bars come and go
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redrawAll, 120);
  });
  window.addEventListener("beforeprint", () => charts.forEach(refresh));
}
