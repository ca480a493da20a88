"""When a trainer that goes on continues the run that it left."""

from pathlib import Path

from geophone.store.places import is_run


def resumes(out: str | Path, asked: bool | None, *, start: int) -> bool:
    """Whether the run in `out` is continued: where there is one, and it is `asked` for or, if nobody said, the trainer
    starts later than at step 0."""
    return is_run(Path(out)) and (start > 0 if asked is None else asked)
