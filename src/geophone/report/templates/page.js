"use strict";
(() => {
  const payload = JSON.parse(document.getElementById("payload").textContent);
  const select = document.getElementById("dimension");
  const share = document.getElementById("share");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = [];

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim(), soft = style.getPropertyValue("--soft").trim();
    const line = style.getPropertyValue("--line").trim();
    const text = { labelColor: soft, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
    return {
      background: "transparent", font: getComputedStyle(document.body).fontFamily,
      axis: { ...text, domainColor: line, tickColor: line, gridColor: line }, legend: { ...text },
      text: { color: ink },
    };
  };

  const caption = () => {
    for (const [id, run] of Object.entries(payload)) {
      const words = run.words[select.value];
      for (const element of document.querySelectorAll(`#${id} [data-word]`)) {
        element.textContent = words ? words[element.dataset.word] : "not recorded in this run";
      }
    }
    for (const element of document.querySelectorAll(".formula")) {
      element.hidden = element.dataset.dimension !== select.value;
    }
  };

  // Titles and parameters are filled in before a chart is drawn: Vega-Lite cannot change a title afterwards.
  const filled = (chart, run) => {
    const words = run.words[select.value];
    const unit = share.checked && words.unit === "directions" ? "share of min(n − 1, d)" : words.unit;
    const spec = JSON.parse(JSON.stringify(chart), (key, value) =>
      value === "{dimension}" ? `${words.name} (${unit})` : value);
    for (const param of spec.params ?? []) {
      if (param.name === "dimension") param.value = select.value;
      if (param.name === "share") param.value = share.checked;
    }
    return { ...spec, datasets: run.data, config: { ...theme(), ...spec.config } };
  };

  const draw = async () => {
    delete document.documentElement.dataset.ready;
    views.splice(0).forEach((view) => view.finalize());
    caption();
    for (const [id, run] of Object.entries(payload)) {
      for (const [name, chart] of Object.entries(run.charts)) {
        const element = document.querySelector(`#${id} [data-chart="${name}"]`);
        if (!run.words[select.value]) { element.replaceChildren(); continue; }
        const result = await vegaEmbed(element, filled(chart, run), { actions: false, renderer: "svg" });
        views.push(result.view);
      }
    }
    document.documentElement.dataset.ready = select.value;
  };

  for (const control of [select, share]) control.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  draw();
})();
