"""Made by docs/make_api.py from the names in __init__.py: what a type checker sees of this package."""

from geophone.record.capture import ActivationCapture as ActivationCapture
from geophone.record.probe import Probe as Probe
from geophone.record.recorder import Recorder as Recorder
from geophone.record.schedule import Schedule as Schedule
from geophone.record.watch import Alarm as Alarm
from geophone.record.watch import Snapshots as Snapshots
from geophone.record.watch import Watch as Watch
from geophone.record.what import What as What
