"""A study is what lies in its folder: nothing in it may lead out."""

import os
from pathlib import Path

from geophone.errors import StoreError


def check_inside(folder: Path) -> None:
    """Raises StoreError when a symbolic link below `folder` leads out of it.

    Else a folder that came from somebody else could have us read, or write, where it points. `folder` itself may be
    reached through a link.
    """
    home = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            if os.path.islink(path) and not is_inside(os.path.realpath(path), home):
                raise StoreError(
                    f"{path} is a link that leads out of {folder}; nothing was read. Put there what it points to."
                )


def is_inside(path: Path | str, home: Path | str) -> bool:
    """Whether `path` is `home` or lies below it, links and ".." resolved."""
    path, home = os.path.realpath(path), os.path.realpath(home)
    return path == home or path.startswith(home.rstrip(os.sep) + os.sep)
