"""What is installed, what is missing, and whether this machine suffices."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from geophone.errors import InputError, first_line

CORE = "core"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Where a package is imported by another name than it is installed by.
_MODULES = {"scikit-learn": "sklearn", "vl-convert-python": "vl_convert", "pillow": "PIL", "scikit-dimension": "skdim"}
_PYTHON = (3, 11)
# A demo leaves about 70 MB, the study of 44 networks 1.4 GB; a worker takes about 700 MB.
CORES, MEMORY, DISK = 2, 4e9, 2e9


@dataclass(frozen=True, slots=True)
class Package:
    """A package: `extra` is "core" or the name of the optional group that wants it, `wanted` the releases that will do
    (">=2.6"), `found` the one that is installed or "", `problem` why it does not do or ""."""

    package: str
    extra: str
    wanted: str
    found: str
    problem: str


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the machine: what there is in words, and a warning or ""."""

    name: str
    there: str
    warning: str


@dataclass(frozen=True, slots=True)
class Health:
    """`whole`: Python and every part of the core do. `missing` lists the extras that lack something."""

    python: Property
    parts: tuple[Package, ...]
    machine: tuple[Property, ...]

    @property
    def whole(self) -> bool:
        return not self.python.warning and not any(p.problem for p in self.parts if p.extra == CORE)

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.extra for p in self.parts if p.problem and p.extra != CORE))

    @property
    def commands(self) -> tuple[str, ...]:
        """What would mend it: a pip command for the core where it is not whole, and one an extra that is missing."""
        core = [f"'{p.package}{p.wanted}'" for p in self.parts if p.problem and p.extra == CORE]
        mend = [f"pip install {' '.join(core)}"] if core else []
        return (*mend, *(f"pip install 'geophone[{extra}]'" for extra in self.missing))


def examine(folder: Path) -> Health:
    """Look at the installation and at this machine; `folder` is where a study would be written.

    The parts come from the package's own requirements. Those of the core are imported, since what is installed may yet
    be broken; those of the extras are only looked up. Raises InputError when `folder` is not a folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    parts = tuple(_part(*wanted) for wanted in requirements(requires("geophone") or ()))
    return Health(_python(), parts, (_device(), _cores(), _memory(), _disk(folder), _browser()))


def _part(requirement: Requirement, extra: str) -> Package:
    package, wanted = requirement.name, str(requirement.specifier)
    try:
        release = version(package)
    except PackageNotFoundError:
        return Package(package, extra, wanted, "", "not installed")
    fits = requirement.specifier.contains(release, prereleases=True)
    problem = "" if fits else f"needs {wanted}"
    if extra == CORE and not problem:
        problem = _broken(_MODULES.get(package, package.replace("-", "_")))
    return Package(package, extra, wanted, release, problem)


def requirements(lines: Sequence[str]) -> list[tuple[Requirement, str]]:
    """Each requirement with the extra that it belongs to, or "core", without those that name geophone itself."""
    parsed = [Requirement(line) for line in lines]
    return [(r, _extra(r)) for r in parsed if r.name != "geophone"]


def _extra(requirement: Requirement) -> str:
    match = re.search(r"extra == .([^'\"]+)", str(requirement.marker or ""))
    return match[1] if match else CORE


def _broken(module: str) -> str:
    try:
        import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        return f"does not import: {first_line(error, most=120)}"
    return ""


def _python() -> Property:
    least = ".".join(map(str, _PYTHON))
    return Property(
        "Python", platform.python_version(), "" if sys.version_info >= _PYTHON else f"needs {least} or later"
    )


def _device() -> Property:
    try:
        import torch
    except (ImportError, OSError):
        return Property("device", "unknown", "torch does not import")
    if torch.cuda.is_available():
        return Property("device", f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}", "")
    return Property("device", "CPU; every network of the zoo is small enough for it", "")


def _cores() -> Property:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Property("cores", str(count), "" if count >= CORES else "a demo takes twice as long as on two")


def _memory() -> Property:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return Property("memory", "unknown", "")
    return Property("memory", f"{size / 1e9:.1f} GB", "" if size >= MEMORY else "give `run` and `dig` --workers 1")


def _disk(folder: Path) -> Property:
    free = shutil.disk_usage(folder).free
    writable = os.access(folder, os.W_OK)
    short = f"a study of 44 networks needs {DISK / 1e9:.0f} GB" if free < DISK else ""
    return Property("disk", f"{free / 1e9:.1f} GB free here", short if writable else "this folder cannot be written to")


def _browser() -> Property:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        return Property(
            "browser", "none", "tests that drive one are skipped; only they need it: apt-get install chromium"
        )
    try:
        asked = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return Property("browser", found, "does not say which release it is")
    return Property("browser", asked.stdout.strip() or found, "")
