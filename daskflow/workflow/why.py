"""Why: which columns the model rests on, computed beside each other in a given time, and not again after a kill."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.protocols import Executor
from daskflow.core.results import SearchResult
from daskflow.core.seeds import seed_of
from daskflow.explain.parameters import parameter_importance
from daskflow.explain.partial import partial_dependence
from daskflow.explain.permutation import permutation_importance
from daskflow.metrics import Metric
from daskflow.workflow.evaluation import TestPart
from daskflow.workflow.judging_settings import EvaluationSettings
from daskflow.workflow.kept_predictions import Judged
from daskflow.workflow.recording import Recorder
from daskflow.workflow.refit import FittedModel

SHARE_OF_IMPORTANCE = 0.6
"""Of the time: partial dependence and SHAP have the rest."""


def explain(
    model: FittedModel,
    part: TestPart,
    judged: Judged,
    metric: Metric,
    result: SearchResult,
    *,
    settings: EvaluationSettings,
    executor: Executor,
    recorder: Recorder,
    seed: int,
) -> dict[str, Any]:
    """Return ``importance``, ``dependence``, ``shap`` and ``parameter_importance``, as far as the time reaches.

    Each column that is finished is recorded in the journal, and taken from there when the run is continued.
    """
    found: dict[str, Any] = {"parameter_importance": parameter_importance(result, seed_of(seed, "parameters"))}
    if not settings.explain or not part.matrix.n_rows:
        return found
    until = time.perf_counter() + settings.explain_seconds
    table, rows = part.sample(settings.explain_rows)
    table = table.select(list(part.features.names))
    known = judged.head(rows)
    unit = known.unit if part.is_grouped else None
    done = _done(recorder.journal.records)
    found["importance"] = permutation_importance(
        model,
        table,
        known.y,
        metric,
        weight=known.weight,
        unit=unit,
        repeats=settings.repeats,
        seed=seed_of(seed, "importance"),
        executor=executor,
        seconds=SHARE_OF_IMPORTANCE * settings.explain_seconds,
        earlier=done.get("importance", {}),
        record=lambda record: recorder.append({"record": "explained", "what": "importance", **record}),
    )
    columns = _columns(settings, found["importance"])
    if columns:
        found["dependence"] = partial_dependence(
            model,
            table,
            columns,
            seed=seed_of(seed, "dependence"),
            executor=executor,
            seconds=max(0.0, until - time.perf_counter()),
            earlier=done.get("dependence", {}),
            record=lambda record: recorder.append({"record": "explained", "what": "dependence", **record}),
        )
    if settings.shap and importlib.util.find_spec("shap") is not None:
        from daskflow.explain.attributions import shap_values

        found["shap"] = shap_values(
            model, table, seed=seed_of(seed, "shap"), executor=executor, seconds=max(1.0, until - time.perf_counter())
        )
    return found


def _done(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """What earlier invocations finished, by what it is and by column."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in records:
        if record["record"] == "explained":
            found.setdefault(record["what"], {})[record["column"]] = record
    return found


def _columns(settings: EvaluationSettings, importance: Mapping[str, Any]) -> list[str]:
    """Columns whose dependence is shown: those named, or the most important that matter at all."""
    if isinstance(settings.dependence, tuple):
        return list(settings.dependence)
    ranked = sorted(importance.get("columns", ()), key=lambda each: -(each["value"] or 0.0))
    return [str(each["column"]) for each in ranked[: settings.dependence]]
