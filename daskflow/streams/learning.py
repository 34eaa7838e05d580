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

from daskflow.bundle import Model
from daskflow.core.errors import SettingsError, StorageError
from daskflow.streams.champion_swaps import Ask, Book, MemoryBook, Swaps
from daskflow.streams.committing import Commits
from daskflow.streams.learning_group import Group, nothing_said
from daskflow.streams.learning_labels import LabelReader
from daskflow.streams.learning_model import Contestant
from daskflow.streams.learning_rows import LABELS, LabelledRow, Said, key_of
from daskflow.streams.learning_settings import LearnSettings
from daskflow.streams.learning_snapshots import Snapshots
from daskflow.streams.learning_store import DONE, LABEL, RECORD, LearningStore
from daskflow.streams.meter import Meter
from daskflow.streams.records import Answered, Dead, Record, Result

STORE, SNAPSHOTS, JOURNAL = "learning.sqlite", "snapshots", "journal.jsonl"

COUNTS = (
    *("unlabelled", "refused", "duplicates", "dropped_by_number", "dropped_by_age"),
    *("labels_dropped_by_number", "labels_dropped_by_age"),
)
"""Rows without a true value; true values that can be none; records and true values whose key had its own before; and
records and true values that waited in vain."""


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
        self.model, self._say, self._clock = model, say, clock
        self._label = self.settings.label or model.target.name
        self._labels = LabelReader(model.target)
        place = None if folder is None else Path(folder)
        self._own = Commits(_made(place) / JOURNAL) if place is not None and book is None else None
        self._book: Book = book or self._own or MemoryBook()
        self.swaps = Swaps(self._book, place)
        keep = self.settings.snapshots
        snapshots = None if place is None else Snapshots(place / SNAPSHOTS, keep=keep, trusted=trusted)
        self.group = Group(
            model,
            challengers or {},
            self.settings,
            swaps=self.swaps,
            snapshots=snapshots,
            say=say,
            tell=tell,
            clock=clock,
            is_strict=is_strict,
            probabilities=probabilities,
        )
        self._columns = self.group.columns
        self._counts = dict.fromkeys(COUNTS, 0)
        self._step, labelled = self._committed()
        self._store = LearningStore(None if place is None else place / STORE, self._step)
        names = self.group.names
        self.swaps.enter(names, names[0], self.group.places())
        base = self.group.restore(labelled, is_new=self._book.state is None)
        with self.group.replaying():
            for _, body in self._store.learned(base):
                self.group.learn(LabelledRow.load(body))
        self.group.point()

    def _committed(self) -> tuple[int, int]:
        """Return the step that was committed last, and its labelled rows; take its counts."""
        state = self._book.state
        if state is None:
            return 0, 0
        if "step" not in state or state.get("model") != self.model.identity:
            raise SettingsError(
                "The stream's folder was used with another model, or without learning. Choose another with --folder."
            )
        self._counts |= {name: int(count) for name, count in state["counts"].items() if name in self._counts}
        return int(state["step"]), int(state["counts"]["labelled"])

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
        self.hear()
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
        return {"step": self._step, "model": self.model.identity, "counts": self.counts}

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them: `COUNTS`, and ``labelled`` and ``not_learned`` of `Group`."""
        return {"labelled": self.group.labelled, "not_learned": self.group.not_learned, **self._counts}

    @property
    def waiting(self) -> dict[str, int]:
        """Records that wait for their true value, and true values that wait for their record."""
        return {"records": self._store.count(RECORD), "labels": self._store.count(LABEL)}

    def tell_meter(self, meter: Meter) -> None:
        """Tell how good the answers of late were, how the models stand, and how far columns have moved."""
        self.group.tell_meter(meter)

    @property
    def contestants(self) -> Mapping[str, Contestant]:
        """Who answers, and who does so silently, by name."""
        return self.group.contestants

    @property
    def champion(self) -> Contestant:
        """Who answers."""
        return self.group.champion

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
        return self.group.room

    def _answer(self, records: Sequence[Record], results: list[Result], dead: list[Dead]) -> None:
        """Answer records, and have each learned or wait."""
        version = {"model": self.champion.version} if self.settings.tell_model else {}
        answers, said = self.group.answer([record.values for record in records])
        for place, answer in enumerate(answers.dicts()):
            record = records[place]
            if answer is None:
                dead.append(Dead(record, *answers.problems[place]))
                continue
            problem = self._join(record, said[place])
            told = {**answer, **version, **({"label_error": problem} if problem else {})}
            results.append(Result(record.id, record, told))

    def _join(self, record: Record, said: Said) -> str:
        """Have an answered record learned, or wait; return what is wrong with its true value."""
        values = self._needed(record.values)
        if not self.settings.key:
            return self._own_value(record, values, said)
        key = key_of(record.values, self.settings.key)
        if isinstance(key, tuple):
            self._counts["refused"] += 1
            return key[1]
        if self._store.has(DONE, key) or self._store.has(RECORD, key):
            self._counts["duplicates"] += 1
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
            self._counts["refused"] += 1
            return y[1]
        if y is None:
            self._counts["unlabelled"] += 1
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
            self._counts["duplicates"] += 1
        else:
            self._store.put(LABEL, key, record.at, json.dumps(y))
        return None

    def _needed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What those that learn need of a record."""
        return {name: values[name] for name in self._columns if name in values}

    def _labelled(self, row: LabelledRow) -> None:
        """Have a row learned; it is kept until a snapshot has it."""
        self._store.learn(self.group.labelled + 1, row.dump())
        self.group.learn(row)

    # --- keeping

    def _drop(self, now: float) -> None:
        """Let what has waited too long, or is too much, go."""
        asked = self.settings
        for what, prefix in ((RECORD, ""), (LABEL, "labels_"), (DONE, None)):
            if self._store.count(what):
                dropped = self._store.drop(what, most=asked.waiting, before=now - asked.waiting_seconds)
                for name, count in zip(("dropped_by_number", "dropped_by_age"), dropped, strict=True):
                    if prefix is not None:
                        self._counts[prefix + name] += count

    def _forget(self) -> None:
        """Remove what no restart can need any more."""
        state = self._book.state
        step, labelled = (0, 0) if state is None else (int(state["step"]), int(state["counts"]["labelled"]))
        self._store.forget(step=step, learned=self.group.thin(labelled))

    # --- swapping

    def hear(self) -> None:
        """Do what was asked for by the stream's folder."""
        for asked in self.swaps.asked(self._say):
            try:
                to = self.swaps.check(asked, self.group.labelled)
            except SettingsError as error:
                self.swaps.refuse(asked, str(error))
                continue
            self.group.swap(to, by=asked.by, key=asked.key)

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
        return self.group.swap(self.swaps.check(Ask(to, by), self.group.labelled), by=by)

    def close(self) -> None:
        """Write a last snapshot, and give its files back."""
        if not self.group.is_kept:
            self.group.keep()
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
