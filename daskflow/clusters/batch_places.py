"""Places of a queue in words: what they are called, what they give, and what is asked of them that they do not give."""

from __future__ import annotations

from collections.abc import Sequence

from dask.utils import format_bytes

from daskflow.clusters.batch_jobs import Place, Request
from daskflow.core.settings import nearest


def named(places: Sequence[Place]) -> str:
    """Name the places: ``normal (default), short, closed (not open)``."""
    return ", ".join(
        place.name + (" (default)" if place.is_default else "") + ("" if place.is_open else " (not open)")
        for place in places
    )


def nearest_of(wrong: str, places: Sequence[Place], word: str) -> str:
    """Say which places there are, and which of them may have been meant; empty where none is known.

    Examples
    --------
    >>> nearest_of("nornal", [Place("normal", is_default=True), Place("gpu")], "Partitions")
    "Partitions here: normal (default), gpu; did you mean 'normal'?"
    """
    known = {found.name for found in places}
    close = nearest(wrong, known) if wrong and wrong not in known else ""
    guess = close if "did you mean" in close else "."
    return f"{word} here: {named(places)}{guess}" if places else ""


def largest(places: Sequence[Place], place: str) -> str:
    """Say what the largest nodes have, of one partition or of all."""
    chosen = [p for p in places if p.max_cores is not None and p.max_memory is not None and place in ("", p.name)]
    if not chosen:
        return ""
    each = [f"{p.name} has {cores_in_words(p.max_cores)} and {format_bytes(p.max_memory)}" for p in chosen]
    return f"The largest node of {', of '.join(each)}."


def beyond(request: Request, place: Place, word: str, state: str = "closed") -> list[str]:
    """Say what a request asks of a place that it does not give: open, time, cores, memory.

    Parameters
    ----------
    request : Request
        What a worker's job asks for.
    place : Place
        Where it asks.
    word : str
        What the system calls a place, such as ``"partition"``.
    state : str
        How a place is called that is not open.

    Examples
    --------
    >>> beyond(Request(1, 2**30, 7200.0), Place("short", max_seconds=3600.0), "queue")
    ["The walltime of 2 h is over the 1 h that queue 'short' allows."]
    """
    refused, name = [], f"{word} '{place.name}'"
    if not place.is_open:
        refused.append(
            f"{word.capitalize()} '{place.name}' is {state}: a job there waits until the administrators open it."
        )
    if place.max_seconds is not None and request.seconds > place.max_seconds:
        refused.append(
            f"The walltime of {in_words(request.seconds)} is over the {in_words(place.max_seconds)} that {name} allows."
        )
    if place.max_cores is not None and request.cores > place.max_cores:
        refused.append(
            f"{cores_in_words(request.cores)} are asked for each worker, and no node of {name} gives more than "
            f"{place.max_cores}."
        )
    elif place.max_memory is not None and request.memory_bytes > place.max_memory:
        refused.append(
            f"{format_bytes(request.memory_bytes)} of memory are asked for each worker, and no node of {name} has more "
            f"than {format_bytes(place.max_memory)}."
        )
    return refused


def cores_in_words(count: int | None) -> str:
    """Return a number of cores in words."""
    return "1 core" if count == 1 else f"{count} cores"


def in_words(seconds: float | None) -> str:
    """Return a walltime in words.

    Examples
    --------
    >>> in_words(60), in_words(5400), in_words(172800), in_words(None), in_words(30)
    ('1 min', '1 h 30 min', '2 days', 'no limit', '30 s')
    """
    if seconds is None:
        return "no limit"
    if seconds < 60:
        return f"{seconds:.0f} s"
    days, rest = divmod(round(seconds), 86_400)
    parts = [(days, "day" if days == 1 else "days"), (rest // 3600, "h"), (rest % 3600 // 60, "min"), (rest % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
