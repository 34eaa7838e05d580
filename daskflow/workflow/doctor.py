"""What is wrong with this installation: Python, libraries, the folders a run writes to, and the machine's limits."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from daskflow.core.folder import cache_folder
from daskflow.core.mounts import WITHOUT_LOCKS, about_locks
from daskflow.data.store import existing, size

LITTLE_ROOM = 2 * 2**30
"""Fewer bytes than this are soon full of blocks."""

LITTLE_MEMORY = 2**30

FEW_FILES = 1024
"""Open files: a scheduler has several for each worker, and a worker one for each column file and each peer."""


class Level(StrEnum):
    """How a finding counts."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level : Level
        Whether it is well.
    subject : str
        What it is, in a word or two.
    words : str
        What was found; where it is not well, also what to do.
    """

    level: Level
    subject: str
    words: str


def examine(runs: Path, store: Path | None = None) -> Iterator[Finding]:
    """Look at this installation; each finding comes as soon as it is known.

    Parameters
    ----------
    runs : Path
        Folder of runs; it need not be there.
    store : Path, optional
        Folder of blocks; default that of workflows which name none.
    """
    yield of_python()
    yield from of_libraries()
    yield from of_folder("runs folder", runs.absolute(), "--runs")
    yield of_locks(runs.absolute())
    yield from of_folder("block store", (store or cache_folder()).absolute(), "DASKFLOW_CACHE_DIR or cache.folder")
    yield from of_folder("temporary files", Path(tempfile.gettempdir()), "TMPDIR")
    yield of_machine()
    yield from of_environment()


def of_python(found: str | None = None, wanted: str | None = None) -> Finding:
    """Say whether this Python is one that daskflow runs on."""
    found = platform.python_version() if found is None else found
    if wanted is None:
        try:
            wanted = importlib.metadata.metadata("daskflow")["Requires-Python"]
        except importlib.metadata.PackageNotFoundError:
            wanted = ""
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        words = f"{found} runs this, and daskflow needs {wanted}. Make an environment of it."
        return Finding(Level.FAIL, "Python", words)
    return Finding(Level.OK, "Python", f"{found} on {platform.system()} {platform.machine()}")


def of_libraries() -> Iterator[Finding]:
    """Say which libraries are missing, or of a version that daskflow is not made for."""
    try:
        own, wanted = importlib.metadata.version("daskflow"), importlib.metadata.requires("daskflow") or []
    except importlib.metadata.PackageNotFoundError:
        words = (
            "is used from a folder and not installed, so nothing is known of the libraries it needs: pip install it."
        )
        yield Finding(Level.WARN, "daskflow", words)
        return
    yield Finding(Level.OK, "daskflow", own)
    yield from compared(wanted, _version)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def compared(wanted: Sequence[str], version_of: Callable[[str], str | None]) -> Iterator[Finding]:
    """Hold requirements against what is installed; of optional ones only what is there counts.

    Parameters
    ----------
    wanted : sequence of str
        Requirements as a package's metadata has them.
    version_of : callable
        Returns the version of a package by its name; None for one that is not installed.
    """
    good, seen = 0, set()
    for text in wanted:
        try:
            asked = Requirement(text)
        except InvalidRequirement:
            continue
        is_optional = asked.marker is not None and "extra" in str(asked.marker)
        if asked.marker is not None and not is_optional and not asked.marker.evaluate():
            continue
        found = version_of(asked.name)
        if (asked.name, str(asked.specifier)) in seen or (found is None and is_optional):
            continue
        seen.add((asked.name, str(asked.specifier)))
        install = f"pip install '{asked.name}{asked.specifier}'"
        if found is None:
            yield Finding(Level.FAIL, asked.name, f"is not installed: {install}")
        elif asked.specifier.contains(found, prereleases=True):
            good += 1
        elif is_optional:
            words = f"{found} is installed, and daskflow's part that uses it needs {asked.specifier}: {install}"
            yield Finding(Level.WARN, asked.name, words)
        else:
            yield Finding(
                Level.FAIL, asked.name, f"{found} is installed, and daskflow needs {asked.specifier}: {install}"
            )
    yield Finding(Level.OK, "libraries", f"{good} are of a version that daskflow is made for")


def of_folder(subject: str, folder: Path, option: str) -> Iterator[Finding]:
    """Say whether a folder can be written, and how much room there is; nothing is left in it."""
    place = existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0" * 2**16)
            file.flush()
        free = shutil.disk_usage(place).free
    except OSError as error:
        words = f"{place} cannot be written: {error.strerror or error}. Choose another one with {option}."
        yield Finding(Level.FAIL, subject, words)
        return
    if free < LITTLE_ROOM:
        words = f"{folder}: only {size(free)} are free. Make room, or choose another one with {option}."
        yield Finding(Level.WARN, subject, words)
    else:
        yield Finding(Level.OK, subject, f"{folder}: {size(free)} are free")


def of_locks(folder: Path) -> Finding:
    """Say whether locks hold in a folder: two runs of one name are kept apart by them."""
    place = existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            words = (
                f"the file system of {place} has none, so two runs could write to one folder. Use another with --runs."
            )
            return Finding(Level.WARN, "locks", words)
        return Finding(Level.FAIL, "locks", f"cannot be tried in {place}: {error.strerror or error}.")
    doubt = about_locks(place)
    if doubt:
        words = f"{doubt}: locks may not hold on other machines. Start runs of one name from one machine only."
        return Finding(Level.WARN, "locks", words)
    return Finding(Level.OK, "locks", f"hold in {place}")


def of_machine() -> Finding:
    """Say what the default cluster would have here."""
    words = f"{CPU_COUNT} {'core' if CPU_COUNT == 1 else 'cores'}, {size(MEMORY_LIMIT)} of memory for this process"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < FEW_FILES:
        return Finding(Level.WARN, "machine", f"{words}; only {files} open files are allowed: ulimit -n 4096")
    if MEMORY_LIMIT < LITTLE_MEMORY:
        return Finding(
            Level.WARN, "machine", f"{words}, which is little: the libraries alone take 0.3 GiB for each worker"
        )
    return Finding(Level.OK, "machine", words)


def of_environment() -> Iterator[Finding]:
    """Warn of variables that are known to harm."""
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        words = "PYTHONDONTWRITEBYTECODE is set, so every worker compiles all libraries anew when it starts: unset it"
        yield Finding(Level.WARN, "environment", words)
