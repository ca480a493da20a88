"use strict";
// What every page shares: tables that sort by their headings, and arrow keys that lead to the pages before and after,
// scripts that are loaded when they are needed, and the colours of charts.
(() => {
  const load = (source) => new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: source, onload: resolve });
    script.onerror = () => reject(new Error(`${source} could not be loaded`));
    document.head.append(script);
  });

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
    const text = { labelColor: soft, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
    return {
      background: "transparent", font: getComputedStyle(document.body).fontFamily,
      axis: { ...text, domainColor: line, tickColor: line, gridColor: line }, legend: { ...text },
      title: { color: soft, subtitleColor: soft, anchor: "start" }, header: { labelColor: ink, labelFontSize: 12, titleColor: soft }, view: { stroke: null },
    };
  };

  const rows = (table) => {
    const keys = Object.keys(table);
    return keys.length ? table[keys[0]].map((_, i) => Object.fromEntries(keys.map((key) => [key, table[key][i]]))) : [];
  };

  const save = (href, name) => Object.assign(document.createElement("a"), { href, download: name }).click();

  const csv = (rows) => {
    const keys = Object.keys(rows[0] ?? {});
    const cell = (value) => /[",\n]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
    return [keys, ...rows.map((row) => keys.map((key) => row[key]))].map((line) => line.map(cell).join(",")).join("\n");
  };

  // Under a chart: what is drawn as SVG or PNG, and the rows behind it as CSV.
  const exports = (element, view, table, name) => {
    const file = name.replace(/[^A-Za-z0-9_.-]+/g, "-");
    const address = (text, type) => URL.createObjectURL(new Blob([text], { type }));
    const kinds = {
      SVG: async () => save(address(await view.toSVG(), "image/svg+xml"), `${file}.svg`),
      PNG: async () => save(await view.toImageURL("png", 2), `${file}.png`),
      CSV: async () => save(address(csv(table()), "text/csv"), `${file}.csv`),
    };
    const buttons = Object.entries(kinds).map(([kind, act]) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: kind, onclick: act });
      button.setAttribute("aria-label", `Save the chart as ${kind}`);
      return button;
    });
    const bar = Object.assign(document.createElement("div"), { className: "exports" });
    bar.append(...buttons);
    element.parentElement.querySelector(`.exports[data-of="${element.dataset.chart ?? ""}"]`)?.remove();
    bar.dataset.of = element.dataset.chart ?? "";
    element.after(bar);
  };

  window.geophone = { load, theme, rows, exports };

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.textContent.trim();
  };

  // Cells without a value come last, whichever way the column is sorted.
  const sort = (table, column, kind, way) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return way * (kind === "number" ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true }));
    });
    body.append(...rows);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("th button")) {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const first = button.dataset.sort === "number" ? "descending" : "ascending";
        const other = { ascending: "descending", descending: "ascending" };
        const next = other[head.getAttribute("aria-sort")] ?? first;
        for (const th of table.tHead.rows[0].cells) if (th.hasAttribute("aria-sort")) th.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", next);
        sort(table, head.cellIndex, button.dataset.sort, next === "ascending" ? 1 : -1);
      });
    }
  }

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    if (event.target.closest("input, select, textarea, .scroll")) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const link = rel && document.querySelector(`.around a[rel="${rel}"]`);
    if (link) { event.preventDefault(); link.click(); }
  });
})();
