"""The errors daskflow raises, as one tree.

::

    DaskflowError              exit code 1; every error below, so one ``except`` catches all
    ├── SettingsError          2; the workflow or the command line is wrong; lists every problem at once
    ├── DataError              1; files, columns, values or targets that cannot be used as asked
    │   ├── BadRowsError       1; rows that do not fit the schema, with file and line
    │   └── ChangedDataError   1; files that changed since they were planned, scanned or first used by the run
    ├── ClusterError           3; no cluster, or one that was lost
    ├── SearchError            1; no candidate could be fitted, or the space is empty
    ├── StorageError           1; no space, no permission, a folder that workers do not see
    │   └── LostBlockError     1; a block that is gone or damaged; a run makes it anew by itself, once
    ├── ControlError           1; a command that a run cannot follow, or that nobody hears
    ├── JournalError           1; a journal that is damaged, in use, or belongs to something else
    └── BundleError            1; a model folder that is incomplete, changed, or not trusted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DaskflowError(Exception):
    """Every error that daskflow raises on purpose; its text is a sentence for the user."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a workflow: where it stands, and what is wrong with what to do about it."""

    where: str
    message: str

    def __str__(self) -> str:
        """``where: message``, or the message alone when it concerns the whole."""
        return f"{self.where}: {self.message}" if self.where else self.message


class SettingsError(DaskflowError, ValueError):
    """A workflow or command line that cannot be understood; ``problems`` lists every mistake."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        """Take the problems, or one sentence."""
        self.problems: tuple[Problem, ...] = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[SettingsError], tuple[tuple[Problem, ...]]]:
        """Pickle by the problems, so that the error survives a process border."""
        return type(self), (self.problems,)


class DataError(DaskflowError, ValueError):
    """Files, columns, values or targets that cannot be used as asked."""


class BadRowsError(DataError):
    """Rows that do not fit the schema; the text names file, line, column and value."""


class ChangedDataError(DataError):
    """Files that are not what they were when they were planned, scanned or first used by the run."""


class ClusterError(DaskflowError, RuntimeError):
    """No cluster could be had, or the one in use was lost."""

    exit_code = 3


class SearchError(DaskflowError, RuntimeError):
    """No candidate could be fitted, or there was none."""


class StorageError(DaskflowError, OSError):
    """A folder without space or permission, or one that the workers do not see."""


class LostBlockError(StorageError):
    """A block that was there and is gone, or is not as it was written."""


class ControlError(DaskflowError, RuntimeError):
    """A command that a run cannot follow: it does not run, or there is nothing to pause, stop, cancel or extend."""


class JournalError(DaskflowError, RuntimeError):
    """A journal that is damaged, in use by another run, or that belongs to other data or versions."""


class BundleError(DaskflowError, RuntimeError):
    """A model folder that is incomplete, was changed, or holds types that are not trusted."""
