// Quantities as the rest of mpsearch writes them; `unit` is "1" (a share), "" (a loss), "s", "B" or "J".
const UNITS = {
  s: [["s", 1], ["ms", 1e-3], ["µs", 1e-6], ["ns", 1e-9]],
  B: [["GB", 1e9], ["MB", 1e6], ["KB", 1e3], ["B", 1]],
  J: [["J", 1], ["mJ", 1e-3], ["µJ", 1e-6], ["nJ", 1e-9], ["pJ", 1e-12]],
};

function quantity(unit, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (unit === "1") return `${(100 * value).toFixed(2)}%`;
  if (unit === "") return String(Number(value.toPrecision(4)));
  if (unit === "s" && value >= 59.95) return longTime(value);
  const ladder = UNITS[unit];
  const [name, size] = ladder.find(([, size]) => Math.abs(value) >= 0.9995 * size) ?? ladder[ladder.length - 1];
  const amount = value / size;
  const isWhole = Number.isInteger(amount) && size === ladder[ladder.length - 1][1];
  return `${isWhole || Math.abs(amount) >= 999.5 ? amount.toFixed(0) : amount.toPrecision(3)} ${name}`;
}

function longTime(seconds) {
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  const two = (number) => String(number).padStart(2, "0");
  return minutes >= 60 ? `${Math.floor(minutes / 60)}h ${two(minutes % 60)}m` : `${minutes}m ${two(whole % 60)}s`;
}

// A tick's text, without trailing zeros: "1.00 ms" -> "1 ms".
const tickText = (unit, value) => quantity(unit, value).replace(/(\.\d*?)0+(?=\D|$)/, (_, kept) => (kept === "." ? "" : kept));

// A saving: with a sign, since some cost more.
const saving = (unit, value) => (value === 0 ? quantity(unit, 0) : `${value < 0 ? "−" : ""}${quantity(unit, Math.abs(value))}`);
const points = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(2)}`;
const factor = (ratio) => (Number.isFinite(ratio) ? `${ratio.toFixed(ratio < 9.995 ? 2 : ratio < 99.95 ? 1 : 0)}×` : "–");

// Plotly reads markup in its texts; a layer's name holds none.
const literal = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
const shortened = (text, most) => (text.length <= most ? text : `…${text.slice(text.length - most + 1)}`);

// An element with text, classes and children; text never becomes markup.
function make(tag, { text, className, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
