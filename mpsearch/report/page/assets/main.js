// Strips outside of the table, the theme's button, the copy buttons; then the charts, top to bottom.
function startHero() {
  const hero = document.getElementById("hero-strip");
  if (!hero) return;
  const letters = [...hero.dataset.letters];
  hero.setAttribute("aria-label", stripText(hero.dataset.letters));
  if (letters.length > 18) { hero.append(stripCanvas(letters.join(""), 1100, 44)); hero.querySelector("canvas").style.width = "100%"; return; }
  letters.forEach((letter, at) => {
    const scheme = schemeOf.get(letter);
    const cell = make("div", { className: "cell", title: `${run.layers[at].name} at ${scheme.name}: ${scheme.meaning}` },
      make("b", { text: scheme.name }), make("b", { className: "letter", text: letter }), make("span", { text: run.layers[at].name }));
    cell.style.background = scheme.colour;
    hero.append(cell);
  });
}

function startTheme() {
  const button = document.getElementById("theme-toggle");
  const name = () => { button.textContent = document.documentElement.dataset.theme === "dark" ? "Light" : "Dark"; };
  button.addEventListener("click", () => window.toggleTheme());
  window.addEventListener("themechange", name);
  name();
}

for (const cell of document.querySelectorAll("#failed [data-strip]")) cell.replaceChildren(strip(cell.dataset.strip));
for (const box of document.querySelectorAll(".copy[data-copy]")) box.append(copyButton(() => box.querySelector("code").textContent));
startTheme();
startHero();
startSelectionBar();
startTable();
for (const start of [startFront, startCard, startParallel, startEffects, startBreakdown, startMeasured, startHistory]) start();
startRedraws();
document.documentElement.dataset.ready = "true";
