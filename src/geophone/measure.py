"""The name that the modules of `ingest` had in 0.1; it goes with the next release."""

from geophone._lazy import lazy

__getattr__, __dir__ = lazy(
    globals(),
    {
        "Measured": "geophone.ingest.checkpoints",
        "Source": "geophone.ingest.sources",
        "checkpoint_files": "geophone.ingest.sources",
        "measure": "geophone.ingest.checkpoints",
        "read_probe": "geophone.ingest.probes",
        "read_weights": "geophone.ingest.weights",
        "revisions": "geophone.ingest.sources",
    },
)
