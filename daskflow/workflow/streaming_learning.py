"""A stream whose model learns: its learner, its source of true values, and swaps that are asked for from outside."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pyarrow as pa

import daskflow.sources
from daskflow.bundle import Model, load_model
from daskflow.core import journal
from daskflow.core.errors import ControlError, JournalError, Problem, SettingsError
from daskflow.data.table import Reject
from daskflow.sources.guess import guess
from daskflow.streams import ReadTables, StreamSource, source_of
from daskflow.streams.champion_swaps import MAILBOX, SWAP, Ask, Swaps, ask, words_of
from daskflow.streams.committing import Commits
from daskflow.streams.learning import SNAPSHOTS, Learner
from daskflow.streams.learning_answering import LearningAnswerer
from daskflow.streams.learning_settings import LearnSettings
from daskflow.streams.learning_snapshots import Snapshots
from daskflow.streams.learning_source import LabelledSource
from daskflow.streams.meter import Meter
from daskflow.streams.stream_folder import StreamFolder
from daskflow.workflow.streaming_settings import StreamSettings

ANSWER_SECONDS = 10.0
"""How long an answer to a swap that was asked for is waited for; a batch may be under way."""


def learn_settings(asked: StreamSettings) -> LearnSettings | None:
    """Return how a stream's model learns; None when it does not.

    Raises
    ------
    SettingsError
        For words that do not go together.
    """
    problems = []
    learn = asked.learn
    if learn is None:
        for word, given in (("labels", asked.labels), ("challengers", asked.challengers)):
            if given:
                problems.append(Problem(word, "is for a stream that learns: add --learn"))
    elif asked.cluster is not None:
        problems.append(Problem("learn", "a model learns in one process, in the order of the records: leave out --on"))
    if learn is not None and asked.labels is not None:
        key = learn.key or asked.key
        if not key:
            problems.append(Problem("labels", "needs --key COLUMN, which a record and its true value have in common"))
        learn = learn.model_copy(update={"key": key or ""})
    elif learn is not None and learn.key:
        problems.append(Problem("learn.key", "is for true values that come by themselves: add --labels SRC"))
    if problems:
        raise SettingsError(problems)
    return learn


@asynccontextmanager
async def learning_with(
    asked: StreamSettings,
    model: Model,
    commits: Commits,
    folder: StreamFolder,
    *,
    base: Path,
    meter: Meter,
    say: Callable[[str], None],
    tell: Callable[[Mapping[str, Any]], None],
) -> AsyncIterator[LearningAnswerer]:
    """Open what answers and learns; errors as `Learner` says."""
    learner = Learner(
        model,
        learn_settings(asked),
        challengers={
            name: load_model(base / Path(place).expanduser(), trusted=asked.trust)
            for name, place in asked.challengers.items()
        },
        folder=folder.path,
        book=commits,
        trusted=asked.trust,
        is_strict=asked.strict,
        probabilities=asked.proba,
        say=say,
        tell=tell,
    )
    async with LearningAnswerer(learner, keep=asked.keep, meter=meter) as answerer:
        yield answerer


def with_labels(asked: StreamSettings, source: StreamSource, folder: Path) -> Any:
    """Return a stream's source together with that of its true values, which keeps what it must in `folder`."""
    if asked.labels is None:
        return source
    labels = source_of(asked.labels)
    labels = labels.model_copy(update={"once": asked.once}).with_tables(plain_tables()).with_folder(folder)
    return LabelledSource(source, labels)


def plain_tables() -> ReadTables:
    """Return what reads files as they are, by their suffixes."""

    def read(path: Path) -> Iterator[tuple[pa.Table, Sequence[Reject]]]:
        kind, options, _ = guess([str(path)])
        table = daskflow.sources.REGISTRY.parse({"kind": kind, "path": [str(path)], **options}, where="--labels")
        for partition in table.table().partitions:
            decoded = partition.read()
            yield decoded.plain, decoded.rejects

    return read


def swap(folder: Path | str, to: str = "", *, by: str = "python", timeout_seconds: float = ANSWER_SECONDS) -> str:
    """Let another model of a stream answer, whether the stream goes on or not.

    Parameters
    ----------
    folder : Path or str
        The stream's folder.
    to : str
        Name of the model; empty: the one that answered before the last swap.
    by : str
        Who asks, for the journal.
    timeout_seconds : float
        How long the answer of a stream that goes on is waited for.

    Returns
    -------
    str
        What happened, as a sentence.

    Raises
    ------
    SettingsError
        When there is no such model, or none to go back to; when the folder is no stream's that learns.
    ControlError
        When the stream goes on and does not answer.
    """
    place = StreamFolder(Path(folder).absolute())
    if not place.journal.is_file():
        raise SettingsError(f"{folder} is no stream's folder: there is no journal in it.")
    try:
        commits = Commits(place.journal)
    except JournalError:
        return _asked(place, Ask(to, by), timeout_seconds)
    with closing(commits):
        swaps = Swaps(commits, place.path)
        labelled = int(((commits.state or {}).get("counts") or {}).get("labelled", 0))
        swaps.go_back(labelled)
        record = swaps.swap(swaps.check(Ask(to, by), labelled), by=by, labelled=labelled)
        champion = str(record["champion"])
        snapshots = Snapshots(place.path / SNAPSHOTS)
        newest = snapshots.newest(labelled)
        if swaps.places.get(champion):
            swaps.point(Path(swaps.places[champion]))
        elif newest is not None:
            swaps.point(snapshots.place(newest, champion))
        return words_of(record)


def _asked(place: StreamFolder, asked: Ask, timeout_seconds: float) -> str:
    """Ask a stream that goes on, and wait for its answer."""
    asked = ask(place.path, asked)
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        for record in reversed(journal.read(place.journal)):
            if record.get("key") == asked.key:
                if record["record"] == SWAP:
                    return words_of(record)
                raise SettingsError(str(record["why"]))
        time.sleep(0.1)
    raise ControlError(
        f"The stream of {place.path} does not answer: it does not learn, or a batch takes longer than "
        f"{timeout_seconds:.0f} s. What was asked for stands in its folder {MAILBOX}, and is done when it looks there."
    )


def standing(folder: Path | str) -> Mapping[str, Any]:
    """Return who answers in a stream's folder, who may, and every swap.

    Returns
    -------
    mapping
        ``champion``, ``models`` (names), ``labelled`` (true values so far), ``swaps`` (records, see `champion_swaps`).

    Raises
    ------
    SettingsError
        When it is no folder of a stream that learns.
    """
    place = StreamFolder(Path(folder).absolute())
    records = journal.read(place.journal)
    book = _Read(records)
    swaps = Swaps(book, None)
    if not swaps.names:
        raise SettingsError(f"{folder} is no folder of a stream that learns: start it with --learn.")
    labelled = int(((book.state or {}).get("counts") or {}).get("labelled", 0))
    return {
        "champion": swaps.at(labelled)[0],
        "models": list(swaps.names),
        "labelled": labelled,
        "swaps": [dict(record) for record in swaps.history],
    }


class _Read:
    """A journal that is only read."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        commits = [record for record in records if record.get("record") == "committed"]
        self.state: Mapping[str, Any] | None = commits[-1].get("state") if commits else None
        self.others = [record for record in records if record.get("record") != "committed"]

    def note(self, record: Mapping[str, Any]) -> None:
        raise NotImplementedError("it is only read")
