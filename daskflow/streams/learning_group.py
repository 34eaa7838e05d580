"""Models that answer the same rows: one whose answers are given, and others beside it, the best of which may take over.

Everything here goes by the number of labelled rows, in portions of ``rows``: it is the same however a stream is cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from daskflow.bundle import Model
from daskflow.core.errors import DataError, SettingsError
from daskflow.data.predictions import Predictions
from daskflow.streams.champion import Comparison, Contest, loss_of, metric_of
from daskflow.streams.champion_swaps import RULE, Swaps, words_of
from daskflow.streams.drift import Alarm, DriftWatch
from daskflow.streams.learning_model import Contestant, can_learn, learning
from daskflow.streams.learning_rows import LabelledRow, Said, said_by
from daskflow.streams.learning_settings import LearnSettings
from daskflow.streams.learning_snapshots import Snapshots
from daskflow.streams.meter import Meter
from daskflow.streams.prequential import Prequential
from daskflow.streams.scoring import Answers

LEARNER, MODEL = "learner", "model"


def nothing_said(text: Any) -> None:
    """Keep quiet."""


class Group:
    """Champion and challengers, how good they were of late, and their snapshots.

    Parameters
    ----------
    model : Model
        With ``partial_fit``.
    others : mapping of str to Model
        Challengers.
    settings : LearnSettings
        How they learn.
    swaps : Swaps
        Who answers.
    snapshots : Snapshots or None
        Where they are kept; None: nowhere.
    say, tell : callable
        As for `Learner`.
    clock : callable
        Seconds since 1970.
    **words
        Of `Contestant`: is_strict, probabilities.

    Attributes
    ----------
    labelled, not_learned : int
        Rows that had their true value, and those of them that some model could not learn.

    Raises
    ------
    SettingsError
        When the model cannot learn, or the settings do not fit it.
    """

    def __init__(
        self,
        model: Model,
        others: Mapping[str, Model],
        settings: LearnSettings,
        *,
        swaps: Swaps,
        snapshots: Snapshots | None,
        say: Callable[[str], None] = nothing_said,
        tell: Callable[[Mapping[str, Any]], None] = nothing_said,
        clock: Callable[[], float] = time.time,
        **words: Any,
    ) -> None:
        """Begin with nothing learned; `restore` goes on."""
        self.settings, self.swaps = settings, swaps
        self._target, self._classes = model.target, model.classes
        self._snapshots, self._say, self._tell, self._clock = snapshots, say, tell, clock
        self.contestants = _entered(model, others, settings, words)
        self.names = tuple(self.contestants)
        first = next(iter(self.contestants.values())).scorer
        self._has_probabilities = all(each.scorer.has_probabilities for each in self.contestants.values())
        metric = metric_of(settings.rule, model.target, has_probabilities=self._has_probabilities)
        self.contest = Contest(settings.rule, metric, self.names)
        self.prequential = Prequential(model.task, model.classes, window=settings.rule.window)
        self.watch = DriftWatch.of(first, settings.drift)
        self.watch.learned([])  # says at once when its library is not installed
        self.labelled = self.not_learned = 0
        self._buffer: list[LabelledRow] = []
        self._n_swaps = 0
        self._is_replaying = False
        self._snapshot_at, self._snapshot_seconds = 0, clock()

    # --- answering

    @property
    def champion(self) -> Contestant:
        """Who answers."""
        return self.contestants[self.swaps.at(self.labelled)[0]]

    @property
    def room(self) -> int:
        """Rows that can be labelled before the next are learned."""
        return self.settings.rows - len(self._buffer)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that those who learn need of a row."""
        found = [each.scorer.columns.names for each in self.contestants.values() if each.learns]
        return tuple(dict.fromkeys(name for names in found for name in names))

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Answers, list[Said]]:
        """Return the champion's answers, and by row what each model said."""
        champion = self.champion
        found = {name: each.answer(rows) for name, each in self.contestants.items()}
        self._alarm(self.watch.seen(rows, found[champion.name]))
        said = {name: said_by(answers) for name, answers in found.items()}
        by_row = [
            Said(champion.name, {name: one for name, each in said.items() if (one := each[place]) is not None})
            for place in range(len(rows))
        ]
        return found[champion.name], by_row

    # --- learning

    def learn(self, row: LabelledRow) -> None:
        """Take a row whose true value is known; learn when there are enough of them."""
        self.labelled += 1
        self._buffer.append(row)
        if len(self._buffer) >= self.settings.rows:
            self._learn()

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Learn again what was learned before: nothing is told twice."""
        self._is_replaying = True
        try:
            yield
        finally:
            self._is_replaying = False

    def _learn(self) -> None:
        rows = self._buffer.copy()
        self._buffer.clear()
        self._judge_answers(rows)
        values, labels = [row.values for row in rows], [row.y for row in rows]
        for each in self.contestants.values():
            problem = each.learn(values, labels) if each.learns else ""
            if problem:
                self.not_learned += len(rows)
                if not self._is_replaying:
                    self._say(f"'{each.name}' could not learn {len(rows):,} rows, and stays as it was: {problem}")
        self._judge_models(rows)
        if self._is_snapshot_due:
            self.keep()

    def _judge_answers(self, rows: Sequence[LabelledRow]) -> None:
        """Count how good the answers were, and tell when their errors have grown."""
        given = [row.said.by_name[row.said.by] for row in rows]
        y = np.asarray([row.y for row in rows])
        truths: Any = [self._classes[int(code)] for code in y] if self._classes else y
        shares = np.asarray([share for _, share in given], dtype=np.float64) if self._has_probabilities else None
        if shares is not None and len(self._classes) == 2:
            shares = shares[:, 1]
        errors = self.prequential.learned(truths, Predictions(np.asarray([label for label, _ in given]), shares))
        self._alarm(self.watch.learned(errors))

    def _judge_models(self, rows: Sequence[LabelledRow]) -> None:
        """Compare champion and challengers, if it is time to, and make the swap that the rule decides on."""
        if len(self.names) < 2:
            return
        metric, number, rule = self.contest.metric, self.labelled, self.settings.rule
        for row in rows:
            said = row.said.by_name
            if len(said) == len(self.names):
                self.contest.count({name: loss_of(metric, row.y, *said[name]) for name in self.names})
        if number // rule.every != (number - len(rows)) // rule.every:
            champion, swapped_at, _ = self.swaps.at(number - 1)
            winner = self.contest.judge(champion, labelled=number, swapped_at=swapped_at)
            if winner and not self._is_replaying and not self.swaps.has_swap_at(number):
                self._decide(*winner)
        n_swaps = self.swaps.at(number)[2]
        if n_swaps != self._n_swaps:
            self._n_swaps = n_swaps
            self.contest.swapped()
            self.keep()

    def _decide(self, to: str, found: Comparison) -> None:
        """Swap, or tell that the rule would."""
        rule, metric = self.settings.rule, self.contest.metric
        if rule.automatic:
            self.swap(to, by=RULE, evidence={**found.dump(), "metric": metric, "rule": rule.dump()})
        else:
            self._say(f"'{to}' should answer by the rule: {found.words(metric)}. It is not swapped by itself.")

    def swap(self, to: str, **words: Any) -> str:
        """Journal a swap, which acts then; return what happened, as a sentence."""
        record = self.swaps.swap(to, labelled=self.labelled, **words)
        self._tell(record)
        self._say(words_of(record))
        self.point()
        return words_of(record)

    def _alarm(self, alarms: Sequence[Alarm]) -> None:
        if self._is_replaying:  # they were told
            return
        for alarm in alarms:
            self._tell({**alarm.record(), "of": alarm.name, "detector": alarm.by, "words": alarm.words})
            self._say(alarm.words)

    def tell_meter(self, meter: Meter) -> None:
        """Tell how good the answers of late were, how the models stand, and how far columns have moved."""
        self.prequential.tell(meter)
        meter.drift(self.watch.values())
        if len(self.names) > 1:
            meter.standing(self.champion.name, self.contest.scores())

    # --- keeping

    @property
    def _is_snapshot_due(self) -> bool:
        asked, passed = self.settings, self._clock() - self._snapshot_seconds
        by_time = asked.snapshot_seconds and passed >= asked.snapshot_seconds and not self._is_replaying
        return self.labelled - self._snapshot_at >= asked.snapshot_rows or bool(by_time)

    def keep(self) -> None:
        """Write a snapshot of what was learned, and go on with what stands in it: so does who goes on after a kill."""
        snapshots, number = self._snapshots, self.labelled - len(self._buffer)
        if snapshots is None:
            return
        learners = [each for each in self.contestants.values() if each.learns]
        state = {
            "rows": {each.name: each.learned for each in learners},
            "not_learned": self.not_learned,
            "contest": self.contest.dump(),
            "prequential": self.prequential.dump(),
            "drift": self.watch.dump(),
            "n_swaps": self._n_swaps,
        }
        snapshots.write(number, learners, state)
        for each in learners:
            each.restore(snapshots.read_model(number, each.name).estimator, each.learned)
        self._snapshot_at, self._snapshot_seconds = number, self._clock()
        self.point()

    @property
    def is_kept(self) -> bool:
        """Whether the newest snapshot has all that was learned."""
        return self._snapshots is None or self._snapshot_at == self.labelled - len(self._buffer)

    def point(self) -> None:
        """Let ``current`` name the champion's model folder."""
        champion = self.champion
        if self._snapshots is not None:
            at = self._snapshots.place(self._snapshot_at, champion.name)
            self.swaps.point(at if champion.learns else self._snapshots.fixed(champion))

    def places(self) -> dict[str, str]:
        """Return the model folders of those that do not learn."""
        if self._snapshots is None:
            return {}
        return {each.name: str(self._snapshots.fixed(each)) for each in self.contestants.values() if not each.learns}

    def restore(self, labelled: int, *, is_new: bool) -> int:
        """Go on from the newest snapshot of at most so many labelled rows; return its number.

        Parameters
        ----------
        labelled : int
            As committed.
        is_new : bool
            Whether nothing was committed yet: the first snapshot is then written anew.
        """
        if self._snapshots is None:
            return 0
        self.swaps.go_back(labelled)
        self._snapshots.remove_after(labelled)
        base = self._snapshots.newest(labelled)
        if base is None or is_new:
            self.keep()
            return 0
        state = self._snapshots.read_state(base)
        for name, rows in state["rows"].items():
            if name in self.contestants:
                self.contestants[name].restore(self._snapshots.read_model(base, name).estimator, int(rows))
        self.contest.load(state["contest"])
        for watch, name in ((self.prequential, "prequential"), (self.watch, "drift")):
            try:
                watch.load(state[name])
            except DataError as error:  # after other settings they begin anew
                self._say(str(error))
        self._n_swaps, self.not_learned = int(state["n_swaps"]), int(state["not_learned"])
        self.labelled = self._snapshot_at = base
        return base

    def thin(self, committed: int) -> int:
        """Remove snapshots that no restart can need; return up to which labelled row nothing is learned again."""
        return self.labelled if self._snapshots is None else self._snapshots.thin(committed)


def _entered(
    model: Model, others: Mapping[str, Model], asked: LearnSettings, words: Mapping[str, Any]
) -> dict[str, Contestant]:
    """Return who answers, the first champion first."""
    own = learning(LEARNER, model, asked.set, asked.seed, **words)
    found = {LEARNER: own}
    if others or asked.challenge:
        found = {MODEL: Contestant(MODEL, model, learns=False, **words), LEARNER: own}
    for name, other in others.items():
        if name in (MODEL, LEARNER) or not name.isidentifier():
            raise SettingsError(
                f"A challenger cannot be called '{name}': use letters, digits and _, and neither {MODEL} nor {LEARNER}."
            )
        if (other.target.name, other.classes, other.task) != (model.target.name, model.classes, model.task):
            raise SettingsError(
                f"Challenger '{name}' predicts something else than the model: target and classes must be alike."
            )
        made = learning(name, other, {}, asked.seed, **words) if can_learn(other) else None
        found[name] = made or Contestant(name, other, learns=False, **words)
    return found
