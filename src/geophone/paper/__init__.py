"""From a finished study to its paper."""

from geophone.paper.build import write_paper

__all__ = ["write_paper"]
