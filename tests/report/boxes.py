"""Where the words of a page really stand, measured in a browser: what is cut, and what is printed over another."""

# Every label as a convex quadrilateral (SVG text may be turned), lines of HTML text as rectangles. A label is cut where
# it leaves the drawing it is in, an element that hides what overflows, or the page; what scrolls cuts nothing sideways.
FAULTS = r"""() => {
  const box = (r) => [[r.left, r.top], [r.right, r.top], [r.right, r.bottom], [r.left, r.bottom]];
  const turned = (text) => {
    const b = text.getBBox(), m = text.getScreenCTM();
    return [[b.x, b.y], [b.x + b.width, b.y], [b.x + b.width, b.y + b.height], [b.x, b.y + b.height]]
      .map(([x, y]) => [m.a * x + m.c * y + m.e, m.b * x + m.d * y + m.f]);
  };
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && !e.closest("[opacity='0'], [aria-hidden='true'] > svg, option, .skip, .wait");
  const labels = [];
  for (const text of document.querySelectorAll("svg text")) {
    if (text.textContent.trim() && shown(text)) labels.push({ said: text.textContent, at: turned(text), of: text });
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest("svg, script, style, noscript, select") || !shown(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const size = parseFloat(getComputedStyle(parent).fontSize);
    for (const r of range.getClientRects()) {
      // A line's rectangle is taller than its letters by the font's leading: measured are the letters.
      const spare = Math.max(0, r.height - 0.95 * size) / 2;
      if (r.width > 1) labels.push({ said: node.textContent.trim(), of: parent, node,
        at: box({ left: r.left, right: r.right, top: r.top + spare, bottom: r.bottom - spare }) });
    }
  }
  const ends = (at) => [Math.min(...at.map(p => p[0])), Math.min(...at.map(p => p[1])),
    Math.max(...at.map(p => p[0])), Math.max(...at.map(p => p[1]))];
  const faults = [];
  const name = (label) => `"${label.said.slice(0, 50)}"`;
  for (const label of labels) {
    const [left, top, right, bottom] = label.box = ends(label.at);
    let scrolls = false;
    for (let e = label.of; e; e = e.parentElement) {
      const style = getComputedStyle(e), edge = e.getBoundingClientRect();
      const sideways = ["auto", "scroll"].includes(style.overflowX);
      const hides = e.matches("svg") || ["hidden", "clip"].includes(style.overflowX) || e === document.body;
      const beyond = (least, most, low, high) => least < low - 1 || most > high + 1;
      const cut = (hides && !scrolls && beyond(left, right, edge.left, edge.right))
        || (e.matches("svg") && beyond(top, bottom, edge.top, edge.bottom));
      if (cut) {
        const [at, within] = [label.box, [edge.left, edge.top, edge.right, edge.bottom]].map((b) => b.map(Math.round));
        faults.push(`${name(label)} is cut by ${e.tagName} (at ${at}, in ${within})`);
      }
      scrolls ||= sideways;
    }
  }
  // Two convex shapes are apart where a side of one has the other wholly beyond it.
  const apart = (a, b, slack) => [a, b].some((shape) => shape.some((p, i) => {
    const q = shape[(i + 1) % 4], length = Math.hypot(q[0] - p[0], q[1] - p[1]) || 1;
    const axis = [(q[1] - p[1]) / length, (p[0] - q[0]) / length];
    const along = (s) => s.map((c) => c[0] * axis[0] + c[1] * axis[1]);
    const [x, y] = [along(a), along(b)];
    return Math.max(...x) <= Math.min(...y) + slack || Math.max(...y) <= Math.min(...x) + slack;
  }));
  labels.sort((a, b) => a.box[1] - b.box[1]);
  for (let i = 0; i < labels.length; i++) {
    for (let j = i + 1; j < labels.length && labels[j].box[1] < labels[i].box[3]; j++) {
      const [a, b] = [labels[i], labels[j]];
      if (a.node && a.node === b.node) continue;
      if (!apart(a.at, b.at, 1.5)) faults.push(`${name(a)} is printed over ${name(b)}`);
    }
  }
  return [...new Set(faults)];
}"""
