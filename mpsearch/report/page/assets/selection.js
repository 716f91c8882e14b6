// Which trials are selected and which one is looked at: the one thing that all charts share.
const selection = {
  chosen: null, // null, or a Set of trial numbers
  focused: null,
  listeners: { select: [], focus: [] },

  on(event, listener) { this.listeners[event].push(listener); },
  has(number) { return this.chosen === null || this.chosen.has(number); },

  // `origin` is who asks, so that it can keep what it has drawn itself.
  select(numbers, origin) {
    const kept = [...(numbers ?? [])].filter((number) => indexOf.has(number));
    this.chosen = kept.length ? new Set(kept) : null;
    for (const listener of this.listeners.select) listener(origin);
  },
  toggle(number, origin) {
    const chosen = new Set(this.chosen ?? []);
    if (!chosen.delete(number)) chosen.add(number);
    this.select(chosen, origin);
  },
  focus(number) {
    if (number === this.focused) return;
    this.focused = number;
    for (const listener of this.listeners.focus) listener();
  },
};

function rangeText(name, indices) {
  const values = indices.map((index) => valueOf(name, index));
  const low = quantity(run.objectives[name].unit, Math.min(...values));
  const high = quantity(run.objectives[name].unit, Math.max(...values));
  return low === high ? low : `${low.replace(/%$/, "")}–${high}`;
}

function startSelectionBar() {
  const bar = document.getElementById("selection-bar");
  selection.on("select", () => {
    bar.hidden = selection.chosen === null;
    document.documentElement.classList.toggle("is-selecting", selection.chosen !== null);
    if (selection.chosen === null) return;
    const indices = [...selection.chosen].map((number) => indexOf.get(number));
    const named = indices.length === 1 ? "1 trial" : `${indices.length} trials`;
    document.getElementById("selection-text").textContent =
      `${named}: ${["accuracy", "latency", "memory"].map((name) => rangeText(name, indices)).join(" · ")}`;
  });
  document.getElementById("selection-clear").addEventListener("click", () => selection.select(null, "bar"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { selection.select(null, "keys"); tooltip.hide(); }
  });
}
