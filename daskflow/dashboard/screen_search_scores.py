"""Scores as they come: dots over time, the best so far, and what failed; rows are only added."""

from __future__ import annotations

import math
from typing import Any

from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Columns, Figure, Look, Slot, Value
from daskflow.dashboard.state_search import Scored
from daskflow.figures import live_search, style

MOST_SCORES = 2400
"""Dots at most; of more every so many, the best 200 and each that was the best of its time."""

MOST_FAILED = 100
"""Marks of failed candidates at most."""

NEWEST = 12
"""Scores that are ringed while the search goes on."""

EDGE = 0.035
"""Distance of failed trials' marks from the edge of the worst, as a share of the figure's height."""


def panel() -> Figure:
    """Return the panel."""
    return Figure(
        "search_scores",
        "Scores as they come",
        "The validation score of each candidate, mean over folds, when it was known: a larger dot had more of the "
        "resource, a diamond was the best of its time, a triangle lies far beyond the axis, rings are the newest. The "
        f"band is the interval of the best candidate. Of more than {MOST_SCORES:,} scores the best and an even part of "
        "the rest are drawn.",
        live_search.scores(),
        empty="The first score comes when all folds of a candidate have been fitted and judged.",
        min_width=320,
    )


class Scores:
    """Keeps the dots that were drawn, and adds what is new."""

    def __init__(self) -> None:
        """Begin without dots."""
        self._thin, self._upto, self._redrawn, self._sign = 1, 0, 0, ""
        self._dots: dict[str, list[Any]] = {name: [] for name in live_search.SCORES}
        self._best: dict[str, list[Any]] = {name: [] for name in ("x", "y", "trial", "score")}
        self._failed: dict[str, list[Any]] = {name: [] for name in ("trial", "x", "y", "error")}
        self._failures, self._failed_thin, self._n_failed, self._best_score = 0, 1, 0, math.nan
        self._seen_failed: set[str] = set()

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        search = standing.search
        sign = f"{standing.span} {standing.resource_top}"
        if sign != self._sign or len(self._dots["x"]) > MOST_SCORES:
            self._sign = sign
            self._draw_anew(standing)
        else:
            self._add(standing, search.scores[self._upto :], set())
        self._add_failed(standing)
        best = standing.best()
        has_scores = bool(self._best["x"])
        epoch = f"{standing.generation}.{self._redrawn}"
        return [
            Value("search_scores.empty", not (has_scores or self._failed["x"])),
            Columns("search_scores_data", self._dots, epoch),
            Columns("search_best_data", self._best, epoch),
            Columns("search_scores_failed_data", self._failed, f"{standing.generation}.{self._failed_thin}"),
            *self._moving(standing, has_scores and best is not None),
            *gaps(standing, "search_scores_gaps_data"),
            time_range(standing, "search_scores_x"),
            score_range(standing, "search_scores_y"),
            Look("search_scores_y_axis", {"axis_label": standing.metric_label()}),
        ]

    def _draw_anew(self, standing: Standing) -> None:
        """Choose the dots again: the axis has moved, or there are too many."""
        scores = standing.search.scores
        while len(scores) / self._thin > 0.6 * MOST_SCORES:
            self._thin *= 2
        self._redrawn += 1
        for columns in (self._dots, self._best):
            for values in columns.values():
                values.clear()
        self._upto, self._best_score = 0, math.nan
        kept = {trial.id for trial in standing.top(200)} if self._thin > 1 else set()
        self._add(standing, scores, kept)

    def _add(self, standing: Standing, scores: list[Scored], kept: set[str]) -> None:
        """Add dots; of trials that are `kept` the last score is drawn in any case."""
        trials, is_greater = standing.search.trials, standing.search.greater_is_better
        best, thin, top = self._best_score, self._thin, standing.resource_top
        rows: list[tuple[Any, ...]] = []
        for number, (trial, resource, score, at, _, _) in enumerate(scores, start=self._upto):
            is_best = best != best or (score > best if is_greater else score < best)
            if is_best and score == score:
                best = score
            elif number % thin and not (trial in kept and trials[trial].resource == resource):
                continue
            if score != score:
                continue
            x, y = round(standing.clock(at), 2), _short(standing.inside(score))
            if is_best:
                for name, value in zip(("x", "y", "trial", "score"), (x, y, trial, style.score(score)), strict=True):
                    self._best[name].append(value)
            inside = standing.is_inside(score)
            shape = "diamond" if is_best else "circle" if inside else beyond(standing, score)
            size = 9.0 if is_best else round(3.5 + 4.5 * math.sqrt(min(1.0, resource / top)), 1)
            color, alpha = (style.SECOND, 1.0) if is_best else (style.ACCENT, 0.55)
            rows.append((trial, x, y, size, color, alpha, shape, style.score(score), resource))
        for values, more in zip(self._dots.values(), zip(*rows, strict=True), strict=False):
            values.extend(more)
        self._upto, self._best_score = self._upto + len(scores), best

    def _add_failed(self, standing: Standing) -> None:
        """Add marks for candidates that failed; of many every so many."""
        search = standing.search
        for fit in search.fits[self._failures :]:
            if not fit.is_failed or fit.trial in self._seen_failed:
                continue
            self._seen_failed.add(fit.trial)
            if self._n_failed % self._failed_thin == 0:
                known = search.trials.get(fit.trial)
                error = style.shown(known.error if known else "", 120)
                x = round(standing.clock(fit.ended, fit.invocation), 2)
                y = EDGE if search.greater_is_better else 1 - EDGE
                for name, value in zip(("trial", "x", "y", "error"), (fit.trial, x, y, error), strict=True):
                    self._failed[name].append(value)
            self._n_failed += 1
        self._failures = len(search.fits)
        while len(self._failed["x"]) > MOST_FAILED:
            self._failed_thin *= 2
            for values in self._failed.values():
                values[:] = values[::2]

    def _moving(self, standing: Standing, has_best: bool) -> list[Slot]:
        """What moves at every call: the line to this moment, the interval, the rings of the newest."""
        line: dict[str, list[Any]] = {"x0": [], "x1": [], "y": []}
        band: dict[str, list[Any]] = {"left": [], "right": [], "low": [], "high": [], "said": []}
        rings: dict[str, list[Any]] = {"trial": [], "x": [], "y": [], "size": []}
        search = standing.search
        if has_best:
            last, end = self._best["x"][-1], round(max(min(standing.now, standing.right), self._best["x"][-1]), 2)
            line = {"x0": [last], "x1": [end], "y": [self._best["y"][-1]]}
            low, high = search.interval()
            if math.isfinite(low) and math.isfinite(high):
                known = search.trials[str(search.best_said["trial"])]
                left = min(round(standing.clock(known.ended), 2), end)
                band = {
                    "left": [left], "right": [end], "low": [_short(standing.inside(low))],
                    "high": [_short(standing.inside(high))], "said": [f"{style.score(low)} to {style.score(high)}"],
                }  # fmt: skip
        if not standing.is_settled:
            some = [each for each in search.scores[-NEWEST:] if each.score == each.score]
            rings = {
                "trial": [each.trial for each in some],
                "x": [round(standing.clock(each.at), 2) for each in some],
                "y": [_short(standing.inside(each.score)) for each in some],
                "size": [13.0] * len(some),
            }
        moved = [("search_best_now_data", line), ("search_interval_data", band), ("search_scores_new_data", rings)]
        return [Columns(name, columns, f"{standing.generation}.{hash_of(columns)}") for name, columns in moved]


