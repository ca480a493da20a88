"""The live atlas: what it hands out, what it refuses, that it follows a study, and that it ends at Ctrl-C."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from atlas_study import write_run

from geophone.errors import StoreError
from geophone.report.live import LiveAtlas, file_at, from_afar, listening, serve
from geophone.store.study import Study


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    write_run(folder / "runs" / "a", "a", seed=0)
    atlas = LiveAtlas(Study(folder))
    atlas.begin()
    (folder / "report" / "notes.txt").write_text("not a page")
    (folder / "secret.html").write_text("a page that is not of the atlas")
    (folder / "report" / "link.html").symlink_to(folder / "secret.html")
    with listening(atlas, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield atlas, server.server_address[1]
        server.shutdown()
        thread.join()


def asked(port: int, path: str, *, method: str = "GET", host: str | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_pages_are_handed_out_with_a_watcher_that_their_files_have_not(live):
    atlas, port = live
    for place, file in (("/", "index.html"), ("/runs/a.html?x=1", "runs/a.html"), ("/data/a.js", "data/a.js")):
        answer, body = asked(port, place)
        held = (atlas.folder / file).read_bytes()
        assert answer.status == 200 and b"_live.js" not in held
        assert body.replace(b'<script src="/_live.js"></script>\n', b"") == held
        assert (b"_live.js" in body) == file.endswith(".html")
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert b"_version.json" in asked(port, "/_live.js")[1]
    assert f"ssh -L 8123:localhost:8123 {socket.gethostname()}," in from_afar("http://127.0.0.1:8123/")
    head, body = asked(port, "/", method="HEAD")
    assert head.status == 200 and body == b"" and int(head.getheader("Content-Length")) > 1000


@pytest.mark.parametrize(
    "path",
    ["/../secret.html", "/runs/../../secret.html", "/%2e%2e/secret.html", "/..%2fsecret.html", "//etc/passwd",
     "/link.html", "/runs", "/runs/", "/assets/", "/notes.txt", "/missing.html", "/%00", "/..%5csecret.html",
     "/.report/index.html"],
)  # fmt: skip
def test_nothing_outside_and_no_folder_is_handed_out(live, path):
    answer, body = asked(live[1], path)
    assert answer.status == 404 and body == b"not here\n"


def test_a_link_and_a_hidden_file_are_not_files_of_the_atlas(live):
    folder = live[0].folder
    assert file_at(folder, "/index.html") == (folder / "index.html").resolve()
    assert file_at(folder, "/link.html") is None and file_at(folder, str(folder.parent / "secret.html")) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1]:80", "0.0.0.0"])
def test_a_foreign_host_is_refused(live, host):
    answer, body = asked(live[1], "/", host=host)
    assert answer.status == 421 and b"<" not in body


def test_a_request_without_a_host_is_refused_and_localhost_is_this_machine(live):
    with socket.create_connection(("127.0.0.1", live[1]), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 421 " in raw.recv(100)
    assert asked(live[1], "/", host=f"localhost:{live[1]}")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(live, method):
    assert asked(live[1], "/", method=method)[0].status == 501


def test_it_listens_on_the_loopback_address_only_and_says_when_a_port_is_taken(live):
    atlas, port = live
    with listening(atlas, 0) as other:
        assert other.server_address[0] == "127.0.0.1"
    with pytest.raises(StoreError, match=f"port {port} cannot be had"):
        listening(atlas, port)


def test_a_study_that_trains_is_followed_and_unchanged_runs_are_not_read_again(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    atlas = LiveAtlas(Study(tmp_path))
    atlas.begin()
    assert not atlas.look() and atlas.version == 1
    write_run(tmp_path / "runs" / "b", "b", seed=1)
    import geophone.report.page as page

    read, plain = [], page.run_page
    monkeypatch.setattr(page, "run_page", lambda run, sources: read.append(run.run.name) or plain(run, sources))
    assert atlas.look() and atlas.version == 2 and read == ["b"]
    assert (tmp_path / "report" / "runs" / "b.html").is_file()
    assert "runs/b.html" in (tmp_path / "report" / "index.html").read_text()


def test_what_cannot_be_read_yet_is_told_and_the_pages_stay(tmp_path):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    told = []
    atlas = LiveAtlas(Study(tmp_path), on_trouble=told.append)
    atlas.begin()
    whole = tmp_path / "targets.parquet"
    whole.write_bytes(b"PAR1 half a file")
    assert not atlas.look() and "targets.parquet is damaged" in told[0] and atlas.version == 1
    assert (tmp_path / "report" / "index.html").is_file()
    whole.unlink()
    assert atlas.look() and atlas.version == 2
    shutil.copytree(tmp_path / "runs" / "a", tmp_path / "runs" / "c")
    assert not atlas.look() and "both hold a run called 'a'" in told[-1]
    shutil.rmtree(tmp_path / "runs" / "c")
    write_run(tmp_path / "runs" / "b", "b", seed=0)
    assert atlas.look() and atlas.version == 3


def test_no_study_is_said_at_once(tmp_path):
    with pytest.raises(StoreError, match="holds no study"):
        serve(tmp_path, on_ready=print)


def test_it_serves_the_new_version_and_ends_at_an_interrupt(tmp_path):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    code = (
        "import sys, signal, geophone.report.live as live\nfrom pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\nlive.EVERY = 0.2\n"
        "live.serve(Path(sys.argv[1]), on_ready=lambda a: print(a, flush=True))\nprint('ended')\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    try:
        address = child.stdout.readline().strip()
        port = int(address.rsplit(":", 1)[1].rstrip("/"))

        def version() -> int:
            return json.loads(asked(port, "/_version.json")[1])["version"]

        assert version() == 1
        write_run(tmp_path / "runs" / "c", "c", seed=1)
        deadline = time.monotonic() + 60
        while version() == 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert version() >= 2
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (child.returncode, out, err) == (0, "ended\n", "")
