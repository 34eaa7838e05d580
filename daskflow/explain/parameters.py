"""Importance of a search's own parameters: which of them its scores turned on (functional analysis of variance)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.results import SearchResult, Trial
from daskflow.core.seeds import seed_of
from daskflow.core.space import FAMILY, conditional
from daskflow.explain.encoding import ABSENT, Scale
from daskflow.explain.forest import RESOURCE, Parts, analysed
from daskflow.explain.outputs import number

Floats = NDArray[np.float64]

LEAST_TRIALS = 12
"""Trials with a score, below which nothing is said; of a family likewise."""

MOST_POINTS = 2_000
"""Scores that trees are fitted on; of more, a random part."""

METHOD = "share of the scores' variance over the searched ranges that one parameter alone explains (fANOVA)"


@dataclass(frozen=True, slots=True)
class Scored:
    """A trial's parameters, and a score that it reached.

    Attributes
    ----------
    trial : int
        Which trial.
    params : mapping
        Its own parameters.
    resource : int
        With which resource.
    score : float
        The score.
    """

    trial: int
    params: Mapping[str, Any]
    resource: int
    score: float


def parameter_importance(search: SearchResult, seed: int) -> dict[str, Any]:
    """Say how much of the spread of a search's scores each parameter explains by itself.

    A random forest learns scores from parameters; its mean over all other parameters is the effect of one, and the
    variance of that effect over the variance of all is its importance.

    Parameters
    ----------
    search : SearchResult
        Its trials with a score; failed ones say nothing. Every score of a learning curve counts, less what more of the
        resource brings to the same trials; the resource stays one more thing that effects may depend on. So trials
        that were stopped early count too.
    seed : int
        Of the trees and of the bootstrap.

    Returns
    -------
    dict
        Plain values: ``metric``, ``method`` (a sentence), ``trials`` (with a score), ``parameters``: a list of
        ``name``, ``value`` (share, 0 to 1), ``low``, ``high`` (95 % interval by bootstrap over trials), largest first,
        ``together`` (share that no parameter explains alone: interactions), ``explained`` (share of the spread that the
        forest foretells of trials it has not seen; the shares are of this part), and ``note``: a sentence where there
        are too few trials, where parameters do not tell scores apart (there are none then), or where something was left
        out.

    Notes
    -----
    Means are over the ranges that the search tried, evenly: numbers by their logarithm where they lie more evenly
    so, up to 12 different values and choices each as likely as the others. With several families (``model``) the share
    of ``model`` is the variance between the families' mean scores, and a family's parameter has its share of what is
    within its family. The worst scores are clipped to three times the distance between the quartiles below the lower
    one, so that candidates that diverged do not outweigh all others. About 1 s for 1000 trials of 10 parameters.

    Trees round off what is weak: simulated shares of 0.6, 0.3 and 0.1 are found by 400 trials as about 0.62, 0.30 and
    0.07, by 100 trials as 0.66, 0.26 and 0.07. The interval is of the draw of trials, and does not hold this.

    References
    ----------
    F. Hutter, H. Hoos and K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> trials = tuple(
    ...     Trial(str(i), {"alpha": float(a), "idle": float(b)}, score=float(a), resource=1)
    ...     for i, (a, b) in enumerate(random.random((60, 2)))
    ... )
    >>> found = parameter_importance(SearchResult(trials, trials[0], "accuracy", True, 1), seed=7)
    >>> [(each["name"], round(each["value"], 1)) for each in found["parameters"]]
    [('alpha', 1.0), ('idle', 0.0)]
    """
    scored = _scored(search.trials, seed)
    n_trials = len({each.trial for each in scored})
    empty = {"metric": search.metric, "method": METHOD, "parameters": [], "trials": n_trials}
    if n_trials < LEAST_TRIALS:
        return empty | {
            "note": f"{n_trials} trials have a score; the importance of parameters needs at least {LEAST_TRIALS}."
        }
    scored = _clipped(_levelled(scored), search.greater_is_better)
    families: dict[Any, list[Scored]] = {}
    for each in scored:
        families.setdefault(each.params.get(FAMILY) if _has_families(search.trials) else None, []).append(each)
    notes: list[str] = []
    parts: dict[Any, Parts] = {}
    for family, members in families.items():
        n_members = len({each.trial for each in members})
        if n_members < LEAST_TRIALS and len(families) > 1:
            notes.append(f"Parameters of {family} are left out: {n_members} trials of it have a score.")
        parts[family] = _parts(members, seed_of(seed, "parameters", str(family)), n_members >= LEAST_TRIALS)
    names = list(dict.fromkeys(name for each in parts.values() for name in each.names))
    if len(parts) > 1:
        names.insert(0, FAMILY)
    if not names:
        return empty | {"note": "No parameter took more than one value."}
    shares, pooled, together = _shares(names, list(parts.values()))
    ordered = [each for members in families.values() for each in members]
    explained = _explained(ordered, np.concatenate([each.residuals for each in parts.values()]))
    if shares is None or explained <= 0:
        return empty | {
            "note": "The parameters do not tell better scores from worse ones: trials that the forest has not seen "
            "are predicted no better than by the mean."
        }
    told = []
    for place, name in enumerate(names):
        # Trees of one bootstrap sample have its chance effects in common: resampling spreads values and lifts them.
        # The spread is kept, the lift is not.
        low, high = np.quantile(shares[:, place], [0.025, 0.975], method="weibull") - shares[:, place].mean()
        value = float(pooled[place])
        told.append(
            {
                "name": name,
                "value": value,
                "low": float(np.clip(value + low, 0.0, value)),
                "high": float(np.clip(value + high, value, 1.0)),
            }
        )
    told.sort(key=lambda each: -float(each["value"]))  # type: ignore[arg-type]  # a number
    failed = len(search.trials) - n_trials
    if failed:
        notes.append(f"{failed} of {len(search.trials)} trials have no score, and say nothing here.")
    return empty | {
        "parameters": told,
        "together": number(together),
        "explained": explained,
        "note": " ".join(notes),
    }


def _explained(scored: Sequence[Scored], residuals: Floats) -> float:
    """Share of the scores' spread, at equal resource, that the forest foretells of trials it has not seen."""
    scores = np.array([each.score for each in scored])
    spread = float(((scores - scores.mean()) ** 2).sum())
    return 1.0 - float((residuals**2).sum()) / spread if spread > 0 else 0.0


