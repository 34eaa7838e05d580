"""What a job script's directives say, and the mark of a run in its jobs' names."""

from __future__ import annotations

import re
from collections.abc import Collection


def name_tail(mark: str) -> str:
    """Return the end of the names of a run's jobs: Grid Engine and PBS show names, and no comments, of many jobs.

    Examples
    --------
    >>> name_tail("0a1b2c3d4e-4b6d6b81")
    '-4b6d6b81'
    """
    return f"-{mark[-8:]}" if mark else ""


def option(script: str, flag: str, marker: str = "#$") -> str:
    """Return the value of an option in a script's directives; of several the last, without its quotes.

    Examples
    --------
    >>> option('#$ -q all.q\\n#$ -o "/my logs/$JOB_ID.log"', "-o")
    '/my logs/$JOB_ID.log'
    """
    found = re.findall(
        rf"^{re.escape(marker)}[ \t]+(?:.*[ \t])?{re.escape(flag)}[ \t]+(\"[^\"]*\"|\S+)", script, re.MULTILINE
    )
    return found[-1].strip('"') if found else ""


def without_resources(script: str, names: Collection[str]) -> str:
    """Return a script that does not ask for some resources.

    Examples
    --------
    >>> without_resources("#$ -l mem_free=4G,gpu=1\\n#$ -l mem_free=1G\\ntrue", ["mem_free"])
    '#$ -l gpu=1\\ntrue'
    """
    lines = []
    for line in script.splitlines():
        if (found := re.fullmatch(r"(#\$[ \t]+-l[ \t]+)(\S+)", line)) is not None:
            kept = [ask for ask in found[2].split(",") if ask.partition("=")[0] not in names]
            if not kept:
                continue
            line = found[1] + ",".join(kept)
        lines.append(line)
    return "\n".join(lines)
