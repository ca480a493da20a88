"""From a live model to rows on disk."""

from geophone.record.capture import ActivationCapture
from geophone.record.layers import layers
from geophone.record.recorder import Recorder
from geophone.record.schedule import Schedule

__all__ = ["ActivationCapture", "Recorder", "Schedule", "layers"]
