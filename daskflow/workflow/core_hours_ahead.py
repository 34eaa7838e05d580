"""Core-hours ahead: about how many the jobs of a run will use, said before any is handed in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.clusters.batch import Batch
from daskflow.core.estimates import rounded
from daskflow.core.folder import RunFolder
from daskflow.core.job_accounts import CoreHours, hours
from daskflow.core.journal import read
from daskflow.workflow.core_hours import accounts_in

if TYPE_CHECKING:
    from daskflow.workflow.outlook import Outlook
    from daskflow.workflow.workflow import Workflow


@dataclass(frozen=True, slots=True)
class CoreHoursAhead:
    """What a run on a batch queue is expected to use: all cores of all jobs, for as long as the run goes on.

    Attributes
    ----------
    cores : int
        Of the workers and the controller's job at a time.
    expected, low, high : float or None
        Core-hours, with the band that holds them in `Outlook.level` of all cases; None where nobody knows.
    used : float
        By earlier jobs of the same run.
    limit : float or None
        ``cluster.max_core_hours``.
    """

    cores: int
    expected: float | None
    low: float | None
    high: float | None
    used: float = 0.0
    limit: float | None = None

    @property
    def left(self) -> float | None:
        """What the limit leaves; None without one."""
        return None if self.limit is None else max(0.0, self.limit - self.used)

    def dump(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "left": self.left}

    def __str__(self) -> str:
        """One sentence.

        Examples
        --------
        >>> print(CoreHoursAhead(9, 4.5, 3.0, 7.2, used=0.5, limit=6.0))
        about 4.5 (3 to 7.2) on 9 cores, besides 0.5 used before; 5.5 of max_core_hours = 6 are left, which may not do
        >>> print(CoreHoursAhead(1, 0.5, 0.3, 0.9))
        about 0.5 (0.3 to 0.9) on 1 core
        >>> print(CoreHoursAhead(9, None, None, None))
        not known before the first fits; 9 for each 60 min
        """
        if self.expected is None or self.low is None or self.high is None:
            told = f"not known before the first fits; {hours(self.cores)} for each 60 min"
        else:
            cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
            told = f"about {rounded(self.expected)} ({rounded(self.low)} to {rounded(self.high)}) on {cores}"
        told += f", besides {hours(self.used)} used before" if self.used else ""
        if self.left is None:
            return told
        told += f"; {hours(self.left)} of max_core_hours = {hours(self.limit or 0.0)} are left"
        if self.low is not None and self.left < self.low:
            return f"{told}, which will hardly do: the search will be stopped before its end"
        return f"{told}, which may not do" if self.high is not None and self.left < self.high else told


def core_hours_ahead(
    workflow: Workflow, found: Outlook, runs: Path, *, has_controller: bool = False
) -> CoreHoursAhead | None:
    """Return what a run's jobs will use, by how long the run will take; None on no batch queue.

    Parameters
    ----------
    workflow : Workflow
        What will run.
    found : Outlook
        How long it will take.
    runs : Path
        Folder of runs.
    has_controller : bool
        Whether the controller is a job, too: `submit`.

    Notes
    -----
    Of a number of workers that follows the work the expected value is by `workers`, and the band goes from the fewest
    to the most; but no fewer core-hours than the fits' own processor time.
    """
    cluster = workflow.cluster
    if not isinstance(cluster, Batch):
        return None
    controller = cluster.controller_cores if has_controller else 0
    is_whole = controller > cluster.cores
    workers = 0 if is_whole else cluster.workers * cluster.cores
    fewest = 0 if is_whole else (workers if cluster.minimum is None else cluster.minimum * cluster.cores)
    most = 0 if is_whole else (workers if cluster.maximum is None else cluster.maximum * cluster.cores)
    folder = RunFolder(runs.absolute() / workflow.name / workflow.id)
    earlier = [job for job in accounts_in(folder, read(folder.journal)).jobs() if job.state == "ended"]
    about: dict[str, Any] = {"expected": None, "low": None, "high": None}
    if found.seconds is not None and found.low is not None and found.high is not None:
        least = found.cpu_low or 0.0
        about = {
            "expected": max((workers + controller) * found.seconds / 3600, found.cpu_hours or 0.0),
            "low": max((fewest + controller) * found.low / 3600, least),
            "high": (max(most, workers) + controller) * found.high / 3600,
        }
    return CoreHoursAhead(workers + controller, **about, used=CoreHours.of(earlier).used, limit=cluster.max_core_hours)
