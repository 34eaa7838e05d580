"""Showing: what a search shows of itself in a notebook, before and after its fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daskflow.core.notebook import block

SPACES = ("param_grid", "param_distributions", "parameters", "space")
"""What searches call what they search."""

TOP = 8
"""Candidates shown."""


def html_of(search: Any) -> str:
    """Return a search as small HTML without scripts: its settings, and once fitted its best candidates.

    Nothing is computed; a search that failed half-way shows what it has.

    Parameters
    ----------
    search : estimator
        One of `daskflow.search`.
    """
    settings = search.get_params(deep=False)
    pairs: dict[str, object] = {"estimator": repr(settings.pop("estimator", None))}
    for word in SPACES:
        if word in settings:
            pairs["searched"] = _space(settings.pop(word))
    changed = {word: value for word, value in settings.items() if not _is_default(search, word, value)}
    if changed:
        pairs["settings"] = ", ".join(f"{word}={value!r}" for word, value in changed.items())
    results: Mapping[str, Any] | None = getattr(search, "cv_results_", None)
    if results is None:
        return block(type(search).__name__, "not fitted", pairs=pairs)
    name, scores = _scores(search, results)
    order = np.argsort(results[name], kind="stable")[:TOP] if name in results else np.arange(min(TOP, len(scores)))
    params = list(results["params"])
    words = list(dict.fromkeys(str(word) for one in params for word in one))
    spends = "partial_fit_calls" in results
    head = ["rank", "score", *(["calls"] if spends else []), *words]
    rows = [
        [
            results[name][place] if name in results else "-",
            f"{scores[place]:.4g}",
            *([results["partial_fit_calls"][place]] if spends else []),
            *(_value(params[place].get(word)) for word in words),
        ]
        for place in order
    ]
    pairs["candidates"] = f"{len(params):,}"
    if spends:
        pairs["partial_fit calls"] = f"{int(np.sum(results['partial_fit_calls'])):,}"
    return block(type(search).__name__, _best(scores, order), pairs=pairs, head=head, rows=rows)


def _scores(search: Any, results: Mapping[str, Any]) -> tuple[str, Sequence[float]]:
    """Name of the column of ranks, and the scores they are of."""
    refit = getattr(search, "refit", None)
    ranked = [word for word in results if word.startswith("rank_test_")]
    wanted = f"rank_test_{refit}" if isinstance(refit, str) else "rank_test_score"
    name = wanted if wanted in ranked else next(iter(ranked), "")
    metric = name.removeprefix("rank_test_")
    for word in (f"mean_test_{metric}", f"test_{metric}"):
        if word in results:
            return name, [float(value) for value in results[word]]
    return name, [float("nan")] * len(results["params"])


def _best(scores: Sequence[float], order: Any) -> str:
    return f"best score {scores[order[0]]:.4g}" if len(order) else "no candidate"


def _space(space: Any) -> str:
    """Parameters with their values, or what they are drawn from."""
    several = space if isinstance(space, list | tuple) else [space]
    told = []
    for one in several:
        items = one.items() if isinstance(one, Mapping) else []
        told.append(", ".join(f"{name}: {_drawn(value)}" for name, value in items) or "nothing")
    return " or ".join(told)


def _drawn(value: Any) -> str:
    """A list of values, or the name of a distribution."""
    if hasattr(value, "rvs"):
        return str(getattr(getattr(value, "dist", None), "name", type(value).__name__))
    if isinstance(value, list | tuple | np.ndarray) and len(value) > 6:
        return f"{len(value)} values from {_value(value[0])} to {_value(value[-1])}"
    return "[" + ", ".join(map(_value, value)) + "]" if isinstance(value, list | tuple | np.ndarray) else _value(value)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _is_default(search: Any, word: str, value: Any) -> bool:
    """Whether a setting is what it is when nothing is said."""
    import inspect

    known = inspect.signature(type(search).__init__).parameters.get(word)
    try:
        return known is not None and bool(value is known.default or value == known.default)
    except (TypeError, ValueError):
        return False
