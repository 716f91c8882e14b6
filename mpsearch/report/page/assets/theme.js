"use strict";
// Before anything is drawn: the theme of the system, unless the reader chose another on this machine.
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = window.localStorage.getItem("mpsearch-theme"); } catch { /* a file that may store nothing */ }
  const apply = () => { document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light"); };
  const changed = () => { apply(); window.dispatchEvent(new Event("themechange")); };
  window.toggleTheme = () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { window.localStorage.setItem("mpsearch-theme", chosen); } catch { /* as above */ }
    changed();
  };
  dark.addEventListener("change", changed);
  // Paper is white, whatever the screen was.
  window.addEventListener("beforeprint", () => {
    document.documentElement.dataset.theme = "light";
    document.documentElement.dataset.printing = "true";
    window.dispatchEvent(new Event("themechange"));
  });
  window.addEventListener("afterprint", () => {
    delete document.documentElement.dataset.printing;
    changed();
  });
  apply();
})();
