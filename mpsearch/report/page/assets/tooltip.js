// What is under the pointer, beside it.
const tooltip = {
  node: document.getElementById("tooltip"),

  show(event, ...children) {
    this.node.replaceChildren(...children);
    this.node.hidden = false;
    const { width, height } = this.node.getBoundingClientRect();
    const x = event.clientX + 16 + width > innerWidth ? event.clientX - width - 16 : event.clientX + 16;
    const y = event.clientY + 16 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 16;
    this.node.style.left = `${Math.max(4, x)}px`;
    this.node.style.top = `${Math.max(4, y)}px`;
  },
  showTrial(event, index, ...more) {
    const costs = ["latency", "memory", "energy"].map((name) => quantity(run.objectives[name].unit, valueOf(name, index)));
    this.show(
      event,
      make("b", { text: trialName(index) }),
      make("div", {}, strip(trials.strips[index], { wide: true })),
      make("div", { text: `${quantity("1", valueOf("accuracy", index))}${spread(index)} ${run.metric}` }),
      make("p", { text: costs.join(" · ") }),
      ...more,
    );
  },
  hide() { this.node.hidden = true; },
};
