"""From a live model to rows on disk."""

from geophone.record.capture import ActivationCapture
from geophone.record.layers import layers
from geophone.record.probe import Probe
from geophone.record.recorder import Recorder
from geophone.record.schedule import Schedule
from geophone.record.watch import Alarm, Snapshots, Watch
from geophone.record.what import What

__all__ = ["ActivationCapture", "Alarm", "Probe", "Recorder", "Schedule", "Snapshots", "Watch", "What", "layers"]
