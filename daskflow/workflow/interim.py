"""Interim: test metrics told while rows are still being judged, and told as they are when all have been."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.journal import plain
from daskflow.core.protocols import Outcome
from daskflow.core.results import Evaluation
from daskflow.metrics.asked import Asked
from daskflow.metrics.tally import Tally

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Shares of the units after which numbers are told: intervals tighten by the square root of the rows."""

FIRST_SECONDS = 3.0
"""An evaluation that is over by then has its numbers soon enough."""

TIMES_ITS_COST = 100.0
"""After numbers that took a second to make none are made for so many: they take 1 % of the time at most."""

REPLICATES = 100
"""Resamples that do for an interval that is not the last one; 500 take four to nine times as long."""

MOST_BYTES = 200_000
"""Of details in one record, as JSON."""

PICTURES = (
    "notes",
    "confusion",
    "per_class",
    "calibration",
    "residuals",
    "residual_histogram",
    "roc",
    "precision_recall",
    "gain",
    "decision",
    "learning_curve",
    "leaks",
    "importance",
    "parameter_importance",
    "thresholds",
    "over_time",
    "worst_slices",
    "slices",
    "drift",
    "dependence",
    "shap",
)
"""Details in the order in which they are told when not all of them have room."""


class Interim:
    """Tells how far an evaluation is, and its metrics so far with wider intervals.

    What is told is made of the answers that have come, which stay as they are: the final numbers are the same whether
    anybody listens or not. Metrics that are users' own functions are asked at the end only.

    Parameters
    ----------
    listener : callable
        Hears ``progress`` and ``evaluated``.
    keys : sequence of str
        Of the units, in their order.
    total : int
        Test rows.
    clock : callable
        Seconds; for tests.
    """

    def __init__(
        self, listener: Listener, keys: Sequence[str], total: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Begin, with no row judged."""
        self.listener, self.keys, self.total, self.clock = listener, keys, total, clock
        self.begun = clock()
        self.tallies: dict[str, Tally] = {}
        self.rows = 0
        self._not_before = self.begun + FIRST_SECONDS
        self._shares = list(SHARES)
        tell(listener, "stage", stage="evaluation", state="started", total=len(keys))

    def heard(self, outcome: Outcome) -> None:
        """Take the answer of a unit in: a tally, and what is said of slices."""
        if self.listener is nobody:
            return
        tally: Tally = outcome.value[0]
        self.tallies[outcome.key] = tally
        self.rows += tally.n_rows
        done = len(self.tallies)
        tell(self.listener, "progress", stage="evaluation", done=done, total=len(self.keys), rows=self.rows)
        begun, share = self.clock(), done / len(self.keys)
        if done == len(self.keys) or not self._shares or share < self._shares[0] or begun < self._not_before:
            return
        self._shares = [each for each in self._shares if each > share]
        try:
            found = so_far([self.tallies[key] for key in self.keys if key in self.tallies])
        except Exception:  # who watches is a guest: what fails for some rows may be well for all
            self._shares = []
            return
        tell_evaluated(self.listener, found, total=self.total, final=False)
        now = self.clock()
        self._not_before = now + TIMES_ITS_COST * (now - begun)


def so_far(tallies: Sequence[Tally]) -> Evaluation:
    """Return the evaluation of some tallies by few resamples, without metrics that are users' own."""
    asked = tallies[0].asked
    own = {metric.name for metric in asked.families.others}
    metrics = [metric for metric in asked.metrics if metric.name not in own]
    few = min(asked.replicates, REPLICATES)
    less = Asked(metrics, asked.task, asked.classes, asked.seed, few, asked.most_scores)
    return reduce(Tally.merge, (replace(tally, asked=less) for tally in tallies)).evaluation()


def tell_evaluated(listener: Listener, evaluation: Evaluation, *, total: int, final: bool) -> None:
    """Tell metrics with their intervals, and the details that pictures are drawn from, as far as they have room."""
    if listener is nobody:
        return
    details, left_out = with_room(evaluation.details)
    tell(
        listener,
        "evaluated",
        rows=evaluation.n_rows,
        total=total,
        metrics={name: plain([each.value, each.low, each.high]) for name, each in evaluation.metrics.items()},
        details=details,
        final=final,
        **({"left_out": left_out} if left_out else {}),
    )


def with_room(details: Mapping[str, Any], most_bytes: int = MOST_BYTES) -> tuple[dict[str, Any], list[str]]:
    """Return details as plain values that fit into so many bytes of JSON, and the names of those that do not.

    Examples
    --------
    >>> with_room({"shap": [1.0] * 50, "roc": {"fpr": [0.0, 1.0]}}, 100)
    ({'roc': {'fpr': [0.0, 1.0]}}, ['shap'])
    """
    order = {name: place for place, name in enumerate(PICTURES)}
    kept: dict[str, Any] = {}
    left_out = []
    for name in sorted(details, key=lambda each: order.get(each, len(order))):
        value = plain(details[name])
        size = len(json.dumps(value, separators=(",", ":"), allow_nan=False)) + len(name)
        if size > most_bytes:
            left_out.append(name)
            continue
        kept[name], most_bytes = value, most_bytes - size
    return kept, left_out