def _scored(trials: Sequence[Trial], seed: int) -> list[Scored]:
    """Every finite score of the trials' curves."""
    found = []
    for place, trial in enumerate(trials):
        params = conditional(trial.params)
        curve = [(point.resource, point.score) for point in trial.curve] or [(trial.resource, trial.score)]
        found += [
            Scored(place, params, int(resource), float(score)) for resource, score in curve if math.isfinite(score)
        ]
    if len(found) > MOST_POINTS:
        kept = np.random.default_rng(seed_of(seed, "points")).choice(len(found), MOST_POINTS, replace=False)
        found = [found[place] for place in np.sort(kept)]
    return found


def _levelled(scored: list[Scored]) -> list[Scored]:
    """Scores less what more of the resource brings, which is found from trials that were scored with both.

    The means of all trials would not do: those that come far were selected.
    """
    curves: dict[int, dict[int, float]] = {}
    for each in scored:
        curves.setdefault(each.resource, {})[each.trial] = each.score
    level, levels = 0.0, {}
    for number_of, resource in enumerate(sorted(curves)):
        if number_of:
            here, before = curves[resource], curves[sorted(curves)[number_of - 1]]
            gains = [here[trial] - before[trial] for trial in here.keys() & before.keys()]
            level += (
                float(np.median(gains)) if gains else float(np.mean([*here.values()]) - np.mean([*before.values()]))
            )
        levels[resource] = level
    return [Scored(each.trial, each.params, each.resource, each.score - levels[each.resource]) for each in scored]


def _clipped(scored: list[Scored], greater_is_better: bool) -> list[Scored]:
    """Scores, the worst ones no further out than three quartile distances."""
    scores = np.array([each.score for each in scored])
    first, third = np.quantile(scores, [0.25, 0.75])
    reach = 3 * (third - first)
    if reach > 0:
        scores = np.maximum(scores, first - reach) if greater_is_better else np.minimum(scores, third + reach)
    return [
        Scored(each.trial, each.params, each.resource, float(score)) for each, score in zip(scored, scores, strict=True)
    ]


def _has_families(trials: Sequence[Trial]) -> bool:
    """Whether candidates are of several families with parameters of their own."""
    names = {name for trial in trials for name in trial.params}
    return FAMILY in names and any("." in name for name in names)


def _parts(scored: Sequence[Scored], seed: int, is_enough: bool) -> Parts:
    """Take apart the variance of one family's scores."""
    scores = np.array([each.score for each in scored])
    names = list(dict.fromkeys(name for each in scored for name in each.params)) if is_enough else []
    columns: dict[str, Floats] = {}
    for name in names:
        values = [each.params.get(name, ABSENT) for each in scored]
        scale = Scale.of(values, scores)
        if scale is not None:
            columns[name] = scale.encoded(values)
    resources = [each.resource for each in scored]
    if len(set(resources)) > 1:
        columns[RESOURCE] = np.unique(resources, return_inverse=True)[1] / max(len(set(resources)) - 1, 1)
    trials = np.unique([each.trial for each in scored], return_inverse=True)[1]
    return analysed(columns, scores, trials, seed)


def _shares(names: Sequence[str], parts: Sequence[Parts]) -> tuple[Floats | None, Floats, float]:
    """Put families together, each as likely: shares by resample and parameter, those of all trees, and the rest."""
    n = len(parts)
    means = np.array([each.mean for each in parts])
    between = means.var(axis=0)
    # The families' means are known from a sample: its chance is taken off what lies between them.
    chance = float(means.var(axis=1, ddof=1).mean()) * (n - 1) / n
    pooled_between = max(0.0, float(means.mean(axis=1).var()) - chance)
    total = between + sum(np.maximum(each.total, 0.0) for each in parts) / n
    pooled_total = pooled_between + sum(max(each.pooled_total, 0.0) for each in parts) / n
    if not pooled_total > 1e-12 * (1.0 + float(np.abs(means).max())) ** 2:
        return None, np.empty(0), math.nan
    alone = np.zeros((len(total), len(names)))
    pooled = np.zeros(len(names))
    for place, name in enumerate(names):
        if name == FAMILY and n > 1:
            alone[:, place], pooled[place] = between, pooled_between
            continue
        for each in parts:
            if name in each.names:
                at = each.names.index(name)
                alone[:, place] += each.alone[:, at] / n
                pooled[place] += each.pooled_alone[at] / n
    safe = np.where(total > 0, total, math.inf)
    shares = np.clip(np.maximum(alone, 0.0) / safe[:, None], 0.0, 1.0)
    pooled_shares = np.clip(np.maximum(pooled, 0.0) / pooled_total, 0.0, 1.0)
    return shares, pooled_shares, max(0.0, 1.0 - float(pooled_shares.sum()))
