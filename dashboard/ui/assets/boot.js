// Runs in <head>, before the first paint: sets the colour scheme that was chosen, or the system's, so that nothing flashes.
(function () {
  "use strict";
  var chosen = "auto";
  try {
    chosen = localStorage.getItem("mantine-color-scheme-value") || "auto";
  } catch (error) {
    // A browser that forbids storage gets the system's scheme.
  }
  var dark = chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
  document.documentElement.setAttribute("data-live", "connecting");
})();
