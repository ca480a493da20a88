"use strict";
// The charts of a target, drawn after the first paint, in the colours of the page.
(() => {
  const { load, theme } = window.geophone;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const draw = async () => {
    for (const element of document.querySelectorAll("[data-chart]")) {
      const spec = window.geophoneTarget[element.dataset.chart];
      const options = { actions: false, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" }, logLevel: 1 };
      await vegaEmbed(element, { ...spec, config: { ...spec.config, ...theme() } }, options);
    }
    document.documentElement.dataset.ready = "charts";
  };

  const start = async () => {
    await Promise.all([load(document.body.dataset.data), load(document.body.dataset.vega)]);
    await draw();
    dark.addEventListener("change", draw);
  };

  requestAnimationFrame(() => setTimeout(start));
})();
