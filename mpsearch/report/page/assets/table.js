// The table: strips drawn, columns sorted, rows that select.
function startTable() {
  const table = document.getElementById("trials-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = new Map();
  for (const row of body.rows) {
    const number = Number(row.dataset.number);
    rows.set(number, row);
    row.addEventListener("mouseenter", () => selection.focus(number));
    row.querySelector("input").addEventListener("change", () => selection.toggle(number, "table"));
  }
  const paintStrips = () => {
    for (const row of body.rows) {
      const cell = row.querySelector("[data-strip]");
      if (cell && row.offsetParent !== null) {
        cell.replaceChildren(strip(cell.dataset.strip));
        cell.removeAttribute("data-strip");
      }
    }
  };
  paintStrips();

  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const usual = head.dataset.first ?? "ascending";
      const other = usual === "ascending" ? "descending" : "ascending";
      const next = head.getAttribute("aria-sort") === usual ? other : usual;
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
      const key = (row) => { const value = row.cells[column].dataset.value; return value === undefined || value === "" ? NaN : Number(value); };
      const sign = next === "ascending" ? 1 : -1;
      const sorted = [...body.rows].sort((a, b) => {
        const left = key(a), right = key(b);
        if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right);
        return sign * (left - right) || Number(a.dataset.number) - Number(b.dataset.number);
      });
      body.append(...sorted);
    });
  });

  const more = document.getElementById("table-all");
  more?.addEventListener("click", () => {
    const all = table.classList.toggle("all");
    more.textContent = all ? more.dataset.fewer : more.dataset.more;
    more.setAttribute("aria-expanded", String(all));
    paintStrips();
  });
  selection.on("select", () => {
    for (const [number, row] of rows) {
      const chosen = selection.chosen !== null && selection.chosen.has(number);
      row.classList.toggle("is-selected", chosen);
      row.querySelector("input").checked = chosen;
    }
  });
  let focused = null;
  selection.on("focus", () => {
    focused?.classList.remove("is-focused");
    focused = rows.get(selection.focused) ?? null;
    focused?.classList.add("is-focused");
  });
}
