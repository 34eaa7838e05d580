"""Paths that a stream writes to: only their last level is made, so that a slip of the pen makes no folders."""

from __future__ import annotations

from pathlib import Path

from daskflow.core.errors import StorageError


def check_above(path: Path, option: str) -> None:
    """Refuse a path whose folder is not there.

    Parameters
    ----------
    path : Path
        Of a file, or of a folder that may be made.
    option : str
        The command line's, that named it.

    Raises
    ------
    StorageError
        Naming the folder that is missing.

    Examples
    --------
    >>> check_above(Path("/nowhere/scored"), "--to")
    Traceback (most recent call last):
    daskflow.core.errors.StorageError: /nowhere/scored cannot be made: there is no folder /nowhere. Make that first, ...
    """
    above = path.absolute().parent
    if not above.exists():
        raise StorageError(
            f"{path.absolute()} cannot be made: there is no folder {above}. Make that first, or correct {option}: only "
            "the last level of a path is made."
        )


def made(folder: Path, option: str) -> Path:
    """Return a folder, made where only its last level was missing.

    Raises
    ------
    StorageError
        When more is missing, or it cannot be made.
    """
    check_above(folder, option)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}. Name another with {option}.") from error
    return folder
