"""From a live model to rows on disk."""

from geophone.record.alarms import Alarm, Snapshots
from geophone.record.capture import ActivationCapture
from geophone.record.layers import layers
from geophone.record.recorder import Recorder
from geophone.record.schedule import Schedule

__all__ = ["ActivationCapture", "Alarm", "Recorder", "Schedule", "Snapshots", "layers"]
