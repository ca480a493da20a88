"""What geophone serves is for this machine alone: the loopback address, and only under its own name."""

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from geophone.errors import InputError
from geophone.integrations.netron import guard

netron = pytest.importorskip("netron")
FOREIGN = [
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "",
    "0.0.0.0",
    "127.0.0.1@evil.example",
    "[::1]",
]


@pytest.fixture
def served(tmp_path):
    model = tmp_path / "net.onnx"
    model.write_bytes(b"the weights")
    address = netron.start(str(model), address=("127.0.0.1", None), browse=False)
    yield address
    netron.stop(address)


def asked(address, host, path):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_netron_left_to_itself_answers_any_host(served):
    assert asked(served, "evil.example", "/data/net.onnx") == (200, b"the weights")


@pytest.mark.parametrize("host", [*FOREIGN, None])
def test_a_guarded_netron_refuses_foreign_hosts(served, host):
    guard(served)
    status, said = asked(served, host, "/data/net.onnx")
    assert status == 421 and b"the weights" not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:1234"])
def test_a_guarded_netron_answers_this_machine(served, host):
    guard(served)
    assert asked(served, host, "/data/net.onnx") == (200, b"the weights")
    assert asked(served, host, "/")[0] == 200 and asked(served, host, "/data/../../etc/passwd")[0] == 404


def test_a_netron_just_stopped_at_the_same_address_is_not_mistaken_for_it(served):
    """Its thread lives on for a moment, with a server of that address whose socket is closed."""
    stopped = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    stopped.server_close()
    stopped.server_address = served
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.server = stopped
    thread.start()
    try:
        guard(served)
        assert asked(served, "evil.example", "/data/net.onnx")[0] == 421
    finally:
        over.set()
        thread.join()


def test_it_cannot_be_reached_by_another_address_of_this_machine(served):
    guard(served)
    for other in ("127.0.0.2", "::1"):
        with pytest.raises(OSError):
            socket.create_connection((other, served[1]), timeout=5)


def test_a_netron_that_is_not_found_is_refused_rather_than_left_open():
    with pytest.raises(InputError, match="cannot be kept to this machine"):
        guard(("127.0.0.1", 1))
