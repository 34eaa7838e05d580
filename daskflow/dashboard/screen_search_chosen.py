"""Chosen: which trials are drawn where not all can be, and what a trial is called beside its mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daskflow.core.space import told
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.state_search import TrialState
from daskflow.figures import live_search_axes as axes
from daskflow.figures import style


def columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Return rows as columns.

    Examples
    --------
    >>> columns(("trial", "x"), [("0", 1.0), ("1", 2.0)]), columns(("trial", "x"), [])
    ({'trial': ['0', '1'], 'x': [1.0, 2.0]}, {'trial': [], 'x': []})
    """
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}


def some_scored(standing: Standing, most: int) -> list[TrialState]:
    """Return at most so many trials with a score, worst first: the best half, the newest sixth, and an even part.

    The best is the last, so that it is drawn over all others.
    """
    ranking = standing.ranking
    if len(ranking) <= most:
        return [standing.trials[number] for _, number in reversed(ranking)]
    chosen = set(ranking[: most // 2])
    for each in reversed(standing.search.scores[-most:]):
        if len(chosen) >= most // 2 + most // 6:
            break
        key = standing.keys.get(each.trial)
        if key is not None:
            chosen.add(key)
    rest = ranking[most // 2 :]
    chosen.update(rest[place] for place in style.every(len(rest), most - len(chosen)))
    return [standing.trials[number] for _, number in sorted(chosen, reverse=True)]


def running(standing: Standing, most: int) -> list[TrialState]:
    """Return trials of which fits were handed in, the oldest first."""
    known = standing.search.trials
    names = dict.fromkeys(trial for trial, _, _ in standing.search.running)
    found = [known[name] for name in names if name in known]
    return found[:most]


def params_text(standing: Standing, trial: TrialState, length: int = 160) -> str:
    """Return a candidate's parameters as one line; made once."""
    known = standing.texts.get(trial.id)
    if known is None:
        known = standing.texts[trial.id] = _params_text(trial, length)
    return known


def _params_text(trial: TrialState, length: int) -> str:
    if not trial.params:
        return "(defaults)"
    parts: list[str] = []
    used = 0
    for name, value in told(trial.params).items():
        parts.append(f"{name} = {axes.text_of(value)}")
        used += len(parts[-1]) + 2
        if used > length:
            break
    text = ", ".join(parts)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def score_text(trial: TrialState) -> str:
    """Return a trial's last score as text."""
    return style.score(trial.score) if trial.score == trial.score else "none yet"


def short(values: Sequence[float]) -> list[float]:
    """Return numbers with six digits: a screen shows no more."""
    return [float(f"{value:.6g}") for value in values]


def height(scale: tuple[axes.Scale, dict[int, float]], name: str, trial: TrialState) -> float:
    """Return where a trial stands on the axis of a parameter that it has; computed once."""
    axis, known = scale
    found = known.get(trial.number)
    if found is None:
        found = known[trial.number] = axis.at(trial.params[name])
    return found


def value_text(value: Any) -> float | str:
    """Return a parameter's value as it is shown: numbers with four digits, all else as a short text."""
    if type(value) is int and abs(value) < 2**53:
        return value
    return float(f"{value:.4g}") if axes.is_number(value) else style.shown(axes.text_of(value), 40)