def beyond(standing: Standing, score: float) -> str:
    """Return the mark of a score beyond the axis: it points to where the score lies."""
    return "triangle" if score > standing.span[1] else "inverted_triangle"


def hash_of(columns: dict[str, list[Any]]) -> str:
    """Return a name for what columns hold, as an epoch of columns whose rows change."""
    return format(hash(repr(columns)) & 0xFFFFFFFFFF, "x")


def gaps(standing: Standing, name: str) -> list[Slot]:
    """Return where the run was continued."""
    places = [before for _, before in standing.begun[1:] if standing.left < before < standing.right]
    n_gaps = len(places)
    columns: dict[str, list[Any]] = {
        "x": places,
        "bottom": [0.0] * n_gaps,
        "top": [1.0] * n_gaps,
        "text": ["continued"] * n_gaps,
    }
    return [Columns(name, columns, f"{standing.generation}.{n_gaps}.{places[:1]}")]


def time_range(standing: Standing, name: str) -> Look:
    """Return the ends of the axis of time."""
    width = standing.right - standing.left
    ends = round(standing.left - 0.01 * width, 1), round(standing.right, 1)
    return Look(name, {"start": ends[0], "end": ends[1], "reset_start": ends[0], "reset_end": ends[1]})


def score_range(standing: Standing, name: str, *, below: float = 0.0) -> Look:
    """Return the ends of the score's axis, with such a share of it left free below."""
    low, high = standing.span
    low -= below * (high - low)
    return Look(name, {"start": low, "end": high, "reset_start": low, "reset_end": high})


def _short(value: float) -> float:
    return float(f"{value:.6g}")
