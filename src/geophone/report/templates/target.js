"use strict";
// The charts of a transition, drawn after the first paint, in the colours of the page.
(() => {
  const { load, theme, exports } = window.geophone;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const draw = async () => {
    for (const element of document.querySelectorAll("[data-chart]")) {
      const name = element.dataset.chart;
      const spec = window.geophoneTarget[name];
      const fits = spec.layer ? { width: "container", autosize: { type: "fit-x", contains: "padding" } } : {};
      const options = { actions: false, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" }, logLevel: 1 };
      const { view } = await vegaEmbed(element, { ...spec, ...fits, config: { ...spec.config, ...theme() } }, options);
      const first = (part) => part.data?.values ?? part.datasets?.[part.data?.name] ?? first(part.layer?.at(-1) ?? part.spec);
      exports(element.parentElement, view, () => first(spec), `${document.querySelector("h1").textContent.trim()}-${name}`);
    }
    document.documentElement.dataset.ready = "charts";
  };

  // A link to a unit opens it.
  const reveal = () => {
    const unit = location.hash && document.querySelector(`details#${CSS.escape(location.hash.slice(1))}`);
    if (unit) { unit.open = true; unit.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);

  const start = async () => {
    reveal();
    await Promise.all([load(document.body.dataset.data), load(document.body.dataset.vega)]);
    await draw();
    dark.addEventListener("change", draw);
  };

  requestAnimationFrame(() => setTimeout(start));
})();
