"""``cv_results_`` of the search estimators, and ranks in which failed candidates come last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

TIMES = ("partial_fit_time", "score_time")


def ranks(scores: Any) -> Any:
    """Return the rank of each score, 1 for the highest; nan ranks last, ties share the best rank.

    Parameters
    ----------
    scores : array-like of shape (n_candidates,)
        Greater is better.

    Examples
    --------
    >>> ranks([0.5, float("nan"), 0.9, 0.9]).tolist()
    [3, 4, 1, 1]
    """
    values = np.asarray(scores, dtype=float)
    known = values[~np.isnan(values)]
    floor = np.inf if known.size == 0 else known.min()
    values = np.where(np.isnan(values), floor, values)
    order = rankdata(-values, method="min").astype(int)
    failed = np.isnan(np.asarray(scores, dtype=float))
    if known.size and failed.any():
        order[failed] = known.size + 1
    return order


def column(values: Sequence[Any]) -> Any:
    """Return one parameter's values as an array: numeric or text when all are alike, else of objects.

    Examples
    --------
    >>> column([0.1, 0.2]).dtype, column([(10,), (10, 5)]).dtype, column([1, "auto"]).dtype
    (dtype('float64'), dtype('O'), dtype('O'))
    """
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and np.ndim(values[0]) == 0 and np.asarray(values[0]).dtype.kind in "biufU":
        return np.array(values)
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def masked_columns(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``param_*`` columns as scikit-learn's searches do: masked where a candidate lacks the parameter."""
    columns: dict[str, Any] = {}
    for place, params in enumerate(candidates):
        for name, value in params.items():
            key = f"param_{name}"
            if key not in columns:
                columns[key] = np.ma.MaskedArray(np.empty(len(candidates), dtype=object), mask=True)
            columns[key][place] = value
    return columns


def incremental_results(histories: Mapping[Any, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return ``cv_results_`` of an incremental search from each model's history, in order.

    Parameters
    ----------
    histories : mapping of model id to list of dict
        dask-ml's history entries; each model has at least one.
    """
    models = list(histories.values())
    results: dict[str, Any] = {}
    for name in TIMES:
        times = [[entry[name] for entry in history] for history in models]
        results[f"mean_{name}"] = np.array([np.mean(values) for values in times])
        results[f"std_{name}"] = np.array([np.std(values) for values in times])
    results["test_score"] = np.array([history[-1]["score"] for history in models], dtype=float)
    results["model_id"] = np.array(list(histories))
    candidates = [history[0]["params"] for history in models]
    results["params"] = np.array(candidates, dtype=object)
    results["partial_fit_calls"] = np.array([history[-1]["partial_fit_calls"] for history in models])
    names = dict.fromkeys(name for params in candidates for name in params)
    alike = all(params.keys() == names.keys() for params in candidates)
    if alike:
        results |= {f"param_{name}": column([params[name] for params in candidates]) for name in names}
    else:
        results |= masked_columns(candidates)
    results["rank_test_score"] = ranks(results["test_score"])
    if "bracket" in models[0][0]:
        results["bracket"] = np.array([history[0]["bracket"] for history in models])
    return results


def fold_results(
    candidates: Sequence[Mapping[str, Any]],
    times: Mapping[str, Any],
    scores: Mapping[str, Any],
    ranked: Sequence[str],
) -> dict[str, Any]:
    """Return ``cv_results_`` of a grid or randomized search, with scikit-learn's names; folds count equally.

    Parameters
    ----------
    candidates : sequence of mapping
        Parameters.
    times, scores : mapping of str to array of shape (n_candidates, n_folds)
        ``fit_time`` and ``score_time``; ``test_score``, or ``test_NAME`` and ``train_NAME``.
    ranked : sequence of str
        Which of the scores get a rank.
    """
    results: dict[str, Any] = {}
    for name, values in times.items():
        results[f"mean_{name}"], results[f"std_{name}"] = values.mean(axis=1), values.std(axis=1)
    results |= masked_columns(candidates)
    results["params"] = list(candidates)
    for name, values in scores.items():
        results |= {f"split{fold}_{name}": values[:, fold] for fold in range(values.shape[1])}
        results[f"mean_{name}"], results[f"std_{name}"] = values.mean(axis=1), values.std(axis=1)
        if name in ranked:
            results[f"rank_{name}"] = ranks(results[f"mean_{name}"]).astype(np.int32)
    return results
