"use strict";
// The charts of a run: one dimension and one selection of steps in all of them; its state is in the address. The data
// and Vega are loaded by script elements after the first paint, since a page opened from disk may not fetch.
(() => {
  const { load, theme, rows, exports } = window.geophone;
  const by = (id) => document.getElementById(id);
  // A page without controls (the overview) shows what they would show at first.
  const control = (id, value) => by(id) ?? { value, checked: false, addEventListener() {}, absent: true };
  const page = document.body.dataset;
  const views = new Map();
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const [dimension, colour, mode] = ["dimension", "colour", "mode"].map((id) => control(id, { colour: "map", mode: "calibrated" }[id]));
  const [share, zoom] = ["share", "zoom"].map((id) => control(id));
  const ends = ["span-from", "span-to"].map((id) => control(id));
  let run, span = null, drawing = 0;

  const address = {
    read() { return new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : ""); },
    write() {
      if (dimension.absent) return;
      const said = { d: dimension.value, colour: colour.value, mode: mode.value, share: share.checked ? 1 : "",
        from: span ? span[0] : "", to: span ? span[1] : "", zoom: zoom.checked ? 1 : "" };
      const kept = Object.entries(said).filter(([key, value]) => value !== "" && value !== run.defaults[key]);
      const hash = new URLSearchParams(kept).toString();
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname.split("/").at(-1));
    },
  };

  const settings = () => ({
    dimension: dimension.value, share: share.checked, mode: mode.value,
    low: span && zoom.checked ? Math.max(span[0], run.low) : run.low, high: span && zoom.checked ? span[1] : run.last,
    span_from: span ? span[0] : null, span_to: span ? span[1] : null,
    columns: Math.max(1, Math.floor((document.querySelector("[data-chart]").clientWidth - run.extent) / (run.extent + 34))),
    ground: getComputedStyle(document.documentElement).getPropertyValue("--paper").trim(),
  });

  const shares = () => share.checked && run.words[dimension.value].unit === "directions";
  const unit = () => shares() ? "share of min(n − 1, d)" : run.words[dimension.value].unit;
  const shown = (r) => shares() && r[dimension.value] !== null ? r[dimension.value] / r.cap : r[dimension.value];

  // Titles are filled in before a chart is drawn: Vega-Lite cannot change a title afterwards.
  const filled = (chart) => {
    const title = `${run.words[dimension.value].name} (${unit()})`;
    const spec = JSON.parse(JSON.stringify(chart), (key, value) => value === "{dimension}" ? title : value);
    const now = settings();
    for (const param of spec.params) param.value = now[param.name];
    return { ...spec, datasets: run.data, config: { ...theme(), ...spec.config } };
  };

  const caption = () => {
    const words = run.words[dimension.value], form = words.forms[mode.value];
    const within = span ? ` in steps ${span[0]} to ${span[1]}` : "";
    const colours = colour.value === "map" ? "from each layer's lowest value to its greatest" : "one scale for all layers";
    const said = { ...words, own: words.unit, unit: unit(), colour: colours + within, within };
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = said[element.dataset.word];
    for (const element of document.querySelectorAll("[data-form]")) element.textContent = { ...form, mode: mode.value }[element.dataset.form];
    for (const element of document.querySelectorAll(".formula")) element.hidden = element.dataset.dimension !== dimension.value;
    // Of the transitions those are listed that lie in the selected steps.
    for (const entry of document.querySelectorAll("[data-peak]")) {
      entry.hidden = span !== null && (entry.dataset.peak < span[0] || entry.dataset.peak > span[1]);
    }
    if (by("map-not-finding")) by("map-not-finding").hidden = mode.value !== "naive";
    const labels = { map: `Map: a row per layer, colour is the ${words.name} (${unit()})${within}. ${words.change}`,
      series: `Series: a line per layer, the ${words.name} (${unit()}) by training step${within}.`, marks: `Marks of the ${mode.value} form${within}. ${form.jumps}` };
    for (const [name, text] of Object.entries(labels)) document.querySelector(`[data-chart="${name}"]`)?.setAttribute("aria-label", text);
    by("numbers")?.replaceChildren(...form.numbers.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell, i) => Object.assign(document.createElement("td"), { textContent: cell, className: i ? "n" : "" })));
      return row;
    }));
  };

  // The rows behind a chart, as they are shown.
  const table = (name) => {
    const now = settings();
    const inside = (r) => now.span_from === null || (r.step >= now.span_from && r.step <= now.span_to);
    if (name === "map" || name === "series") {
      return run.data.cells.filter(inside).map((r) => ({ layer: r.layer, step: r.step, [now.dimension]: shown(r) }));
    }
    if (name === "marks") return run.data.marks.filter((r) => r.dimension === now.dimension && r.mode === now.mode);
    return run.data[name].filter(inside).map((r) => ({ step: r.step, [name]: r.value }));
  };

  const draw = async () => {
    const mine = ++drawing;
    delete document.documentElement.dataset.ready;
    caption();
    for (const element of document.querySelectorAll("[data-chart]")) {
      const name = element.dataset.chart;
      const spec = run.charts[name === "map" ? colour.value : name];
      if (!spec) continue;
      const options = { actions: false, renderer: run.data.cells.length > 20000 ? "canvas" : "svg", tooltip: { theme: dark.matches ? "dark" : "light" }, logLevel: 1 };
      // Vega gives the element it draws in a role and a label of its own: the ones of the page are on its parent.
      views.get(name)?.finalize();
      const { view } = await vegaEmbed(element.firstElementChild, filled(spec), options);
      if (mine !== drawing) { view.finalize(); return; }
      views.set(name, view);
      view.addEventListener("click", (event, item) => { if (item?.datum?.href) location.assign(page.root + item.datum.href); });
      view.addEventListener("mousemove", (event, item) => { element.classList.toggle("leads", Boolean(item?.datum?.href)); });
      exports(element, view, () => table(name), `${document.querySelector("h1").textContent}-${name}`);
    }
    document.documentElement.dataset.ready = dimension.value;
  };

  const readout = () => {
    if (!span) return "Drag over a chart, or type two steps, to select them in all charts.";
    const changes = new Map();
    for (const r of run.data.cells) {
      const value = shown(r);
      if (r.step < span[0] || r.step > span[1] || value === null) continue;
      const known = changes.get(r.layer);
      changes.set(r.layer, known ? [known[0], value] : [value, value]);
    }
    const number = (x) => Number(x.toPrecision(3)).toString();
    const parts = [...changes].map(([layer, [a, b]]) => `${layer} ${number(a)} → ${number(b)}`);
    const loss = (run.data.loss ?? []).filter((r) => r.step >= span[0] && r.step <= span[1]);
    if (loss.length) parts.push(`loss ${number(loss[0].smooth)} → ${number(loss.at(-1).smooth)}`);
    return `Steps ${span[0]} to ${span[1]}: ${parts.length ? parts.join(" · ") : "no measurement"}`;
  };

  const select = (from, to) => {
    const [a, b] = [from, to].map((x) => Math.round(Math.min(Math.max(x, 0), run.last))).sort((x, y) => x - y);
    span = a < b ? [a, b] : null;
    ends.forEach((input, i) => { input.value = span ? span[i] : ""; });
    if (by("clear")) by("clear").disabled = !span;
    if (!span) zoom.checked = false;
    show();
  };

  const show = () => {
    caption();
    if (by("readout")) by("readout").textContent = readout();
    const now = settings();
    for (const view of views.values()) {
      for (const name of ["low", "high", "span_from", "span_to", "mode"]) view.signal(name, now[name]);
      view.runAsync();
    }
    document.documentElement.dataset.span = span ? span.join(" ") : "";
    address.write();
  };

  // A step under the pointer: the charts share their axis, so that any of them can be brushed.
  const at = (element, event) => {
    const view = views.get(element.dataset.chart);
    const drawn = element.querySelector("svg, canvas")?.getBoundingClientRect();
    if (!view || !drawn) return null;
    const [x, y] = [event.clientX - drawn.left - view.origin()[0], event.clientY - drawn.top - view.origin()[1]];
    const step = view.scale("x").invert(Math.min(Math.max(x, 0), view.width()));
    return { step, x: event.clientX, inside: x >= 0 && x <= view.width() && y >= 0 && y <= view.height() };
  };

  const brush = (element) => {
    let began = null;
    element.addEventListener("pointerdown", (event) => {
      const place = at(element, event);
      if (event.button === 0 && place?.inside) began = place;
    });
    window.addEventListener("pointermove", (event) => {
      if (began === null || Math.abs(event.clientX - began.x) < 6) return;
      event.preventDefault();
      select(began.step, at(element, event).step);
    });
    for (const kind of ["pointerup", "pointercancel"]) window.addEventListener(kind, () => { began = null; });
  };

  const start = async () => {
    await Promise.all([load(page.data), load(page.vega)]);
    run = window.geophoneRun;
    run.data = Object.fromEntries(Object.entries(run.data).map(([name, table]) => [name, rows(table)]));
    if (dimension.absent) dimension.value = run.first;
    run.defaults = { d: run.first, colour: "map", mode: "calibrated" };
    const known = address.read();
    if (run.words[known.get("d")]) dimension.value = known.get("d");
    if (["map", "map_all"].includes(known.get("colour"))) colour.value = known.get("colour");
    if (known.get("mode") === "naive") mode.value = "naive";
    share.checked = known.has("share");
    Object.assign(window.geophone, { run, views });
    await draw();
    if (known.has("from")) { zoom.checked = known.has("zoom"); select(Number(known.get("from")), Number(known.get("to"))); }
    if (dimension.absent) return;
    document.querySelectorAll("[data-chart]").forEach(brush);
    for (const input of [dimension, colour, share]) input.addEventListener("change", () => draw().then(show));
    mode.addEventListener("change", show);
    zoom.addEventListener("change", show);
    by("clear").addEventListener("click", () => { select(0, 0); ends[0].focus(); });
    for (const input of ends) {
      input.addEventListener("change", () => {
        if (ends.some((end) => end.value !== "")) select(Number(ends[0].value || 0), Number(ends[1].value || run.last));
        else select(0, 0);
      });
    }
    document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  };

  dark.addEventListener("change", () => run && draw().then(show));
  requestAnimationFrame(() => setTimeout(start));
})();
