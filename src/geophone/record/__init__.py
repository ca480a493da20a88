"""From a live model to rows on disk."""

from geophone._lazy import lazy

_HOME = {
    "ActivationCapture": "geophone.record.capture",
    "Alarm": "geophone.record.watch",
    "Probe": "geophone.record.probe",
    "Recorder": "geophone.record.recorder",
    "Schedule": "geophone.record.schedule",
    "Snapshots": "geophone.record.watch",
    "Watch": "geophone.record.watch",
    "What": "geophone.record.what",
}
__all__ = list(_HOME)
__getattr__, __dir__ = lazy(globals(), _HOME)
