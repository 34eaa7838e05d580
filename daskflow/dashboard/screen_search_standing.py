"""Standing: where a search stands, followed a step at a time, so that each panel need not look at the whole of it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_search import Fit, Scored, SearchState, TrialState
from daskflow.figures import live_search_axes as axes
from daskflow.figures import style

MANY = 400
"""Changed trials from which on the ranking is sorted anew instead of mended."""

QUIET_SECONDS = 120.0
"""So long at least the axis of time goes on while nothing is heard."""

MOST_NAMES = 64
"""Parameters that are looked at."""

Key = tuple[float, int]
"""What trials are ranked by: the score, less is better, and the order drawn."""

EDGE = 0.015
"""Of the score's axis, how far within its ends marks stand of scores beyond it."""


@dataclass
class Standing:
    """What the panels share; `follow` brings it up to the state.

    Attributes
    ----------
    search : SearchState
        That is followed.
    generation : int
        Which one of those that a screen followed: what was drawn of another one is void.
    trials : list of TrialState
        In the order drawn.
    ranking : list of Key
        Of the trials with a score, best first.
    keys : dict of str to Key
        The same by trial.
    scores : list of float
        Finite scores of all trials at all resources, ascending.
    asked : dict of str to int
        The highest resource that each trial was handed in for.
    changed : set of str
        Trials that fits ended of since the call before.
    advanced : set of str
        Trials that were handed in for a higher resource since then.
    failed : list of TrialState
        In the order they failed.
    names : list of str
        Parameters, in the order met.
    values : dict of str to Values
        What values the parameters take that were asked for (`scale`).
    resource_top : int
        The highest resource that is planned or was reached.
    span : (low, high)
        Of the score's axis, in every figure.
    peak, peak_place, peak_at : float
        The best of all scores, its place among them (-1 before the first), and when it came.
    left, right : float
        Of the axis of time, seconds since the run began.
    now : float
        Seconds since the run began.
    is_settled : bool
        Whether nothing more will come.
    texts : dict of str to str
        Parameters of trials as one line, where somebody asked.
    begun : sequence of (at, seconds)
        See `RunState.begun`.
    """

    search: SearchState
    generation: int = 0
    trials: list[TrialState] = field(default_factory=list)
    ranking: list[Key] = field(default_factory=list)
    keys: dict[str, Key] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    advanced: set[str] = field(default_factory=set)
    failed: list[TrialState] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: dict[str, axes.Values] = field(default_factory=dict)
    resource_top: int = 1
    span: tuple[float, float] = (0.0, 1.0)
    peak: float = math.nan
    peak_place: int = -1
    peak_at: float = math.nan
    left: float = 0.0
    right: float = 60.0
    now: float = 0.0
    is_settled: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    begun: Sequence[tuple[float, float]] = ()
    _fallen: set[str] = field(default_factory=set)
    _n_fits: int = 0
    _n_scores: int = 0
    _span_known: bool = False
    _values_upto: dict[str, int] = field(default_factory=dict)
    _scales: dict[str, tuple[axes.Scale, dict[int, float]]] = field(default_factory=dict)
    _same_upto: dict[str, int] = field(default_factory=dict)

    def follow(self, state: RunState, now: float) -> None:
        """Take in what has changed."""
        search = self.search
        # A run that was killed tells no end: its axis of time goes on a little, not until today.
        quiet = max(QUIET_SECONDS, 0.5 * state.seconds(state.last)) if search.fits else math.inf
        self.begun, self.now = state.begun, state.seconds(min(now, state.last + quiet))
        self.is_settled = state.is_over or search.is_over
        fits, scores = search.fits, search.scores
        if len(search.trials) > len(self.trials):
            self._meet(list(islice(search.trials.values(), len(self.trials), None)))
        new_fits = fits[self._n_fits :]
        if len(new_fits) > 8 * MANY:
            self._catch_up()
        else:
            self._hear(new_fits)
        self.advanced = set()
        for trial, _, resource in search.running:
            if self.asked.get(trial, 0) < resource:
                self.asked[trial] = resource
                self.advanced.add(trial)
        self._hear_scores(scores[self._n_scores :])
        self._n_fits, self._n_scores = len(fits), len(scores)
        self._rank(self.changed)
        reached = [each.resource for each in scores[-1:]] if search.plan else [*self.asked.values()]
        top = max([*(step.resource for step in search.plan), *reached], default=1)
        if top > self.resource_top:
            planned = bool(search.plan)
            self.resource_top = top if planned else 2 ** math.ceil(math.log2(top))
        self._ranges()

    def sign(self) -> tuple[object, ...]:
        """Return a value that differs when what shows scores is to be drawn anew."""
        search = self.search
        told = search.importance.get("trials")
        return len(search.scores), len(self.failed), len(search.trials), told, self.span, self.is_settled

    def fit_sign(self) -> tuple[object, ...]:
        """Return a value that differs when what shows fits is to be drawn anew, too."""
        return *self.sign(), len(self.search.fits), len(self.search.running)

    def clock(self, at: float, invocation: int = 0) -> float:
        """Return seconds of the run at a moment, what lay between its invocations left out.

        Clocks of workers may be a little off: nothing happens before its invocation began.
        """
        if not self.begun:
            return max(0.0, at - self.origin(invocation, at))
        place = 0
        if len(self.begun) > 1:
            place = invocation - 1 if invocation else bisect_right(self.begun, (at, math.inf)) - 1
            place = max(0, min(place, len(self.begun) - 1))
        began, before = self.begun[place]
        return before + at - began if at > began else before

    def origin(self, invocation: int, at: float) -> float:
        """Return when an invocation began; without a record of it when the first fit did, or `at`."""
        if not self.begun:
            return self.search.fits[0].began if self.search.fits else at
        return self.begun[max(0, min(invocation - 1, len(self.begun) - 1))][0]

    def top(self, number: int) -> list[TrialState]:
        """Return the best trials, best first."""
        return [self.trials[key[1]] for key in self.ranking[:number]]

    def best(self) -> TrialState | None:
        """Return the best trial."""
        return self.trials[self.ranking[0][1]] if self.ranking else None

    def inside(self, score: float) -> float:
        """Return a score, or a little within the end of the score's axis that it lies beyond: marks there are whole."""
        low, high = self.span
        edge = EDGE * (high - low)
        return low + edge if score < low else high - edge if score > high else score

    def is_inside(self, score: float) -> bool:
        """Return whether a score lies on the score's axis."""
        return self.span[0] <= score <= self.span[1]

    def varied(self) -> list[str]:
        """Return the parameters that differ between candidates, in the order met."""
        return [name for name in self.names if self._differs(name)]

    def scale(self, name: str) -> tuple[axes.Scale, dict[int, float]]:
        """Return the axis of a parameter, over all candidates that are known, and heights of trials on it by number.

        The heights are for the caller to fill in and use again; they are empty when the axis has changed.
        """
        values, upto = self.values.setdefault(name, axes.Values()), self._values_upto.get(name, 0)
        if upto < len(self.trials) or name not in self._scales:
            values.add([trial.params[name] for trial in islice(self.trials, upto, None) if name in trial.params])
            self._values_upto[name] = len(self.trials)
            scale = axes.scale_of(values)
            if name not in self._scales or self._scales[name][0] != scale:
                self._scales[name] = scale, {}
        return self._scales[name]

    def metric_label(self) -> str:
        """Return the metric with its direction."""
        if not self.search.metric:
            return "score"
        word = "higher" if self.search.greater_is_better else "lower"
        return f"{style.shown(self.search.metric, 40)} ({word} is better)"

    def _meet(self, trials: Sequence[TrialState]) -> None:
        """Take candidates in that were not known before."""
        self.trials += trials
        if len(self.names) < MOST_NAMES:
            known = dict.fromkeys(self.names)
            last: Mapping[str, object] = {}
            for trial in trials:
                if trial.params.keys() != last.keys():
                    known, last = known | dict.fromkeys(trial.params), trial.params
            self.names = list(known)[:MOST_NAMES]

    def _hear(self, fits: Sequence[Fit]) -> None:
        """Take fits in that have ended."""
        asked, trials = self.asked, self.search.trials
        self.changed = set()
        for fit in fits:
            name, resource = fit[0], fit[2]
            self.changed.add(name)
            if asked.get(name, 0) < resource:
                asked[name] = resource
            if fit[7] and name not in self._fallen and name in trials:
                self._fallen.add(name)
                self.failed.append(trials[name])

    def _hear_scores(self, scores: Sequence[Scored]) -> None:
        """Take scores in."""
        peak, is_greater = self.peak, self.search.greater_is_better
        for place, each in enumerate(scores, start=self._n_scores):
            score = each.score
            if (score > peak if is_greater else score < peak) or (peak != peak and score == score):
                peak, self.peak_place, self.peak_at = score, place, each.at
        self.peak = peak
        finite = [each.score for each in scores if math.isfinite(each.score)]
        if len(finite) > MANY:
            self.scores = sorted(self.scores + finite)
        else:
            for score in finite:
                insort(self.scores, score)

    def _catch_up(self) -> None:
        """Take very many fits in at once: what they came to is known of their trials."""
        met = [trial for trial in self.trials if trial.folds]
        self.changed = {trial.id for trial in met}
        self.asked.update({trial.id: next(reversed(trial.folds))[0] for trial in met})
        fallen = [trial for trial in met if trial.state in ("failed", "cancelled") and trial.id not in self._fallen]
        self.failed += sorted(fallen, key=lambda trial: trial.ended)
        self._fallen.update(trial.id for trial in fallen)

    def _differs(self, name: str) -> bool:
        """Whether a parameter takes several values, or is not everybody's; remembered, once it does."""
        upto = self._same_upto.get(name, 0)
        if upto < 0:
            return True
        missing = object()
        first = self.trials[0].params.get(name, missing)
        if any(trial.params.get(name, missing) != first for trial in islice(self.trials, upto, None)):
            self._same_upto[name] = -1
            return True
        self._same_upto[name] = len(self.trials)
        return False

    def _rank(self, changed: set[str]) -> None:
        """Put trials that changed where they belong now."""
        sign = -1.0 if self.search.greater_is_better else 1.0
        known = self.search.trials
        if len(changed) > MANY:
            self.keys = {
                trial.id: (sign * trial.score, trial.number) for trial in self.trials if trial.score == trial.score
            }
            self.ranking = sorted(self.keys.values())
            return
        for name in changed:
            trial, before = known.get(name), self.keys.pop(name, None)
            if before is not None:
                del self.ranking[bisect_left(self.ranking, before)]
            if trial is not None and trial.score == trial.score:
                key = self.keys[name] = (sign * trial.score, trial.number)
                insort(self.ranking, key)

    def _ranges(self) -> None:
        """Move the ends of the axes where what is shown has outgrown them."""
        scores = self.scores
        if scores:
            now = self.span if self._span_known else None
            self.span, self._span_known = axes.covering(self._most_scores(), now), True
        search = self.search
        if search.fits or search.running:
            firsts = [self.clock(search.fits[0].began, search.fits[0].invocation)] if search.fits else []
            begin = min([*firsts, *(self.clock(at) for at in islice(search.running.values(), 1))])
            self.left = min(self.left or begin, begin)
        if not self.is_settled:
            right = self.now
        else:
            right = max((self.clock(fit.ended, fit.invocation) for fit in search.fits[-50:]), default=self.now)
        width = max(right - self.left, 1.0 if self.is_settled and search.fits else 10.0)
        if right > self.right or self.right - self.left > 1.8 * width or self.is_settled:
            self.right = self.left + width + (0.02 if self.is_settled else 0.12) * width

    def _most_scores(self) -> tuple[float, float]:
        """Ends of the scores, without those that are far worse than most: they would press all others together."""
        scores = self.scores
        low, high = scores[0], scores[-1]
        if len(scores) < 12:
            return low, high
        if self.search.greater_is_better:
            return max(low, high - 2.5 * (high - scores[len(scores) // 5])), high
        return low, min(high, low + 2.5 * (scores[-1 - len(scores) // 5] - low))
