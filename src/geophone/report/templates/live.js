"use strict";
// What a served page has besides: it loads itself again when the study changes, and says how to be seen from afar.
(() => {
  const host = "{host}", port = location.port;
  let known = null;
  const look = async () => {
    try {
      const { version } = await (await fetch("/_version.json", { cache: "no-store" })).json();
      if (known !== null && version !== known) location.reload();
      known = version;
    } catch { /* the server has ended; the page stays */ }
  };
  const way = Object.assign(document.createElement("code"), { textContent: `ssh -L ${port}:localhost:${port} ${host}` });
  const note = Object.assign(document.createElement("p"), { className: "note", id: "from-afar" });
  note.append("Live: this page follows the study. From another machine: ", way, `, then http://localhost:${port}/ there.`);
  document.querySelector("footer")?.before(note);
  look();
  setInterval(look, 2000);
})();
