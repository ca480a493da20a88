"""The atlas of a study over loopback, kept up with the study while it runs."""

import json
import threading
import time
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from socket import gethostname
from urllib.parse import unquote, urlsplit

from geophone.errors import StoreError
from geophone.report.kept import stamp
from geophone.report.page import write_page
from geophone.store.study import Study

VERSION = "/_version.json"
WATCHER = "/_live.js"
EVERY = 3.0
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
}
# Vega compiles its expressions, hence eval; nothing from elsewhere is ever loaded.
_POLICY = "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


class LiveAtlas:
    """The atlas of one study and its version, which grows by one with every change of the study.

    `look` writes the pages again when a run, a table or a dig has changed since the last time, and says whether it
    did. A change that cannot be read yet (a file on its way) is told to `on_trouble`, and looked at again next time.
    """

    def __init__(self, study: Study, *, on_trouble: Callable[[str], None] = lambda said: None) -> None:
        self.study = study
        self.folder = study.places.report
        self.version = 0
        self._seen: tuple | None = None
        self._on_trouble = on_trouble

    def begin(self) -> None:
        """Write the pages for the first time. Raises StoreError when that is not possible."""
        self._seen = self._state()
        write_page(self.study, partial=True)
        self.version += 1

    def look(self) -> bool:
        try:
            if self._state() == self._seen:
                return False
            self.begin()
        except (StoreError, OSError) as error:
            self._seen = None
            self._on_trouble(str(error))
            return False
        return True

    def _state(self) -> tuple:
        statuses = tuple(run.status for run in self.study.runs)
        return statuses, stamp(self.study.places.shown)


def serve(
    folder: Path,
    *,
    port: int = 0,
    open_browser: bool = False,
    on_ready: Callable[[str], None],
    on_trouble: Callable[[str], None] = lambda said: None,
) -> None:
    """Serve the atlas of the study in `folder` on the loopback address until Ctrl-C, and follow the study.

    The pages are written into its report/ now and whenever the study changes; a page that is open then loads itself
    again. A study that still trains is shown without the phenomena it has not got yet. `on_ready` is told the address,
    `on_trouble` what could not be read for now. Port 0 is any free one. Only GET and HEAD, only files of report/, and
    only for requests that name this machine as their host. Raises StoreError when the folder holds no study, the pages
    cannot be written at first, or the port is taken.
    """
    atlas = LiveAtlas(Study(folder), on_trouble=on_trouble)
    atlas.begin()
    with listening(atlas, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        on_ready(address)
        if open_browser:
            webbrowser.open(address)
        try:
            while True:
                time.sleep(EVERY)
                atlas.look()
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()
            thread.join()


def from_afar(address: str) -> str:
    """How to look at what this machine serves at `address` from another one, over SSH."""
    port = urlsplit(address).port
    return f"From another machine: ssh -L {port}:localhost:{port} {gethostname()}, then http://localhost:{port}/ there."


def listening(atlas: LiveAtlas, port: int) -> ThreadingHTTPServer:
    """A server on the loopback address that hands out the pages of `atlas`. StoreError when the port is taken."""

    class Handler(_Handler):
        shown = atlas

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise StoreError(f"port {port} cannot be had: {error.strerror or error}. Port 0 takes any free one.") from error


class _Handler(BaseHTTPRequestHandler):
    shown: LiveAtlas
    server_version, sys_version, protocol_version = "geophone", "", "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a page that looks for changes would fill the terminal."""

    def _answer(self, *, body: bool) -> None:
        # A page of another site may lead a browser here under a name of its own (DNS rebinding).
        if (self.headers.get("Host") or "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            return self._send(HTTPStatus.MISDIRECTED_REQUEST, b"this server answers for 127.0.0.1 only\n", body=body)
        place = unquote(urlsplit(self.path).path)
        if place == VERSION:
            said = json.dumps({"version": self.shown.version}).encode()
            return self._send(HTTPStatus.OK, said, kind="application/json", body=body)
        if place == WATCHER:
            script = (files("geophone.report") / "templates" / "live.js").read_text(encoding="utf-8")
            script = script.replace('"{host}"', json.dumps(gethostname()))
            return self._send(HTTPStatus.OK, script.encode(), kind=KINDS[".js"], body=body)
        path = file_at(self.shown.folder, place)
        try:
            data = path.read_bytes() if path else None
        except OSError:  # between two atlases
            data = None
        if path is None or data is None:
            return self._send(HTTPStatus.NOT_FOUND, b"not here\n", body=body)
        if path.suffix == ".html":
            data = data.replace(b"</body>", f'<script src="{WATCHER}"></script>\n</body>'.encode())
        return self._send(HTTPStatus.OK, data, kind=KINDS[path.suffix], body=body)

    def _send(self, status: HTTPStatus, data: bytes, *, kind: str = "text/plain; charset=utf-8", body: bool) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind, "Content-Length": str(len(data)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer",
        }  # fmt: skip
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def file_at(folder: Path, place: str) -> Path | None:
    """The file of the atlas in `folder` that the path `place` of an address names; None for a folder, for what is not
    of a kind that an atlas has, and for whatever lies outside, also by way of a link."""
    if "\0" in place or "\\" in place:
        return None
    path = folder / (place.lstrip("/") or "index.html")
    try:
        real, root = path.resolve(), folder.resolve()
    except (OSError, RuntimeError):
        return None
    inside = real.is_relative_to(root) and not any(part.startswith(".") for part in real.relative_to(root).parts)
    return real if inside and real.suffix in KINDS and real.is_file() else None
