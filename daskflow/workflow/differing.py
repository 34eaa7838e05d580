"""Differing: values of runs side by side, and those of them that are not the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.comparison import Change, ComparedRun, DataChange
from daskflow.workflow.run import Run


def labels(runs: Sequence[Run]) -> list[str]:
    """Return what runs are called: by name, where a name is not unique by as much of the ID as tells them apart."""
    names = [run.path.parent.name for run in runs]
    ids = [run.path.name for run in runs]
    length = next((n for n in range(4, 65) if len({run_id[:n] for run_id in ids}) == len(set(ids))), 64)
    found = [
        name if names.count(name) == 1 else f"{name}/{run_id[:length]}" for name, run_id in zip(names, ids, strict=True)
    ]
    if len(set(found)) < len(found):  # the same workflow in two folders of runs
        found = [str(run.path) for run in runs]
    return found


def without(values: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Return a mapping without some words."""
    return {word: value for word, value in values.items() if word not in words}


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values by dotted words; tables in a list by their number.

    Examples
    --------
    >>> flat({"search": {"trials": 3, "space": {}}, "metrics": [{"kind": "f1"}], "keys": ["a", "b"]})
    {'search.trials': 3, 'metrics.0.kind': 'f1', 'keys': ['a', 'b']}
    """
    found: dict[str, Any] = {}
    for word, value in values.items():
        name = f"{before}{word}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            found |= flat({str(place): item for place, item in enumerate(value)}, f"{name}.")
        else:
            found[name] = value
    return found


def changes(values: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Return the words whose values are not the same in all mappings."""
    words = dict.fromkeys(word for one in values for word in one)
    rows = {word: tuple(one.get(word) for one in values) for word in words}
    return tuple(Change(word, row) for word, row in rows.items() if any(value != row[0] for value in row))


def data_change(first: ComparedRun, second: ComparedRun) -> DataChange:
    """Return what is different about a run's data."""
    before, after = ({str(c["name"]): c for c in run.record.data.get("columns", ())} for run in (first, second))
    both = [name for name in before if name in after]

    def changed(*words: str) -> tuple[tuple[str, str, str], ...]:
        told = [
            (name, *(" ".join(str(c.get(word, "")) for word in words) for c in (before[name], after[name])))
            for name in both
        ]
        return tuple((name, one, other) for name, one, other in told if one != other)

    prints = [str(run.record.versions.get("data", "")) for run in (first, second)]
    rows = [int(run.record.data.get("rows") or 0) for run in (first, second)]
    return DataChange(
        second.label,
        prints[0] == prints[1] != "",
        (prints[0], prints[1]),
        (rows[0], rows[1]),
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        changed("type"),
        changed("role"),
    )
