"""Where a verb's results go: words on stdout, one JSON document there, or nowhere."""

import os
import sys
from collections.abc import Callable


class Voice:
    """The mouth of one verb.

    By itself it prints words. With `as_json` stdout carries one JSON document and nothing else: until the document
    is written, whatever the work, its worker processes or the user's own modules print there goes to stderr. With
    `quiet` words are left out; a document is not, since it was asked for.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.quiet = quiet
        self._as_json = as_json
        self._document: Callable[[], object] | None = None
        self._stdout, self._kept = -1, sys.stdout

    def __enter__(self) -> "Voice":
        if self._as_json:
            sys.stdout.flush()
            self._stdout, self._kept = os.dup(1), sys.stdout
            os.dup2(2, 1)
            sys.stdout = sys.stderr
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        text = None
        try:
            if self._document is not None and kind is None:
                # Reading help takes neither numpy nor pandas.
                from geophone.terminal.document import document

                text = document(self._document())
        finally:
            if self._as_json:
                sys.stdout.flush()
                sys.stdout = self._kept
                os.dup2(self._stdout, 1)
                os.close(self._stdout)
        if text is not None:
            print(text)

    def say(self, words: Callable[[], object], document: Callable[[], object]) -> None:
        """Have `words` print the result, or keep `document` for when the verb ends."""
        if self._as_json:
            self._document = document
        elif not self.quiet:
            words()
