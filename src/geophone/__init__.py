"""geophone listens to a network's layers while it trains and says where to dig.

The names below are the public face, each imported when it is first used; `__init__.pyi` shows them to type checkers.
"""

import geophone.dig
import geophone.dimensions
import geophone.measure
from geophone._lazy import lazy

# Three modules have the name of a public function. Python puts a module over that name when it is first imported: done
# once here, and taken away again, so that no later import can.
del geophone.dig, geophone.dimensions, geophone.measure

_HOME = {
    "ActivationCapture": "geophone.record.capture",
    "Alarm": "geophone.record.watch",
    "Anatomy": "geophone.record.anatomy",
    "DigOptions": "geophone.records",
    "Experiment": "geophone.zoo.catalogue",
    "GeophoneError": "geophone.errors",
    "InputError": "geophone.errors",
    "Layer": "geophone.records",
    "PartlyDone": "geophone.errors",
    "PlainAnatomy": "geophone.record.anatomy",
    "Probe": "geophone.record.probe",
    "Recorder": "geophone.record.recorder",
    "ReplayError": "geophone.errors",
    "Run": "geophone.store.run",
    "Schedule": "geophone.record.schedule",
    "Snapshots": "geophone.record.watch",
    "StoreError": "geophone.errors",
    "Study": "geophone.store.study",
    "Subject": "geophone.dig.subject",
    "Target": "geophone.records",
    "Transition": "geophone.records",
    "Watch": "geophone.record.watch",
    "Window": "geophone.records",
    "What": "geophone.record.what",
    "cka": "geophone.dimensions.similarity",
    "convergence_order": "geophone.detect.order",
    "critical_periods": "geophone.detect.critical",
    "dig": "geophone.dig.run",
    "dimensions": "geophone.dimensions.reading",
    "fork": "geophone._train",
    "import_series": "geophone.ingest.tables",
    "jumps": "geophone.detect.jumps",
    "layers": "geophone.record.layers",
    "measure": "geophone.ingest.checkpoints",
    "open": "geophone._open",
    "prove": "geophone.prove",
    "query": "geophone.store.sql",
    "replay": "geophone._train",
    "run_study": "geophone.study.run",
    "stabilization": "geophone.detect.stabilization",
    "targets": "geophone.point.study",
    "train": "geophone._train",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy(globals(), _HOME)
