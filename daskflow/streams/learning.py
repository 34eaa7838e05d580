"""Online learning: a model answers each record first, and learns it when its true value is known.

What was learned depends on the order of true values alone, never on how records are cut into batches: a learner learns
whenever ``rows`` more have their true value. All that it needs after a kill belongs to a step, and the stream commits
steps together with its offsets; see `learning_store`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daskflow.bundle import Model
from daskflow.core.errors import DataError, SettingsError, StorageError
from daskflow.data.predictions import Predictions
from daskflow.streams.champion import Comparison, Contest, loss_of, metric_of
from daskflow.streams.champion_swaps import RULE, Ask, Book, MemoryBook, Swaps, words_of
from daskflow.streams.committing import Commits
from daskflow.streams.drift import Alarm, DriftWatch
from daskflow.streams.learning_labels import LabelReader
from daskflow.streams.learning_model import Contestant, can_learn, learning
from daskflow.streams.learning_rows import LABELS, LabelledRow, Said, key_of, said_by
from daskflow.streams.learning_settings import LearnSettings
from daskflow.streams.learning_snapshots import Snapshots
from daskflow.streams.learning_store import DONE, LABEL, RECORD, LearningStore
from daskflow.streams.meter import Meter
from daskflow.streams.prequential import Prequential
from daskflow.streams.records import Answered, Dead, Record, Result

LEARNER, MODEL = "learner", "model"
STORE, SNAPSHOTS, JOURNAL = "learning.sqlite", "snapshots", "journal.jsonl"

COUNTS = ("labelled", "not_learned", "unlabelled", "refused", "duplicates", "dropped_by_number", "dropped_by_age")
COUNTS_OF_LABELS = ("labels_dropped_by_number", "labels_dropped_by_age")


def nothing_said(text: Any) -> None:
    """Keep quiet."""


class Learner:
    """Answers records, learns them when their true values come, and swaps the champion by a rule.

    Parameters
    ----------
    model : Model
        With ``partial_fit``; it is not changed.
    settings : LearnSettings, optional
        How it learns; default: true values stand in the rows, in the column that the model predicts.
    challengers : mapping of str to Model
        Further models by name. Those with ``partial_fit`` learn, too. With any of them, or with ``challenge``, the
        model as it is answers at first, under the name ``model``, and its learning copy is ``learner``.
    folder : Path or str, optional
        Where it keeps what a restart needs; default nothing is kept.
    book : Book, optional
        Where its state is committed by a stream; default a journal of its own in `folder`, committed by each call of
        `answer` and `learn`.
    trusted : sequence of str
        As for `load_model`, of its snapshots.
    is_strict, probabilities : bool
        As for `Scorer`.
    say : callable
        Hears sentences worth knowing, such as a swap.
    tell : callable
        Hears records of swaps and of drift, for whoever watches; see `core.live`.
    clock : callable
        Seconds since 1970.

    Raises
    ------
    SettingsError
        When the model cannot learn, or the settings do not fit it or what the folder has.

    Examples
    --------
    >>> import daskflow as flow  # doctest: +SKIP
    >>> learner = flow.streams.Learner(flow.load_model("runs/cars"))  # doctest: +SKIP
    >>> learner.answer([{"year": 2015, "mileage": 41_000.0, "price": 8_500}])  # doctest: +SKIP
    [{'prediction': 8940.2}]
    """

    def __init__(
        self,
        model: Model,
        settings: LearnSettings | None = None,
        *,
        challengers: Mapping[str, Model] | None = None,
        folder: Path | str | None = None,
        book: Book | None = None,
        trusted: Sequence[str] = (),
        is_strict: bool = False,
        probabilities: bool = True,
        say: Callable[[str], None] = nothing_said,
        tell: Callable[[Mapping[str, Any]], None] = nothing_said,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin, or go on where the book says."""
        self.settings = settings or LearnSettings()
        self.model, self._say, self._tell, self._clock = model, say, tell, clock
        self._label = self.settings.label or model.target.name
        self._labels = LabelReader(model.target)
        words = {"is_strict": is_strict, "probabilities": probabilities}
        self.contestants = self._entered(model, challengers or {}, words)
        self._names = tuple(self.contestants)
        has_probabilities = all(each.scorer.has_probabilities for each in self.contestants.values())
        rule = self.settings.rule
        metric = metric_of(rule, model.target, has_probabilities=has_probabilities)
        self.contest = Contest(rule, metric, self._names)
        self._has_probabilities = has_probabilities
        self.prequential = Prequential(model.task, model.classes, window=rule.window)
        self.watch = DriftWatch.of(next(iter(self.contestants.values())).scorer, self.settings.drift)
        self.watch.learned([])  # says at once when its library is not installed
        place = None if folder is None else Path(folder)
        self._own = Commits(_made(place) / JOURNAL) if place is not None and book is None else None
        self._book: Book = book or self._own or MemoryBook()
        self.counts = dict.fromkeys((*COUNTS, *COUNTS_OF_LABELS), 0)
        self._step = self._restored_step()
        self._store = LearningStore(None if place is None else place / STORE, self._step)
        keep = self.settings.snapshots
        self._snapshots = None if place is None else Snapshots(place / SNAPSHOTS, keep=keep, trusted=trusted)
        self._buffer: list[LabelledRow] = []
        self._n_swaps = 0
        self._is_replaying = False
        self.swaps = Swaps(self._book, place)
        self.swaps.enter(self._names, self._names[0], self._places())
        self._snapshot_at, self._snapshot_seconds = 0, self._clock()
        self._restore()

    def _entered(self, model: Model, others: Mapping[str, Model], words: Mapping[str, Any]) -> dict[str, Contestant]:
        """Return who answers, the first champion first."""
        asked = self.settings
        own = learning(LEARNER, model, asked.set, asked.seed, **words)
        found = {LEARNER: own}
        if others or asked.challenge:
            found = {MODEL: Contestant(MODEL, model, learns=False, **words), LEARNER: own}
        for name, other in others.items():
            if name in (MODEL, LEARNER) or not name.isidentifier():
                raise SettingsError(
                    f"A challenger cannot be called '{name}': use letters, digits and _, and no name twice."
                )
            if other.target.name != model.target.name or other.classes != model.classes or other.task != model.task:
                raise SettingsError(
                    f"Challenger '{name}' predicts something else than the model: the target must be alike."
                )
            made = learning(name, other, {}, asked.seed, **words) if can_learn(other) else None
            found[name] = made or Contestant(name, other, learns=False, **words)
        return found

    def _places(self) -> dict[str, str]:
        """Model folders of those that do not learn, in the folder."""
        if self._snapshots is None:
            return {}
        return {each.name: str(self._snapshots.fixed(each)) for each in self.contestants.values() if not each.learns}

    # --- answering

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
        """Answer rows, then learn those that have their true value in them; None where a row cannot be answered.

        With a ``key`` the rows wait for their true values: see `learn`.
        """
        records = [Record(str(place), row, at=self._clock()) for place, row in enumerate(rows)]
        found = {result.id: dict(result.answer) for result in self._worked(records).results}
        return [found.get(record.id) for record in records]

    def learn(self, labels: Mapping[Any, Any] | Sequence[tuple[Any, Any]]) -> list[str]:
        """Take true values by key; return what is wrong with those that cannot be used, as sentences.

        Raises
        ------
        SettingsError
            When rows have no key by which they could be found.
        """
        if not self.settings.key:
            raise SettingsError("True values by key need a key: LearnSettings(key='COLUMN').")
        pairs = labels.items() if isinstance(labels, Mapping) else labels
        records = [
            Record(str(place), {self.settings.key: key, self._label: value}, partition=LABELS, at=self._clock())
            for place, (key, value) in enumerate(pairs)
        ]
        return [dead.words for dead in self._worked(records).dead]

    def _worked(self, records: Sequence[Record]) -> Answered:
        """Go through records without a stream around them, and commit."""
        answered = self.work(records)
        if self._own is not None:
            self._own.commit([], state=answered.state)
        elif isinstance(self._book, MemoryBook):
            self._book.state = answered.state
        return answered

    def work(self, records: Sequence[Record]) -> Answered:
        """Go through records and true values in their order; the state that is returned is to be committed.

        What belongs to a step that is not committed is undone at the next start.
        """
        self._hear()
        self._step += 1
        self._store.begin(self._step)
        try:
            results, dead = self._go_through(records)
            self._drop(max((record.at for record in records), default=self._clock()))
            self._forget()
            self._store.end()
        except BaseException:
            self._store.undo()
            raise
        return Answered(results, dead, self.state())

    def state(self) -> dict[str, Any]:
        """Return what belongs in the journal, as plain values."""
        return {"step": self._step, "model": self.model.identity, "counts": dict(self.counts)}

    @property
    def waiting(self) -> dict[str, int]:
        """Records that wait for their true value, and true values that wait for their record."""
        return {"records": self._store.count(RECORD), "labels": self._store.count(LABEL)}

    def tell_meter(self, meter: Meter) -> None:
        """Tell how good the answers of late were, how the models stand, and how far columns have moved."""
        self.prequential.tell(meter)
        meter.drift(self.watch.values())
        if len(self._names) > 1:
            meter.standing(self.champion.name, self.contest.scores())

    @property
    def champion(self) -> Contestant:
        """Who answers."""
        return self.contestants[self.swaps.at(self.counts["labelled"])[0]]

    def _go_through(self, records: Sequence[Record]) -> tuple[list[Result], list[Dead]]:
        results: list[Result] = []
        dead: list[Dead] = []
        place = 0
        while place < len(records):
            if records[place].partition.startswith(LABELS):
                problem = self._true_value(records[place])
                dead += [] if problem is None else [Dead(records[place], *problem)]
                place += 1
                continue
            stop, most = place, min(len(records), place + self._most_at_once)
            while stop < most and not records[stop].partition.startswith(LABELS):
                stop += 1
            self._answer(records[place:stop], results, dead)
            place = stop
        return results, dead

    @property
    def _most_at_once(self) -> int:
        """Rows that are answered before the next are learned, at most: none is answered by what came after it."""
        if self.settings.key and not self._store.count(LABEL):
            return 2**31
        return self.settings.rows - len(self._buffer)

    def _answer(self, records: Sequence[Record], results: list[Result], dead: list[Dead]) -> None:
        """Answer records, and have each learned or wait."""
        rows = [record.values for record in records]
        champion = self.champion
        found = {name: each.answer(rows) for name, each in self.contestants.items()}
        said = {name: said_by(answers) for name, answers in found.items()}
        version = {"model": champion.version} if self.settings.tell_model else {}
        answers = found[champion.name]
        self._alarm(self.watch.seen(rows, answers))
        for place, answer in enumerate(answers.dicts()):
            record = records[place]
            if answer is None:
                dead.append(Dead(record, *answers.problems[place]))
                continue
            others = {name: one for name, each in said.items() if (one := each[place]) is not None}
            problem = self._join(record, Said(champion.name, others))
            told = {**answer, **version, **({"label_error": problem} if problem else {})}
            results.append(Result(record.id, record, told))

    def _join(self, record: Record, said: Said) -> str:
        """Have an answered record learned, or wait; return what is wrong with its true value."""
        values = self._needed(record.values)
        if not self.settings.key:
            return self._own_value(record, values, said)
        key = key_of(record.values, self.settings.key)
        if isinstance(key, tuple):
            self.counts["refused"] += 1
            return key[1]
        if self._store.has(DONE, key) or self._store.has(RECORD, key):
            self.counts["duplicates"] += 1
            return ""
        early = self._store.take(LABEL, key)
        if early is None:
            self._store.put(RECORD, key, record.at, LabelledRow(values, 0.0, said).dump())
        else:
            self._store.put(DONE, key, record.at, "")
            self._labelled(LabelledRow(values, json.loads(early), said))
        return ""

    def _own_value(self, record: Record, values: Mapping[str, Any], said: Said) -> str:
        """Learn a record by the true value that stands in it."""
        y = self._labels.read(record.values.get(self._label))
        if isinstance(y, tuple):
            self.counts["refused"] += 1
            return y[1]
        if y is None:
            self.counts["unlabelled"] += 1
        else:
            self._labelled(LabelledRow(values, y, said))
        return ""

    def _true_value(self, record: Record) -> tuple[str, str] | None:
        """Take a true value that comes by itself; return what is wrong with it."""
        key = key_of(record.values, self.settings.key)
        if isinstance(key, tuple):
            return key
        if self._label not in record.values:
            return "missing", f"there is no '{self._label}': the true value is missing"
        y = self._labels.read(record.values[self._label])
        if y is None:
            return "value", "the true value is missing"
        if isinstance(y, tuple):
            return y
        waiting = self._store.take(RECORD, key)
        if waiting is not None:
            self._store.put(DONE, key, record.at, "")
            self._labelled(LabelledRow.load(waiting, y))
        elif self._store.has(DONE, key) or self._store.has(LABEL, key):
            self.counts["duplicates"] += 1
        else:
            self._store.put(LABEL, key, record.at, json.dumps(y))
        return None

    def _needed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What those that learn need of a record."""
        names = self._columns
        return {name: values[name] for name in names if name in values}

    @property
    def _columns(self) -> tuple[str, ...]:
        found = [each.scorer.columns.names for each in self.contestants.values() if each.learns]
        return tuple(dict.fromkeys(name for names in found for name in names))

    # --- learning

    def _labelled(self, row: LabelledRow) -> None:
        """Take a row whose true value is known: count, compare, and learn when there are enough."""
        number = self.counts["labelled"] = self.counts["labelled"] + 1
        if not self._is_replaying:
            self._store.learn(number, row.dump())
        if len(self._names) > 1 and set(row.said.by_name) == set(self._names):
            metric, said = self.contest.metric, row.said.by_name
            self.contest.count({name: loss_of(metric, row.y, *said[name]) for name in self._names})
        self._buffer.append(row)
        if len(self._buffer) >= self.settings.rows:
            self._learn_buffer()

    def _learn_buffer(self) -> None:
        self._judge_answers(self._buffer)
        rows, labels = [row.values for row in self._buffer], [row.y for row in self._buffer]
        self._buffer.clear()
        for each in self.contestants.values():
            problem = each.learn(rows, labels) if each.learns else ""
            if problem:
                self.counts["not_learned"] += len(rows)
                self._say(f"'{each.name}' could not learn {len(rows):,} rows, and stays as it was: {problem}")
        self._judge(self.counts["labelled"])
        if self._snapshots is not None and self._is_snapshot_due:
            self._write_snapshot()

    def _judge_answers(self, rows: Sequence[LabelledRow]) -> None:
        """Count how good the answers were, and tell when their errors have grown."""
        given = [row.said.by_name[row.said.by] for row in rows]
        y = np.asarray([row.y for row in rows])
        truths: Any = y if not self.model.classes else [self.model.classes[int(code)] for code in y]
        labels = np.asarray([label for label, _ in given])
        shares = np.asarray([share for _, share in given], dtype=np.float64) if self._has_probabilities else None
        if shares is not None and len(self.model.classes) == 2:
            shares = shares[:, 1]
        errors = self.prequential.learned(truths, Predictions(labels, shares))
        self._alarm(self.watch.learned(errors))

    def _alarm(self, alarms: Sequence[Alarm]) -> None:
        if self._is_replaying:  # they were told
            return
        for alarm in alarms:
            self._tell({**alarm.record(), "of": alarm.name, "detector": alarm.by, "words": alarm.words})
            self._say(alarm.words)

    @property
    def _is_snapshot_due(self) -> bool:
        asked, passed = self.settings, self._clock() - self._snapshot_seconds
        by_time = asked.snapshot_seconds and passed >= asked.snapshot_seconds and not self._is_replaying
        return self.counts["labelled"] - self._snapshot_at >= asked.snapshot_rows or bool(by_time)

    # --- keeping

    def _write_snapshot(self) -> None:
        """Write a snapshot, and go on with what stands in it: so does whoever goes on after a kill."""
        snapshots, number = self._snapshots, self.counts["labelled"]
        if snapshots is None:
            return
        learners = [each for each in self.contestants.values() if each.learns]
        state = {
            "rows": {each.name: each.learned for each in learners},
            "counts": {name: self.counts[name] for name in ("not_learned",)},
            "contest": self.contest.dump(),
            "prequential": self.prequential.dump(),
            "drift": self.watch.dump(),
            "n_swaps": self._n_swaps,
        }
        snapshots.write(number, learners, state)
        for each in learners:
            each.restore(snapshots.read_model(number, each.name).estimator, each.learned)
        self._snapshot_at, self._snapshot_seconds = number, self._clock()
        self._point()

    def _point(self) -> None:
        """Let ``current`` name the champion's model folder."""
        champion = self.champion
        if self._snapshots is not None:
            at = self._snapshots.place(self._snapshot_at, champion.name)
            self.swaps.point(at if champion.learns else self._snapshots.fixed(champion))

    def _restored_step(self) -> int:
        """Return the step that was committed last, and take its counts."""
        state = self._book.state
        if state is None:
            return 0
        if "step" not in state or state.get("model") != self.model.identity:
            raise SettingsError(
                "The stream's folder was used with another model, or without learning. Choose another with --folder."
            )
        self.counts |= {name: int(count) for name, count in state["counts"].items() if name in self.counts}
        return int(state["step"])

    def _restore(self) -> None:
        """Go on from the newest snapshot that was committed, and learn again what was learned since."""
        if self._snapshots is None:
            return
        labelled = self.counts["labelled"]
        self.swaps.go_back(labelled)
        self._snapshots.remove_after(labelled)
        base = self._snapshots.newest(labelled)
        if base is None or self._book.state is None:
            self._write_snapshot()
            base = 0
        state = self._snapshots.read_state(base)
        committed = dict(self.counts)
        for each in (each for each in self.contestants.values() if each.name in state["rows"]):
            model = self._snapshots.read_model(base, each.name)
            each.restore(model.estimator, int(state["rows"][each.name]))
        self.contest.load(state["contest"])
        self._load_watches(state)
        self._n_swaps = int(state["n_swaps"])
        self.counts |= {"labelled": base, **{name: int(count) for name, count in state["counts"].items()}}
        self._snapshot_at = base
        self._is_replaying = True
        for _, body in self._store.learned(base):
            self._labelled(LabelledRow.load(body))
        self._is_replaying = False
        self.counts |= {**committed, "labelled": self.counts["labelled"], "not_learned": self.counts["not_learned"]}
        self._point()

    def _load_watches(self, state: Mapping[str, Any]) -> None:
        """Go on judging answers; after other settings from the beginning."""
        for watch, name in ((self.prequential, "prequential"), (self.watch, "drift")):
            try:
                watch.load(state[name])
            except DataError as error:
                self._say(str(error))

    def _drop(self, now: float) -> None:
        """Let what has waited too long, or is too much, go."""
        asked = self.settings
        for what, prefix in ((RECORD, ""), (LABEL, "labels_"), (DONE, None)):
            if self._store.count(what):
                dropped = self._store.drop(what, most=asked.waiting, before=now - asked.waiting_seconds)
                for name, count in zip(("dropped_by_number", "dropped_by_age"), dropped, strict=True):
                    if prefix is not None:
                        self.counts[prefix + name] += count

    def _forget(self) -> None:
        """Remove what no restart can need any more."""
        state = self._book.state
        if self._snapshots is not None and state is not None:
            self._store.forget(step=int(state["step"]), learned=self._snapshots.thin(int(state["counts"]["labelled"])))
        elif self._snapshots is None:
            self._store.forget(step=self._step, learned=self.counts["labelled"])

    # --- swapping

    def _judge(self, number: int) -> None:
        """Compare champion and challengers, if it is time to, and make the swap that the rule decides on."""
        rule = self.settings.rule
        if len(self._names) > 1 and number // rule.every != (number - self.settings.rows) // rule.every:
            champion, swapped_at, _ = self.swaps.at(number - 1)
            winner = self.contest.judge(champion, labelled=number, swapped_at=swapped_at)
            if winner and not self._is_replaying and not self.swaps.has_swap_at(number):
                self._decide(*winner)
        n_swaps = self.swaps.at(number)[2]
        if n_swaps != self._n_swaps:
            self._n_swaps = n_swaps
            self.contest.swapped()
            self._point()

    def _decide(self, to: str, found: Comparison) -> None:
        """Swap, or tell that the rule would."""
        rule = self.settings.rule
        evidence = {**found.dump(), "metric": self.contest.metric, "rule": rule.dump()}
        if rule.automatic:
            self._swap(to, by=RULE, evidence=evidence)
        elif not self._is_replaying:
            self._say(
                f"By the rule '{to}' should answer: {found.words(self.contest.metric)}. Nothing is swapped by itself."
            )

    def _hear(self) -> None:
        """Do what was asked for by the stream's folder."""
        for asked in self.swaps.asked(self._say):
            try:
                to = self.swaps.check(asked, self.counts["labelled"])
            except SettingsError as error:
                self.swaps.refuse(asked, str(error))
                continue
            self._swap(to, by=asked.by, key=asked.key)

    def swap(self, to: str = "", *, by: str = "python") -> str:
        """Let another model answer from the next record on; empty: who did before the last swap.

        Returns
        -------
        str
            What happened, as a sentence.

        Raises
        ------
        SettingsError
            When there is no such model.
        """
        return self._swap(self.swaps.check(Ask(to, by), self.counts["labelled"]), by=by)

    def _swap(self, to: str, **words: Any) -> str:
        record = self.swaps.swap(to, labelled=self.counts["labelled"], **words)
        self._tell(record)
        self._say(words_of(record))
        self._point()
        return words_of(record)

    hear = _hear

    def close(self) -> None:
        """Give its files back."""
        self._store.close()
        if self._own is not None:
            self._own.close()


def _made(folder: Path) -> Path:
    """Make a folder; StorageError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}. Choose another place with --folder.") from error
    return folder
