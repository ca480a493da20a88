"use strict";
// The charts of a run: one dimension, one rule and one selection of steps in all of them. The data and Vega are loaded
// by script elements after the first paint, since a page opened from disk may not fetch.
(() => {
  const { load, theme } = window.geophone;
  const by = (id) => document.getElementById(id);
  const [dimension, mode, share, zoom] = ["dimension", "mode", "share", "zoom"].map(by);
  const ends = [by("span-from"), by("span-to")];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const page = document.body.dataset;
  const views = new Map();
  let run, span = null, drawing = 0;

  const rows = (table) => {
    const keys = Object.keys(table);
    return keys.length ? table[keys[0]].map((_, i) => Object.fromEntries(keys.map((key) => [key, table[key][i]]))) : [];
  };

  // What was chosen stays chosen on the next page, where the browser lets a page from disk remember.
  const remembered = {
    get() { try { return JSON.parse(sessionStorage.getItem("geophone") ?? "{}"); } catch { return {}; } },
    set() {
      const chosen = { dimension: dimension.value, mode: mode.value, share: share.checked };
      try { sessionStorage.setItem("geophone", JSON.stringify(chosen)); } catch { /* nothing is remembered */ }
    },
  };

  const settings = () => ({
    dimension: dimension.value, share: share.checked, mode: mode.value,
    low: span && zoom.checked ? span[0] : 0, high: span && zoom.checked ? span[1] : run.last,
    span_from: span ? span[0] : null, span_to: span ? span[1] : null,
    ground: getComputedStyle(document.documentElement).getPropertyValue("--paper").trim(),
  });

  // Titles are filled in before a chart is drawn: Vega-Lite cannot change a title afterwards.
  const filled = (chart) => {
    const words = run.words[dimension.value];
    const unit = share.checked && words.unit === "directions" ? "share of min(n − 1, d)" : words.unit;
    const spec = JSON.parse(JSON.stringify(chart), (key, value) =>
      value === "{dimension}" ? `${words.name} (${unit})` : value);
    const now = settings();
    for (const param of spec.params) param.value = now[param.name];
    return { ...spec, datasets: run.data, config: { ...theme(), ...spec.config } };
  };

  const caption = () => {
    const words = run.words[dimension.value];
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
    for (const element of document.querySelectorAll(".formula")) {
      element.hidden = element.dataset.dimension !== dimension.value;
    }
    const said = { heatmap: `a row a layer, colour is the ${words.name}. ${words.finding}`,
      series: `a line a layer, the ${words.name} by training step. ${words.jumps}` };
    for (const [name, text] of Object.entries(said)) {
      document.querySelector(`[data-chart="${name}"]`)?.setAttribute("aria-label", `${name}: ${text}`);
    }
    by("numbers").replaceChildren(...words.numbers.map((cells) => {
      const row = document.createElement("tr");
      cells.forEach((cell, i) => {
        row.append(Object.assign(document.createElement("td"), { textContent: cell, className: i ? "n" : "" }));
      });
      return row;
    }));
  };

  const draw = async () => {
    const mine = ++drawing;
    delete document.documentElement.dataset.ready;
    caption();
    for (const element of document.querySelectorAll("[data-chart]")) {
      const name = element.dataset.chart;
      if (!run.charts[name]) continue;
      const cells = run.data.measurements.length;
      const options = { actions: false, renderer: cells > 30000 ? "canvas" : "svg", tooltip: { theme: dark.matches ? "dark" : "light" }, logLevel: 1 };
      // Vega gives the element it draws in a role and a label of its own: the ones of the page are on its parent.
      views.get(name)?.finalize();
      const { view } = await vegaEmbed(element.firstElementChild, filled(run.charts[name]), options);
      if (mine !== drawing) { view.finalize(); return; }
      views.set(name, view);
      view.addEventListener("click", (event, item) => { if (item?.datum?.href) location.assign(item.datum.href); });
      view.addEventListener("mousemove", (event, item) => { element.classList.toggle("leads", Boolean(item?.datum?.href)); });
    }
    document.documentElement.dataset.ready = dimension.value;
  };

  const readout = () => {
    if (!span) return "Drag over a chart, or type two steps, to select them in all charts.";
    const shown = run.data.measurements.filter((r) => r.step >= span[0] && r.step <= span[1] && r[dimension.value] !== null);
    const changes = new Map();
    for (const r of shown) {
      const value = r[dimension.value], known = changes.get(r.layer);
      changes.set(r.layer, known ? [known[0], value] : [value, value]);
    }
    const number = (x) => Number(x.toPrecision(3)).toString();
    const parts = [...changes].map(([layer, [a, b]]) => `${layer} ${number(a)} → ${number(b)}`);
    const loss = run.data.loss.filter((r) => r.step >= span[0] && r.step <= span[1]);
    if (loss.length) parts.push(`loss ${number(loss[0].smooth)} → ${number(loss.at(-1).smooth)}`);
    return `Steps ${span[0]} to ${span[1]}: ${parts.length ? parts.join(" · ") : "no measurement"}`;
  };

  const select = (from, to) => {
    const [a, b] = [from, to].map((x) => Math.round(Math.min(Math.max(x, 0), run.last))).sort((x, y) => x - y);
    span = a < b ? [a, b] : null;
    ends.forEach((input, i) => { input.value = span ? span[i] : ""; });
    by("clear").disabled = !span;
    if (!span) zoom.checked = false;
    show();
  };

  const show = () => {
    by("readout").textContent = readout();
    const now = settings();
    for (const view of views.values()) {
      for (const name of ["low", "high", "span_from", "span_to", "mode"]) view.signal(name, now[name]);
      view.runAsync();
    }
    document.documentElement.dataset.span = span ? span.join(" ") : "";
  };

  // A step under the pointer: the charts share their axis, so that any of them can be brushed.
  const stepAt = (element, event) => {
    const view = views.get(element.dataset.chart);
    const drawn = element.querySelector("svg, canvas").getBoundingClientRect();
    const x = event.clientX - drawn.left - view.origin()[0];
    return view.scale("x").invert(Math.min(Math.max(x, 0), view.width()));
  };

  const inside = (element, event) => {
    const view = views.get(element.dataset.chart);
    const drawn = element.querySelector("svg, canvas")?.getBoundingClientRect();
    if (!view || !drawn) return false;
    const [x, y] = [event.clientX - drawn.left - view.origin()[0], event.clientY - drawn.top - view.origin()[1]];
    return x >= 0 && x <= view.width() && y >= 0 && y <= view.height();
  };

  const brush = (element) => {
    let began = null;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch" || !inside(element, event)) return;
      began = { step: stepAt(element, event), x: event.clientX };
    });
    window.addEventListener("pointermove", (event) => {
      if (began === null || Math.abs(event.clientX - began.x) < 4) return;
      event.preventDefault();
      select(began.step, stepAt(element, event));
    });
    window.addEventListener("pointerup", () => { began = null; });
  };

  const start = async () => {
    await Promise.all([load(page.data), load(page.vega)]);
    run = window.geophoneRun;
    run.data = Object.fromEntries(Object.entries(run.data).map(([name, table]) => [name, rows(table)]));
    const known = remembered.get();
    if (run.words[known.dimension]) dimension.value = known.dimension;
    if (known.mode) mode.value = known.mode;
    share.checked = Boolean(known.share);
    Object.assign(window.geophone, { run, views });
    await draw();
    document.querySelectorAll("[data-chart]").forEach(brush);
    for (const control of [dimension, share]) {
      control.addEventListener("change", () => { remembered.set(); draw().then(show); });
    }
    mode.addEventListener("change", () => { remembered.set(); show(); });
    zoom.addEventListener("change", show);
    by("clear").addEventListener("click", () => { select(0, 0); ends[0].focus(); });
    for (const input of ends) {
      input.addEventListener("change", () => {
        if (ends.some((end) => end.value !== "")) select(Number(ends[0].value || 0), Number(ends[1].value || run.last));
        else select(0, 0);
      });
    }
    dark.addEventListener("change", () => draw().then(show));
    document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  };

  requestAnimationFrame(() => setTimeout(start));
})();
