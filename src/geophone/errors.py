"""The errors geophone raises. Each message says what it got, what it wanted and what to do."""


class GeophoneError(Exception):
    """Base of every error that is the caller's to mend; the command line prints it and exits with status 2."""


class InputError(GeophoneError, ValueError):
    """An argument, a probe or a study file is not usable as it is."""


class StoreError(GeophoneError):
    """A file on disk is missing, damaged, of another run, or of a format this release does not read."""


class ReplayError(GeophoneError):
    """A network could not be had again exactly as it was."""


class NewerFormatError(StoreError):
    """A file was written by a later release; it is read by that one, and never repaired by this."""
