"""Spent: what a journal says of each stage's time, and of what the cluster's slots did in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daskflow.core.journal import Record


def stages_of(records: Sequence[Record]) -> tuple[dict[str, Any], ...]:
    """Return what each stage took, summed over invocations: ``stage``, ``seconds``, ``cpu_seconds``.

    The search's processor time is that of its stage and of its units. A ``download`` is the time in which some file
    came; it goes on beside the scan.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["record"] not in ("stage", "unit"):
            continue
        name = record.get("stage", "search")
        sums = found.setdefault(name, {"stage": name, "seconds": 0.0, "cpu_seconds": 0.0})
        sums["cpu_seconds"] += record.get("cpu_seconds") or 0.0
        if record["record"] == "stage":
            sums["seconds"] += record["seconds"]
    return tuple(found.values())


def utilisation_of(records: Sequence[Record]) -> dict[str, Any]:
    """Return what the cluster's slots did, summed over invocations; empty where no stage recorded it.

    ``slots`` is the most of any stage, ``stages`` a list of mappings with ``stage``, ``seconds``, ``slot_seconds``,
    ``busy``, ``no_task``, ``waiting_for_data``, ``waiting_for_workers``; see `workflow.occupancy.Account`.
    """
    words = ("slot_seconds", "busy", "no_task", "waiting_for_data", "waiting_for_workers")
    found: dict[str, dict[str, Any]] = {}
    slots = 0
    for record in records:
        known = record.get("utilisation") if record["record"] == "stage" else None
        if not known:
            continue
        name = record["stage"]
        sums = found.setdefault(name, {"stage": name, "seconds": 0.0, **dict.fromkeys(words, 0.0)})
        sums["seconds"] += record["seconds"]
        for word in words:
            sums[word] += known[word]
        slots = max(slots, int(known["slots"]))
    return {"slots": slots, "stages": list(found.values())} if found else {}
