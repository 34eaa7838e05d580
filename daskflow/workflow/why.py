"""Why: which columns the model rests on, computed beside each other in a given time, and not again after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from daskflow.core.errors import ClusterError, DaskflowError, StorageError
from daskflow.core.protocols import Executor
from daskflow.core.results import SearchResult
from daskflow.core.seeds import seed_of
from daskflow.explain.attributions import shap_values
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

    ``left_out`` holds sentences on what is not there.

    Each column that is finished is recorded in the journal, and taken from there when the run is continued.
    """
    found: dict[str, Any] = {}
    left_out: list[str] = []

    @contextmanager
    def attempting(what: str) -> Iterator[None]:
        """What cannot be explained is told; the model is good without it."""
        try:
            yield
        except (StorageError, ClusterError):
            raise
        except DaskflowError as error:  # a sentence
            left_out.append(f"{what} left out. {error}")
        except Exception as error:  # estimators and users' metrics fail in their own ways
            left_out.append(f"{what} left out. {type(error).__name__}: {error}")

    with attempting("Importances of the search's parameters are"):
        found["parameter_importance"] = parameter_importance(result, seed_of(seed, "parameters"))
    if not settings.explain or not part.matrix.n_rows:
        return {**found, "left_out": left_out}
    until = time.perf_counter() + settings.explain_seconds
    table, rows = part.sample(settings.explain_rows)
    table = table.select(list(part.features.names))
    known = judged.head(rows)
    made = model.fitted.sha256[:16]  # what was found of another model says nothing of this one
    done = _done(recorder.journal.records, made)

    def recording(what: str) -> Callable[[Any], None]:
        """Write what is finished into the journal."""
        return lambda record: recorder.append({"record": "explained", "what": what, "model": made, **record})

    with attempting("Importances are"):
        found["importance"] = permutation_importance(
            model,
            table,
            known.y,
            metric,
            weight=known.weight,
            unit=known.unit if part.is_grouped else None,
            repeats=settings.repeats,
            seed=seed_of(seed, "importance"),
            executor=executor,
            seconds=SHARE_OF_IMPORTANCE * settings.explain_seconds,
            earlier=done.get("importance", {}),
            record=recording("importance"),
        )
    columns = _columns(settings, found.get("importance", {}))
    if columns:
        with attempting("Partial dependence is"):
            found["dependence"] = partial_dependence(
                model,
                table,
                columns,
                weight=known.weight,
                seed=seed_of(seed, "dependence"),
                executor=executor,
                seconds=max(0.0, until - time.perf_counter()),
                earlier=done.get("dependence", {}),
                record=recording("dependence"),
                tell=left_out.append,
            )
    if settings.shap:
        with attempting("SHAP values are"):  # such as without the extra
            found["shap"] = shap_values(
                model,
                table,
                seed=seed_of(seed, "shap"),
                executor=executor,
                seconds=max(0.0, until - time.perf_counter()),
                earlier=done.get("shap", {}),
                record=recording("shap"),
            )
            if not found["shap"]["rows"]:
                left_out += ["SHAP values are left out: there was no time for a row.", *found.pop("shap")["notes"]]
    return {**found, "left_out": left_out}


def _done(records: Sequence[Mapping[str, Any]], model: str) -> dict[str, dict[str, Mapping[str, Any]]]:
    """What earlier invocations found of a model, by what it is and by column."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in records:
        if record["record"] == "explained" and record["model"] == model:
            found.setdefault(record["what"], {})[record["column"]] = record
    return found


def _columns(settings: EvaluationSettings, importance: Mapping[str, Any]) -> list[str]:
    """Columns whose dependence is shown: those named, or the most important that matter at all."""
    if isinstance(settings.dependence, tuple):
        return list(settings.named("dependence"))
    matters = [each for each in importance.get("columns", ()) if (each["value"] or 0.0) > 0.0]
    ranked = sorted(matters, key=lambda each: -each["value"])
    return [str(each["column"]) for each in ranked[: settings.dependence]]
