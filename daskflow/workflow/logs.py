"""Logs: the end of what a failed fit wrote, for whoever watches."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record
from daskflow.core.live import LOG_CHARACTERS


def with_log(record: Record, folder: RunFolder) -> Record:
    """Return a record with the end of its log, when it is of a failed unit that has one.

    Only files of the run's own folder of logs are read, whatever the record says.
    """
    name = record.get("log")
    if not name or record.get("record") != "unit" or not record.get("error") or "log_text" in record:
        return record
    path = folder.path / "logs" / PurePosixPath(str(name)).name
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4 * LOG_CHARACTERS))  # a character is four bytes at most
            text = file.read().decode(errors="replace")
    except (OSError, ValueError):  # it is not there, or its name is none
        return record
    return {**record, "log_text": text[-LOG_CHARACTERS:]}
