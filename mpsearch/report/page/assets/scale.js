// An axis of one objective: what is drawn, linear or logarithmic, and the ticks in words.
const LOG_FROM = 4; // a cost whose greatest value is so many times its least
const LOG_ERROR_FROM = 10; // the same of errors, 1 - accuracy

// On the log of the error, 98% and 99% stay as far apart as 80% and 90%.
function scaleOf(name, isLog, shown) {
  const { unit, maximize, title } = run.objectives[name];
  const values = trials.values[name];
  const floor = Math.max(Math.min(...values.map((value) => 1 - value).filter((error) => error > 1e-9), 1) / 2, 1e-4);
  const place = !isLog ? (value) => value : maximize ? (value) => -Math.log10(Math.max(1 - value, floor)) : Math.log10;
  const back = !isLog ? (at) => at : maximize ? (at) => 1 - 10 ** -at : (at) => 10 ** at;
  const places = shown.map(place).filter(Number.isFinite);
  const low = Math.min(...places), high = Math.max(...places);
  const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 0.5;
  const range = [low - margin, high + margin];
  return { name, unit, place, back, range, title: `${title}${isLog ? (maximize ? " (log of error)" : " (log)") : ""}`, isLog, maximize };
}

function prefersLog(name) {
  const values = trials.values[name];
  if (!values.length) return false;
  if (!run.objectives[name].maximize) return Math.max(...values) > LOG_FROM * Math.min(...values);
  const errors = values.map((value) => Math.max(1 - value, 1e-4));
  return Math.max(...errors) > LOG_ERROR_FROM * Math.min(...errors);
}

// Round values within a range of places, at most so many.
function ticksIn(scale, [from, to], most) {
  const low = Math.min(from, to), high = Math.max(from, to);
  let values = [];
  if (scale.isLog) {
    const [first, last] = scale.maximize ? [-high, -low] : [low, high];
    for (const factors of [[1, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]]) {
      values = [];
      for (let decade = Math.floor(first); decade <= Math.ceil(last); decade += 1)
        for (const by of factors) if (Math.log10(by) + decade >= first && Math.log10(by) + decade <= last) values.push(by * 10 ** decade);
      if (values.length <= most) break;
    }
    if (scale.maximize) values = values.map((error) => 1 - error);
  }
  if (values.length < 2) values = roundBetween(scale.back(low), scale.back(high), most);
  return { tickvals: values.map(scale.place), ticktext: values.map((value) => tickText(scale.unit, value)) };
}

function roundBetween(low, high, most) {
  const rough = (high - low) / Math.max(most - 1, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((by) => by * power).find((size) => size >= rough * 0.999) ?? rough;
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-12); k += 1) values.push(Number((k * step).toPrecision(12)));
  return values;
}
