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
  const [beside, layer] = ["beside", "layer"].map((id) => control(id, ""));
  let run, other = null, both = [], span = null, drawing = 0, choosing = 0;

  const address = {
    read() { return new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : ""); },
    write() {
      if (dimension.absent) return;
      const said = { d: dimension.value, colour: colour.value, mode: mode.value, share: share.checked ? 1 : "",
        beside: beside.value, layer: other ? layer.value : "", from: span ? span[0] : "", to: span ? span[1] : "", zoom: zoom.checked ? 1 : "" };
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
    most: both.reduce((most, r) => Math.max(most, Math.abs(r.apart ?? 0)), 0) || 1,
  });

  const shares = () => share.checked && run.words[dimension.value].unit === "directions";
  const unit = () => shares() ? "share of min(n − 1, d)" : run.words[dimension.value].unit;
  const shown = (r) => {
    const value = r[dimension.value] ?? null;
    return value !== null && shares() ? value / r.cap : value;
  };

  const inside = (r) => span === null || (r.step >= span[0] && r.step <= span[1]);
  const number = (x, digits = 3) => Number(x.toPrecision(digits)).toString();
  const counts = () => run.words[dimension.value].unit === "directions";
  const asRows = (data) => Object.fromEntries(Object.entries(data).map(([name, table]) => [name, rows(table)]));
  const named = () => document.querySelector("h1").textContent;
  // Both names in the legend of one chart, as short as it wants and never the same.
  const briefly = (names) => {
    const room = Math.max(12, Math.min(38, Math.floor((by("layer").closest("section").clientWidth - run.extent - 60) / 7)));
    const half = Math.floor(room / 2) - 1;
    const short = names.map((text) => text.length > room ? `${text.slice(0, half)}…${text.slice(-half)}` : text);
    return short[0] === short[1] ? [`this run, ${short[0]}`, `beside, ${short[1]}`] : short;
  };

  // Another run beside this one. Where both measured a layer at the same step (the bins of long runs may lie a little
  // apart): what each had, and how far apart they are.
  const pairs = () => {
    const theirs = new Map(), at = new Map(), found = [], slack = run.binned || other?.binned ? 0.01 : 0;
    for (const r of other?.data.cells ?? []) theirs.set(r.layer, theirs.get(r.layer) ?? []).get(r.layer).push(r);
    for (const r of run.data.cells) {
      const cells = theirs.get(r.layer) ?? [];
      let i = at.get(r.layer) ?? 0;
      while (i < cells.length && cells[i].step < r.step * (1 - slack)) i += 1;
      at.set(r.layer, i);
      while (i + 1 < cells.length && Math.abs(cells[i + 1].step - r.step) < Math.abs(cells[i].step - r.step)) i += 1;
      if (i === cells.length || cells[i].step > r.step * (1 + slack)) continue;
      const [here, there] = [shown(r), shown(cells[i])];
      if (here === null || there === null || (counts() && (here <= 0 || there <= 0))) continue;
      const apart = counts() ? Math.log2(here / there) : here - there;
      found.push({ layer: r.layer, start: r.start, stop: r.stop, step: r.step, here, there, apart });
    }
    return found;
  };

  const farthest = () => both.filter(inside).reduce((a, b) => (a && Math.abs(a.apart) >= Math.abs(b.apart) ? a : b), null);

  // Scalars that both have; of a logarithm what is positive.
  const scalars = () => Object.keys(run.data).filter((name) => run.charts[name] && other?.data[name] && !["map", "marks"].includes(name));
  const positive = (name, table) => run.log.includes(name) ? table.filter((r) => r.smooth > 0) : table;

  const beneath = () => {
    const line = (of, name) => of.data.cells.filter((r) => r.layer === layer.value)
      .map((r) => ({ run: name, place: r.stop, step: r.step, value: shown(r) }));
    const names = other ? briefly([named(), other.name]) : [];
    const none = Object.keys(run.data).map((name) => [`other_${name}`, []]);
    const theirs = scalars().map((name) => [`other_${name}`, positive(name, other.data[name])]);
    return { ...Object.fromEntries([...none, ...theirs]), other_flags: other?.data.flags ?? [], apart: both,
      pair: other ? [...line(run, names[0]), ...line(other, names[1])] : [] };
  };

  const read = async (file) => {
    const known = [...(beside.options ?? [])].some((option) => option.value === file) &&
      window.geophoneRuns.find((r) => r.file === file);
    if (!known) return null;
    try { await load(`${page.root}data/${known.file}.js`); } catch { return null; }
    return { ...window.geophoneRun, ...known, data: asRows(window.geophoneRun.data) };
  };

  // The last choice counts, whichever data come first.
  const choose = async (file) => {
    const mine = ++choosing, found = file ? await read(file) : null;
    if (mine !== choosing) return;
    other = found;
    beside.value = other?.file ?? "";
    both = pairs();
    const shared = run.names.filter((name) => other?.layers.includes(name));
    const kept = shared.includes(layer.value) ? layer.value : farthest()?.layer ?? shared[0];
    layer.replaceChildren(...shared.map((name) => new Option(name, name, false, name === kept)));
    for (const element of document.querySelectorAll("[data-other]")) element.hidden = !other;
    if (other) by("other-run").href = `${other.file}.html`;
    by("other-flags").replaceChildren(...(other?.data.flags ?? []).map((flag) => {
      const item = document.createElement("li");
      const link = Object.assign(document.createElement("a"), { href: page.root + flag.href });
      link.append(Object.assign(document.createElement("span"), { className: "flag", textContent: flag.rank }), ` ${flag.label}`);
      item.append(link);
      return item;
    }));
    await draw();
    show();
  };

  // Runs that share a layer with this one, those of the same layers first.
  const offer = () => {
    const mine = new Set(run.names), here = location.pathname.split("/").at(-1);
    const shared = (r) => r.layers.filter((name) => mine.has(name)).length;
    const runs = (window.geophoneRuns ?? []).filter((r) => `${r.file}.html` !== here && shared(r) > 0);
    const alike = (r) => shared(r) === mine.size && r.layers.length === mine.size;
    for (const [label, group] of [["same layers", runs.filter(alike)], ["some layers alike", runs.filter((r) => !alike(r))]]) {
      const list = Object.assign(document.createElement("optgroup"), { label });
      list.append(...group.map((r) => new Option(r.name, r.file)));
      if (group.length) beside.append(list);
    }
    beside.closest("label").hidden = !runs.length;
  };

  // A user's names go into a sentence as they are, whatever they hold.
  const said = (pattern, parts) => pattern.replace(/\{(\w+)\}/g, (_, key) => parts[key]);
  const compare = (within, labels) => {
    if (!other) return;
    const most = farthest(), kind = !most ? "nothing" : most.apart === 0 ? "same" : "said";
    const digits = number(most?.here ?? 0) === number(most?.there ?? 0) ? 6 : 3;
    const parts = { dimension: run.words[dimension.value].name, other: other.name, within, layer: most?.layer,
      step: most?.step, here: number(most?.here ?? 0, digits), there: number(most?.there ?? 0, digits) };
    const words = { other: other.name, within, said: said(run.apart[kind], parts), colour: said(run.apart[counts() ? "ratio" : "share"], parts) };
    for (const element of document.querySelectorAll("[data-apart]")) element.textContent = words[element.dataset.apart];
    document.querySelector("[data-other=scalars]").hidden = !scalars().length;
    labels.apart = `The difference of two maps: ${words.colour}${within}. ${words.said}`;
    labels.beside = `${layer.value} of both runs, the ${parts.dimension} (${unit()}) by training step${within}.`;
  };

  // Titles are filled in before a chart is drawn: Vega-Lite cannot change a title afterwards.
  const filled = (chart) => {
    const title = `${run.words[dimension.value].name} (${unit()})`;
    const spec = JSON.parse(JSON.stringify(chart), (key, value) => value === "{dimension}" ? title : value);
    const now = settings();
    for (const param of spec.params) param.value = now[param.name];
    return { ...spec, datasets: { ...run.data, ...beneath() }, config: { ...theme(), ...spec.config } };
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
    compare(within, labels);
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
    if (name === "apart") return both.filter(inside).map(({ layer, step, here, there }) => ({ layer, step, here, there }));
    if (name === "beside") return beneath().pair.filter(inside).map(({ run, step, value }) => ({ run, step, [now.dimension]: value }));
    if (name === "map" || name === "series") {
      return run.data.cells.filter(inside).map((r) => ({ layer: r.layer, step: r.step, [now.dimension]: shown(r) }));
    }
    if (name === "marks") return run.data.marks.filter((r) => r.dimension === now.dimension && r.mode === now.mode);
    const own = run.data[name].filter(inside).map((r) => ({ step: r.step, [name]: r.value }));
    if (!scalars().includes(name)) return own;
    return [...own.map((r) => ({ run: named(), ...r })), ...other.data[name].filter(inside).map((r) => ({ run: other.name, step: r.step, [name]: r.value }))];
  };

  const draw = async () => {
    const mine = ++drawing;
    delete document.documentElement.dataset.ready;
    both = pairs();
    caption();
    for (const element of document.querySelectorAll("[data-chart]")) {
      const name = element.dataset.chart;
      const spec = run.charts[name === "map" ? colour.value : name];
      if (!spec || element.closest("[hidden]")) continue;
      const options = { actions: false, renderer: run.data.cells.length > 20000 ? "canvas" : "svg", tooltip: { theme: dark.matches ? "dark" : "light" }, logLevel: 1 };
      // Vega gives the element it draws in a role and a label of its own: the ones of the page are on its parent.
      views.get(name)?.finalize();
      const { view } = await vegaEmbed(element.firstElementChild, filled(spec), options);
      if (mine !== drawing) { view.finalize(); return; }
      views.set(name, view);
      view.addEventListener("click", (event, item) => { if (item?.datum?.href) location.assign(page.root + item.datum.href); });
      view.addEventListener("mousemove", (event, item) => { element.classList.toggle("leads", Boolean(item?.datum?.href)); });
      exports(element, view, () => table(name), `${named()}-${name}`);
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
    const needed = [page.data, page.vega, ...(beside.absent ? [] : [`${page.root}assets/runs.js`])];
    await Promise.all(needed.map(load));
    run = { ...window.geophoneRun, data: asRows(window.geophoneRun.data) };
    if (dimension.absent) dimension.value = run.first;
    run.defaults = { d: run.first, colour: "map", mode: "calibrated" };
    const known = address.read();
    if (Object.hasOwn(run.words, known.get("d") ?? "")) dimension.value = known.get("d");
    if (["map", "map_all"].includes(known.get("colour"))) colour.value = known.get("colour");
    if (known.get("mode") === "naive") mode.value = "naive";
    share.checked = known.has("share");
    Object.assign(window.geophone, { run, views });
    if (!beside.absent) {
      offer();
      if (known.has("layer")) layer.append(new Option(known.get("layer"), known.get("layer")));
    }
    await (known.has("beside") && !beside.absent ? choose(known.get("beside")) : draw());
    if (known.has("from")) { zoom.checked = known.has("zoom"); select(Number(known.get("from")), Number(known.get("to"))); }
    if (dimension.absent) return;
    document.querySelectorAll("[data-chart]").forEach(brush);
    for (const input of [dimension, colour, share, layer]) input.addEventListener("change", () => draw().then(show));
    beside.addEventListener("change", () => choose(beside.value));
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
