"""Walltimes: read in words or in a batch system's own form, and written in that form."""

from __future__ import annotations

import math
import re
from typing import Literal

Form = Literal["slurm", "clock", "lsf", "oar"]
"""Slurm's (``minutes``, ``D-HH:MM:SS``); ``clock``, of PBS and Grid Engine (``seconds``, ``HH:MM:SS``); LSF's
(``minutes``, ``HH:MM``); OAR's (``hours``, ``HH:MM:SS``)."""

UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400),
}

PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")

LONGEST_SECONDS = 366 * 86400


def seconds_in_words(text: str) -> float | None:
    """Return the seconds that words such as ``1 h 30 min`` say; None for anything else.

    Examples
    --------
    >>> seconds_in_words("1 h 30 min"), seconds_in_words("2 days"), seconds_in_words("90"), seconds_in_words("1 moon")
    (5400.0, 172800.0, None, None)
    """
    rest = PART.sub("", text.lower()).replace(",", "").replace("and", "").strip()
    parts = PART.findall(text.lower())
    if rest or not parts or any(unit not in UNITS for _, unit in parts):
        return None
    return float(sum(float(number) * UNITS[unit] for number, unit in parts))


def seconds_in_form(text: str, form: Form) -> float | None:
    """Return the seconds that a batch system takes a text for; None where it would not.

    Examples
    --------
    >>> seconds_in_form("30", "slurm"), seconds_in_form("30", "clock"), seconds_in_form("1-12", "slurm")
    (1800.0, 30.0, 129600.0)
    >>> seconds_in_form("1:30", "slurm"), seconds_in_form("1:30", "lsf"), seconds_in_form("1:30:00", "oar")
    (90.0, 5400.0, 5400.0)
    """
    days, dash, clock = text.strip().rpartition("-")
    pieces = clock.split(":")
    if not all(re.fullmatch(r"\d{1,6}", piece) for piece in pieces) or len(pieces) > 3:
        return None
    if dash and (form != "slurm" or not re.fullmatch(r"\d{1,4}", days)):
        return None
    if len(pieces) == 3 and form == "lsf":
        return None
    numbers = [int(piece) for piece in pieces]
    if dash or form == "oar":
        scales = [3600, 60, 1]
    elif form == "lsf":
        scales = [60] if len(pieces) == 1 else [3600, 60]
    elif form == "slurm" and len(pieces) == 1:
        scales = [60]
    else:
        scales = [3600, 60, 1][-len(pieces) :]
    return float(int(days or 0) * 86400 + sum(n * scale for n, scale in zip(numbers, scales, strict=False)))


def written(seconds: float, form: Form) -> str:
    """Return a walltime as a batch system reads it; never shorter than asked.

    Examples
    --------
    >>> written(5400, "slurm"), written(2 * 86400, "slurm"), written(2 * 86400, "clock"), written(61, "lsf")
    ('01:30:00', '2-00:00:00', '48:00:00', '00:02')
    """
    whole = math.ceil(seconds)
    if form == "lsf":
        hours, minutes = divmod(math.ceil(whole / 60), 60)
        return f"{hours:02}:{minutes:02}"
    days, rest = divmod(whole, 86400) if form == "slurm" else (0, whole)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock
