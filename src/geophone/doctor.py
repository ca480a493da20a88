"""What is installed, what is missing, whether this machine suffices, and whether a study is whole."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from geophone.errors import InputError, StoreError, first_line
from geophone.store.check import damaged_files, nonfinite
from geophone.store.manifest import read_manifest
from geophone.store.places import Places, is_run

CORE = "core"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Where a package is imported by another name than it is installed by.
_MODULES = {
    "scikit-learn": "sklearn", "vl-convert-python": "vl_convert", "pillow": "PIL", "scikit-dimension": "skdim",
    "markdown-it-py": "markdown_it",
}  # fmt: skip
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
class RunState:
    """A run that is there: its `status`, its `problem` (files that are missing or changed, or why it cannot be read, or
    ""), the layers that were left out of it and the checkpoints that could not be measured, each with the reason, the
    canonical names of the layers that were recorded, and the steps at which some held NaN or infinity, with these."""

    folder: Path
    status: str
    problem: str
    left_out: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)
    canonical: Mapping[str, str] = field(default_factory=dict)
    nonfinite: Mapping[int, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """`whole`: Python and every part of the core do, and every run. `missing` lists the extras that lack something."""

    python: Property
    parts: tuple[Package, ...]
    machine: tuple[Property, ...]
    runs: tuple[RunState, ...] = ()

    @property
    def whole(self) -> bool:
        able = not self.python.warning and not any(p.problem for p in self.parts if p.extra == CORE)
        return able and not any(run.problem for run in self.runs)

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.extra for p in self.parts if p.problem and p.extra != CORE))

    @property
    def commands(self) -> tuple[str, ...]:
        """What would mend it: a pip command for the core where it is not whole, and one an extra that is missing."""
        core = [f"'{p.package}{p.wanted}'" for p in self.parts if p.problem and p.extra == CORE]
        mend = [f"pip install {' '.join(core)}"] if core else []
        return (*mend, *(f"pip install 'geophone[{extra}]'" for extra in self.missing))


def examine(folder: Path, *, imports: bool = False) -> Health:
    """Look at the installation, at this machine, and at the runs of `folder`: a run, a study, or where one would be.

    The parts come from the package's own requirements and are looked up, not imported, which takes seconds; with
    `imports` those of the core are, since what is installed may yet be broken. Of a run every file with a digest in the
    manifest is read. Raises InputError when `folder` is not a folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    parts = tuple(_part(*wanted, imports) for wanted in requirements(requires("geophone") or ()))
    machine = (_device(), _cores(), _memory(), _disk(folder), _browser())
    places = Places(folder)
    runs = [folder] if is_run(folder) else [p for p in (*places.runs.glob("*"), *places.forks.glob("*/*")) if is_run(p)]
    return Health(_python(), parts, machine, tuple(_state(run) for run in sorted(runs)))


def _state(folder: Path) -> RunState:
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        return RunState(folder, "unknown", str(error), {})
    damaged = [str(path.relative_to(folder)) for path in damaged_files(folder, manifest)]
    more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
    problem = f"missing or changed: {', '.join(damaged[:3])}{more}" if damaged else ""
    try:
        broken = nonfinite(folder)
    except StoreError as error:
        problem, broken = problem or str(error), {}
    names = {layer.name: layer.canonical for layer in manifest.layers if layer.canonical not in ("", layer.name)}
    failed = manifest.about.get("failed", {})
    return RunState(folder, manifest.status, problem, manifest.left_out, failed, names, broken)


def _part(requirement: Requirement, extra: str, imports: bool) -> Package:
    package, wanted = requirement.name, str(requirement.specifier)
    try:
        release = version(package)
    except PackageNotFoundError:
        return Package(package, extra, wanted, "", "not installed")
    fits = requirement.specifier.contains(release, prereleases=True)
    problem = "" if fits else f"needs {wanted}"
    if extra == CORE and not problem:
        module = _MODULES.get(package, package.replace("-", "_"))
        problem = _broken(module) if imports else "" if find_spec(module) else "is installed without its files"
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
    """What the driver says, without torch, whose import alone takes longer than all the rest."""
    tool = shutil.which("nvidia-smi")
    names = _asked([tool, "--query-gpu=name", "--format=csv,noheader"]).splitlines() if tool else []
    try:
        build = version("torch").partition("+")[2]
    except PackageNotFoundError:
        return Property("device", "unknown", "torch is not installed")
    if not names:
        return Property("device", "CPU; every network of the zoo is small enough for it", "")
    unused = "torch is a build for the CPU, which does not use it" if build == "cpu" else ""
    return Property("device", f"{len(names)} x {names[0]}", unused)


def _asked(words: list[str]) -> str:
    """What a command prints; nothing where it cannot be run or does not end."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


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
    return Property("browser", found, "")
