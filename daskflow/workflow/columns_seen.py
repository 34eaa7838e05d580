"""Columns seen: what training and test rows say without any model: drift, leaks, and bins of what comes in.

A unit looks at some columns, so that it holds few of them at a time, and units run beside the refit, which often keeps
one worker busy and no other. What is found does not depend on how columns are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskflow.core.protocols import Executor, Unit
from daskflow.core.seeds import seed_of
from daskflow.data.aside import hashes
from daskflow.data.blocks import UNIT
from daskflow.data.execution import run_all
from daskflow.data.predictions import Predictions
from daskflow.metrics.drift import comparable, drift, ranked
from daskflow.metrics.leaks import alone, leaks_of
from daskflow.streams.drift_bins import inputs_of, prediction_of
from daskflow.workflow.evaluation import SAMPLE_ROWS, TestPart

MOST_COLUMNS, LEAST_COLUMNS = 64, 8
"""Columns that a unit looks at: 64 of 50,000 rows of either part are 50 MB, and fewer than 8 are not worth a unit."""


@dataclass(frozen=True, slots=True)
class ColumnsSeen:
    """What some columns say.

    Attributes
    ----------
    n_rows : int
        Training rows that were looked at.
    drift : list of dict
        As `metrics.drift.drift` returns it.
    strengths : mapping of str to float
        As `metrics.leaks.alone` returns it.
    inputs : mapping of str to mapping
        Bins by column, as `streams.drift_bins.inputs_of` returns them.
    """

    n_rows: int = 0
    drift: list[dict[str, Any]] = field(default_factory=list)
    strengths: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)


def units_of(part: TestPart, slots: int, seed: int) -> list[Unit]:
    """Return units that look at all features, none where there are no rows to look at.

    Parameters
    ----------
    part : TestPart
        The test rows, and the sample of the training rows.
    slots : int
        Units that run at a time: there are at least as many where there are columns enough.
    seed : int
        The workflow's.
    """
    names = list(part.features.names)
    if not names or not part.matrix.n_rows or not part.aside.n_train_ranges:
        return []
    n_units = max(math.ceil(len(names) / MOST_COLUMNS), min(slots, math.ceil(len(names) / LEAST_COLUMNS)))
    return [
        Unit(f"columns-{number}-of-{n_units}", seen, (part, names[number::n_units], seed)) for number in range(n_units)
    ]


def quietly(units: Sequence[Unit]) -> list[Unit]:
    """Return the units as they run beside others, whom they must not end: one that fails answers None."""
    return [Unit(unit.key, _attempted, unit.arguments) for unit in units]


def _attempted(part: TestPart, names: Sequence[str], seed: int) -> ColumnsSeen | None:
    """Look at some columns; None when that fails, which whoever asks again is told."""
    with suppress(Exception):
        return seen(part, names, seed)
    return None


def seen(part: TestPart, names: Sequence[str], seed: int) -> ColumnsSeen:
    """Look at some columns."""
    train, y = part.train_sample([*names, part.target.name, UNIT])
    if not len(train):
        return ColumnsSeen()
    test, _ = part.sample(SAMPLE_ROWS, [*names, UNIT])
    ours, theirs = hashes(train, UNIT), hashes(test, UNIT)
    n_units = [len(np.unique(units)) if part.is_grouped else None for units in (ours, theirs)]
    train, test, task = train.select(names), test.select(names), str(part.target.task)
    return ColumnsSeen(
        len(train),
        drift(train, test, train_units=n_units[0], test_units=n_units[1], n_columns=_n_comparable(part)),
        alone(train, y, task, unit=ours if part.is_grouped else None, seed=seed_of(seed, "leaks")),
        inputs_of(train, part.features),
    )


def _n_comparable(part: TestPart) -> int:
    """How many features can be compared in all."""
    known = set(comparable(part.aside.train_schema(), part.rows(0).schema))
    return len(known.intersection(part.features.names))


def details_of(
    part: TestPart, said: Predictions, units: Sequence[Unit], answers: Mapping[str, Any], executor: Executor
) -> dict[str, Any]:
    """Return ``drift``, ``inputs`` and ``leaks`` of all columns; units without an answer run now.

    Parameters
    ----------
    part : TestPart
        As the units had it.
    said : Predictions
        What the model says of the test rows: bins of it stand among those of the inputs.
    units : sequence of Unit
        Those of `units_of`.
    answers : mapping of str to ColumnsSeen or None
        What came of them so far, by key; others are not looked at.
    executor : Executor
        Runs those that are missing.

    Raises
    ------
    Exception
        What goes wrong in a unit.
    """
    missing = [unit for unit in units if answers.get(unit.key) is None]
    answers = {**answers, **run_all(executor, missing)}
    found = [each for unit in units if (each := answers[unit.key]) is not None]
    if not any(each.n_rows for each in found):
        return {}
    strengths = {name: strength for each in found for name, strength in each.strengths.items()}
    inputs = {name: bins for each in found for name, bins in each.inputs.items()}
    known = {name: inputs[name] for name in part.features.names if name in inputs}
    return {
        "drift": ranked(row for each in found for row in each.drift),
        "inputs": {**known, **prediction_of(said, [str(label) for label in part.target.classes])},
        "leaks": leaks_of(strengths, str(part.target.task)),
    }
