"""The name that `ingest.tables` had in 0.1; it goes with the next release."""

from geophone._lazy import lazy

__getattr__, __dir__ = lazy(globals(), {"Columns": "geophone.ingest.tables", "import_series": "geophone.ingest.tables"})
