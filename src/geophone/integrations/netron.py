"""A run's network as a graph: exported to ONNX, and shown by Netron on the loopback address."""

import tempfile
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler

import torch

from geophone.errors import InputError
from geophone.store.run import Run
from geophone.store.tables import replace_file
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import task

_HOST = "127.0.0.1"


def export_onnx(run: Run, path: Path) -> Path:
    """Write the last network of `run` to `path` as ONNX, weights included, and return the path.

    Raises InputError when the packages of geophone[netron] are absent, or for a run that geophone did not train.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError("the network's graph needs more packages: pip install 'geophone[netron]'.") from error
    x = _inputs(run, 2)
    model = run.at(run.manifest.steps)
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    if program is None:
        raise InputError("this release of torch exports no program; another one is needed for the network's graph.")
    replace_file(path, lambda temporary: program.save(str(temporary), external_data=False))
    return path


def serve(run: Run, *, port: int, say: Callable[[str], None]) -> None:
    """Serve Netron with the network of `run` until Ctrl-C, on the loopback address only; opens no browser.

    Only requests that name this machine as their host are answered: `guard`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(run, Path(folder) / f"{run.folder.name}.onnx")
        try:
            import netron
        except ImportError as error:
            raise InputError("showing a graph needs Netron: pip install 'geophone[netron]'.") from error
        address = netron.start(str(path), address=(_HOST, port or None), browse=False)
        try:
            guard(address)
        except InputError:
            netron.stop(address)
            raise
        say(f"Netron shows {run.name} at http://{address[0]}:{address[1]}; Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            netron.stop(address)


def guard(address: tuple[str, int]) -> None:
    """Have the Netron that listens at `address` refuse requests for another host than this machine.

    Netron itself answers whatever host it is asked for, so that a page of another site could read the network under a
    name of its own that leads here (DNS rebinding). Raises InputError when its server is not found, as another
    release of Netron may have it.
    """
    servers = [getattr(thread, "server", None) for thread in threading.enumerate()]
    mine = [s for s in servers if isinstance(s, HTTPServer) and s.server_address[:2] == tuple(address)]
    # The thread of a Netron that was stopped lives on for up to its timeout, with the address but without a socket.
    mine = [s for s in mine if s.fileno() != -1]
    handler = mine[0].RequestHandlerClass if len(mine) == 1 else None
    if not isinstance(handler, type):
        raise InputError("this release of Netron cannot be kept to this machine; export with --export and open that.")
    mine[0].RequestHandlerClass = _guarded(handler)


def _guarded(handler: type[BaseRequestHandler]) -> type[BaseRequestHandler]:
    def parse_request(self: BaseHTTPRequestHandler) -> bool:
        if not BaseHTTPRequestHandler.parse_request(self):
            return False
        if (self.headers.get("Host") or "").rsplit(":", 1)[0] in (_HOST, "localhost"):
            return True
        self.send_error(HTTPStatus.MISDIRECTED_REQUEST, f"this server answers for {_HOST} only")
        return False

    def log_message(self: BaseHTTPRequestHandler, format: str, *args: object) -> None:
        """Nothing: Netron's own joins the arguments, and trips over a number."""

    return type("Guarded", (handler,), {"parse_request": parse_request, "log_message": log_message})


def _inputs(run: Run, samples: int) -> torch.Tensor:
    """The first `samples` held-out inputs of the task that `run` was trained on; InputError where that is not known."""
    name = run.manifest.about.get("experiment")
    if name is None:
        raise InputError(f"{run.name} was not trained by geophone, so its data are not known here.")
    return task(experiment(name).task).probe(samples)[0]
