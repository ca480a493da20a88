"""The errors geophone raises. Each message says what it got, what it wanted and what to do."""

LONGEST = 1_000


class GeophoneError(Exception):
    """Base of every error that is the caller's to mend; the command line prints it and exits with status 2
    (1 for PartlyDone).

    Its message is one line that a terminal can show, whatever stood in the file that it speaks of: other characters
    are escaped, and what is longer than `LONGEST` loses its middle.
    """

    def __init__(self, said: str = "") -> None:
        line = "".join(c if c.isprintable() else " " if c in "\n\t" else ascii(c)[1:-1] for c in said.strip())
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")


class InputError(GeophoneError, ValueError):
    """An argument, a probe or a study file is not usable as it is."""


class StoreError(GeophoneError):
    """A file on disk is missing, damaged, of another run, or of a format this release does not read."""


class ReplayError(GeophoneError):
    """A network could not be had again exactly as it was."""


class NewerFormatError(StoreError):
    """A file was written by a later release; it is read by that one, and never repaired by this."""


class PartlyDone(StoreError):
    """Some of the work failed; the rest is done and kept. The command line ends with status 1."""


def first_line(error: Exception, *, most: int = 200) -> str:
    """The first line of what another library says of its error, with those that it announces where it ends in a colon;
    its kind where it says nothing. What is longer than `most` characters ends in "..."."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = " ".join(" ".join(lines).split()) if lines[0].rstrip().endswith(":") else lines[0].strip()
    return said if len(said) <= most else f"{said[: most - 3].rpartition(' ')[0] or said[: most - 4]} ..."
