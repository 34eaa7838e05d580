"""Job logs: what the jobs of a run have written, also those that are long gone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daskflow.core.errors import ControlError
from daskflow.core.folder import RunFolder
from daskflow.core.settings import nearest
from daskflow.workflow.submission import batch_of, read_submission

LOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\]-]*\.log")


@dataclass(frozen=True, slots=True)
class JobLog:
    """The log of a job.

    Attributes
    ----------
    job : str
        Its number.
    path : Path
        The file; it is there.
    is_controller : bool
        Whether it is a controller's.
    """

    job: str
    path: Path
    is_controller: bool

    @property
    def name(self) -> str:
        """What it is shown under."""
        return f"{'controller' if self.is_controller else 'worker'} {self.job}"


def logs_of(folder: RunFolder, job: str | None = None) -> list[JobLog]:
    """Return the logs of a run's jobs, in the order in which they were begun.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    job : str, optional
        Only that of this job.

    Raises
    ------
    ControlError
        When the run is on no queue, has no logs yet, or none of this job.
    """
    cluster = batch_of(folder)
    name = f"{folder.name}/{folder.id}"
    if cluster is None:
        raise ControlError(
            f"Run {name} is on no batch queue, so no jobs write logs. `daskflow watch` shows what it tells."
        )
    place = cluster.logs
    submission = read_submission(folder)
    controllers = submission.ids if submission is not None else ()
    files = (
        [file for file in place.glob("*.log") if LOG.fullmatch(file.name) and file.is_file()] if place.is_dir() else []
    )
    found = [JobLog(file.stem, file, file.stem in controllers) for file in files]
    found.sort(key=lambda log: (_order(log.job), log.job))
    if job is not None:
        chosen = [log for log in found if log.job == job]
        if not chosen:
            known = [log.job for log in found]
            raise ControlError(
                f"No job {job} of run {name} has written a log{nearest(job, known) if known else ' yet'}."
            )
        return chosen
    if not found:
        raise ControlError(
            f"No job of run {name} has written a log yet: none was in {place}. `daskflow status {folder.path}` says "
            "whether there are any, and what they wait for."
        )
    return found


class Following:
    """What is added to files, piece by piece, as whole lines."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        """Begin at the beginning of each."""
        self._places: dict[Path, int] = dict.fromkeys(paths, 0)

    def new(self, path: Path, *, is_over: bool = False) -> str:
        """Return what a file got since the last call; the last line only when it is whole, or nothing more comes."""
        place = self._places.get(path, 0)
        try:
            with open(path, "rb") as file:
                if file.seek(0, 2) < place:  # it was begun anew: a job that the queue started again
                    place = 0
                file.seek(place)
                content = file.read()
        except OSError:
            return ""
        if not is_over:
            content = content[: content.rfind(b"\n") + 1]
        self._places[path] = place + len(content)
        return content.decode(errors="replace")


def _order(job: str) -> tuple[int, ...]:
    """Numbers as numbers: 9 before 10, and 9_2 before 9_10."""
    return tuple(int(number) for number in re.findall(r"\d+", job))
