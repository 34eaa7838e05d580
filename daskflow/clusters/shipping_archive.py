"""Archives of environments: written once into a folder that nodes see, used by later runs, and few at a time."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.utils import format_bytes

from daskflow.clusters.shipping import Contents
from daskflow.core.errors import StorageError
from daskflow.core.events import Listener, nobody, tell

KEPT = 3
"""So many archives stay in the folder; those used longest ago go first. One that a run has linked lives on there."""

LEVEL = 1
"""Of gzip, which every node has: level 6 takes four times as long for a tenth less."""

COPY, ARCHIVE = "DASKFLOW_COPY", "DASKFLOW_ARCHIVE"
"""Variables that tell a process in a shipped environment where it is, and which archive that came from."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An environment as one file, and what the lines of a job's script check it by.

    Attributes
    ----------
    path : Path
        On a disk that nodes see.
    sha256 : str
        Of the file.
    size_bytes : int
        Of what is in it, unpacked.
    """

    path: Path
    sha256: str
    size_bytes: int

    def text(self) -> str:
        """Return it as one word, for a variable; see `of_text`."""
        return f"{self.sha256}:{self.size_bytes}:{self.path}"

    @classmethod
    def of_text(cls, text: str) -> Archive | None:
        """Return the archive of a word; None for what is none.

        Examples
        --------
        >>> archive = Archive(Path("/shared/a.tar.gz"), "0" * 64, 5)
        >>> Archive.of_text(archive.text()) == archive, Archive.of_text("")
        (True, None)
        """
        found = re.fullmatch(r"([0-9a-f]{64}):(\d+):(.+)", text)
        return cls(Path(found[3]), found[1], int(found[2])) if found else None


SHOWN = Archive(Path("ENVIRONMENT.tar.gz"), "SHA256", 0)
"""Stands in scripts that are only shown: the archive is written when a run begins."""


def archive_of(
    contents: Callable[[], Contents], folder: Path, link: Path, listener: Listener = nobody
) -> tuple[Archive, bool]:
    """Return an environment's archive, linked to where a run keeps it, and whether it was packed just now.

    Parameters
    ----------
    contents : callable
        Gives the files; not asked in a process that runs in a shipped environment, for that is shipped on as it came.
    folder : Path
        Of archives, for all runs.
    link : Path
        Another name of the file, in the run's folder: there it stays as long as the run needs it, whatever becomes of
        the first. Where the file system has no links, the first one's path is used.
    listener : callable
        Hears that files are being packed, which takes its time.

    Raises
    ------
    StorageError
        When the folder cannot be written.
    """
    came = Archive.of_text(os.environ.get(ARCHIVE, ""))
    if came is not None and is_whole(came):
        return came, False
    found = contents()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise StorageError(f"The folder of environments {folder} is another user's: name another cluster.shared.")
        folder.chmod(0o700)  # whoever may write here decides what runs on the nodes
        for file in sorted(folder.glob(f"{found.digest[:16]}-*.tar.gz")):
            archive = Archive(file, _sum_in(file), found.size_bytes)
            if is_whole(archive):
                os.utime(file)
                return _linked(archive, link), False
            file.unlink(missing_ok=True)
        size = format_bytes(found.size_bytes)
        tell(listener, "note", text=f"The environment ({size}) is being packed for the nodes; later runs use it again.")
        archive = _packed(found, folder)
        linked = _linked(archive, link)
        _prune(folder)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"The environment cannot be packed into {folder}: {error.strerror or error}. Name another folder that "
            "the nodes see with cluster.shared, or make room."
        ) from error
    return linked, True


def is_whole(archive: Archive) -> bool:
    """Whether an archive is as it was written."""
    try:
        with archive.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == archive.sha256
    except OSError:
        return False


def _sum_in(file: Path) -> str:
    """The checksum that a file has in its name."""
    return file.name.partition("-")[2].partition(".")[0]


class _Summed:
    """A file to write to, whose checksum is known at the end."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sum = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.sum.update(content)
        return int(self._file.write(content))

    def flush(self) -> None:
        self._file.flush()


def _packed(contents: Contents, folder: Path) -> Archive:
    """Write an archive; the same files give the same bytes."""
    part = folder / f"{contents.digest[:16]}.part-{os.getpid()}"
    try:
        with part.open("wb") as file:
            summed = _Summed(file)
            with (
                gzip.GzipFile("", "wb", LEVEL, summed, mtime=0) as zipped,
                tarfile.open(mode="w", fileobj=zipped, format=tarfile.PAX_FORMAT) as tar,
            ):
                for place, source in contents.files.items():
                    with source.open("rb") as opened:
                        tar.addfile(_entry(place, os.fstat(opened.fileno())), opened)
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"{contents.digest[:16]}-{summed.sum.hexdigest()}.tar.gz"
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return Archive(path, summed.sum.hexdigest(), contents.size_bytes)


def _entry(place: str, known: os.stat_result) -> tarfile.TarInfo:
    """A file's line in the archive: no owner, and whole seconds, by which compiled files know their sources."""
    entry = tarfile.TarInfo(place)
    entry.size, entry.mtime, entry.mode = known.st_size, int(known.st_mtime), 0o755 if known.st_mode & 0o100 else 0o644
    return entry


def _linked(archive: Archive, link: Path) -> Archive:
    """Give an archive another name in a run's folder."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists() and link.samefile(archive.path):
        return Archive(link, archive.sha256, archive.size_bytes)
    link.unlink(missing_ok=True)
    try:
        os.link(archive.path, link)
    except OSError:  # another file system, or one without links
        return archive
    return Archive(link, archive.sha256, archive.size_bytes)


def _prune(folder: Path) -> None:
    """Remove what was used longest ago, and what killed processes have left."""
    files = sorted(folder.glob("*.tar.gz"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in [*files[KEPT:], *(part for part in folder.glob("*.part-*") if _is_dead(part))]:
        with suppress(OSError):
            file.unlink()


def _is_dead(part: Path) -> bool:
    """Whether nobody writes a file any more: for an hour, since its process may be on another machine."""
    now = part.with_name(f"{part.name}-now")
    now.touch()
    try:
        return now.stat().st_mtime - part.stat().st_mtime > 3600
    finally:
        now.unlink(missing_ok=True)
