"""A page of an atlas in a real browser."""

from pathlib import Path

READY = "document.documentElement.dataset.ready"


def opened(page, path: Path):
    page.goto(path.as_uri())
    page.wait_for_function(READY)
    return page


def steps(page, start: str, stop: str) -> None:
    """Select steps by keys alone."""
    page.focus("#span-from")
    for text in (start, stop):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
