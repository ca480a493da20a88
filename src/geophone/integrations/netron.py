"""A run's network as a graph: exported to ONNX, and shown by Netron on the loopback address."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

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
    replace_file(path, lambda temporary: program.save(str(temporary), external_data=False))
    return path


def serve(run: Run, *, port: int, say: Callable[[str], None]) -> None:
    """Serve Netron with the network of `run` until Ctrl-C, on the loopback address only; opens no browser."""
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(run, Path(folder) / f"{run.folder.name}.onnx")
        try:
            import netron
        except ImportError as error:
            raise InputError("showing a graph needs Netron: pip install 'geophone[netron]'.") from error
        address = netron.start(str(path), address=(_HOST, port or None), browse=False)
        say(f"Netron shows {run.name} at http://{address[0]}:{address[1]}; Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            netron.stop(address)


def _inputs(run: Run, samples: int) -> torch.Tensor:
    """The first `samples` held-out inputs of the task that `run` was trained on; InputError where that is not known."""
    name = run.manifest.about.get("experiment")
    if name is None:
        raise InputError(f"{run.name} was not trained by geophone, so its data are not known here.")
    return task(experiment(name).task).probe(samples)[0]
