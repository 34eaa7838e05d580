"""State of the evaluation: test metrics as rows are judged, and what explains the model as it becomes known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.journal import Record

Interval = tuple[float | None, float | None, float | None]
"""A value and the ends of its 95 % interval; None for what is not known."""


@dataclass
class EvaluationState:
    """What is known of the test.

    Attributes
    ----------
    rows, total : int
        Test rows judged, and all of them; 0 before.
    metrics : mapping of str to Interval
        As of the last record.
    steps : list of (rows, metrics)
        Of every record: how intervals tighten.
    details : mapping
        Those of ``metrics.json`` that are known: curves, slices, importance...
    is_final : bool
        Whether all rows are in and the numbers are those of ``metrics.json``.
    explained : mapping of str to int
        How many columns (of SHAP values: blocks of rows) each kind of explanation has so far.
    importance : mapping of str to mapping
        By column its ``value``, ``low`` and ``high``, as they become known; `details` has all of them at the end.
    decision : mapping
        What is told of the decision, from the refit on.
    """

    rows: int = 0
    total: int = 0
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    steps: list[tuple[int, Mapping[str, Interval]]] = field(default_factory=list)
    details: Mapping[str, Any] = field(default_factory=dict)
    is_final: bool = False
    explained: dict[str, int] = field(default_factory=dict)
    importance: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    _model: str = ""
    _explained: dict[str, set[str]] = field(default_factory=dict)

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        kind = record["record"]
        if kind == "invocation":
            self.rows, self.total, self.metrics, self.steps = 0, 0, {}, []
            self.details, self.is_final = {}, False
        elif kind == "evaluated":
            self.rows, self.total = int(record["rows"]), int(record["total"])
            self.metrics = {name: (value[0], value[1], value[2]) for name, value in record["metrics"].items()}
            if not self.steps or self.rows > self.steps[-1][0]:
                self.steps.append((self.rows, self.metrics))
            else:
                self.steps[-1] = (self.rows, self.metrics)
            self.details = {**self.details, **(record.get("details") or {})}
            self.is_final = bool(record.get("final"))
        elif kind == "explained":
            self._explain(record)
        elif kind == "refitted":
            self.decision = (record.get("told") or {}).get("decision") or {}
        else:
            return
        self.version += 1

    def _explain(self, record: Record) -> None:
        """Take in what explains the model; what a continued run has found of the same model before counts as well."""
        model, what = str(record.get("model") or ""), str(record["what"])
        if model != self._model:
            self._model, self.explained, self.importance, self._explained = model, {}, {}, {}
        column = str(record.get("column", record.get("rows", "")))
        self._explained.setdefault(what, set()).add(column)
        self.explained[what] = len(self._explained[what])
        if what == "importance" and "value" in record:
            self.importance[column] = {word: record.get(word) for word in ("value", "low", "high")}
