"""Workers that are no processes, for tests that are not about those: each would take seconds to start."""

from geophone.errors import GeophoneError
from geophone.workers import Outcome, Workers


class InTurn(Workers):
    """Does tasks here, one after another."""

    def map(self, tasks, *, threads=1, on_progress=lambda *news: None, on_end=lambda outcome: None):
        ended = []
        for task in tasks:
            try:
                task.function(**task.arguments, tell=lambda done, of, name=task.name: on_progress(name, done, of))
                ended.append(Outcome(task.name))
            except GeophoneError as error:
                ended.append(Outcome(task.name, str(error)))
            on_end(ended[-1])
        return ended
