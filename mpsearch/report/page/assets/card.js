// The trial that is looked at, in full; the knee until another is, or the best of one objective.
function startCard() {
  const node = document.getElementById("card");
  const knee = trials.kinds.indexOf(trials.kinds.includes("knee") ? "knee" : "best");
  if (!node || !trials.numbers.length) return;
  const row = (name, value, note) => [make("dt", { text: name }), make("dd", {}, value, " ", make("small", { text: note }))];

  function show() {
    const index = indexOf.get(selection.focused) ?? Math.max(knee, 0);
    const number = trials.numbers[index];
    const facts = make("dl");
    const low = trials.low[index];
    facts.append(...row(run.metric, quantity("1", valueOf("accuracy", index)), low === null ? "" : `${(100 * low).toFixed(1)}–${quantity("1", trials.high[index]).replace(/\d%$/, "%")}`));
    if (trials.test[index] !== null) facts.append(...row("on test", quantity("1", trials.test[index]), ""));
    for (const name of Object.keys(run.objectives).filter((name) => name !== "accuracy")) {
      const value = valueOf(name, index);
      facts.append(...row(name.replace("_", " "), quantity(run.objectives[name].unit, value), factor(run.baseline[name] / value)));
    }
    const place = [trials.front[index] ? "on the front" : "not on the front", brokenBy(index)];
    const layers = make("div", { className: "layers", tabindex: "0", role: "group", "aria-label": "Precision of each layer" });
    [...trials.strips[index]].forEach((letter, at) => {
      layers.append(make("div", {}, make("span", { text: run.layers[at].name, title: run.layers[at].name }), strip(letter), make("span", { text: schemeOf.get(letter).name })));
    });
    const command = make("code", { text: `mpsearch export ${shellWord(run.run)} --pick ${number}` });
    node.replaceChildren(
      make("h3", {}, make("span", { className: "star", text: MARKS[kindOf(index)] }), ` ${trialName(index)}`),
      make("p", { className: "note", text: place.filter(Boolean).join(", ") }),
      strip(trials.strips[index], { wide: true }), facts, layers,
      make("div", { className: "copy" }, command, copyButton(() => command.textContent)),
    );
  }
  selection.on("focus", show);
  show();
}

// What keeps a trial from being feasible.
function brokenBy(index) {
  if (trials.feasible[index]) return "";
  const isOver = Object.entries(run.bounds).some(([name, bound]) => (run.objectives[name].maximize ? valueOf(name, index) < bound : valueOf(name, index) > bound));
  return isOver ? "over budget" : "not allowed";
}

const shellWord = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\"'\"'")}'`);

function copyButton(text) {
  const button = make("button", { type: "button", text: "Copy", "aria-label": "Copy the command" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it"; // a browser that keeps pages in files from the clipboard
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return button;
}
