"""Streams from end to end: the model, its place, its source and its sink, and what the stream tells of itself."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from daskflow.bundle import Model, load_model
from daskflow.core.errors import JournalError, Problem, SettingsError
from daskflow.core.events import Listener, nobody, tell
from daskflow.streams.committing import Commits
from daskflow.streams.dead_letters import DeadLetters
from daskflow.streams.drift_inputs import InputWatch, WatchedAnswerer
from daskflow.streams.meter import Meter
from daskflow.streams.paths import check_above
from daskflow.streams.pipeline import Pipeline
from daskflow.streams.records import Answerer
from daskflow.streams.scoring import Scorer
from daskflow.streams.scoring_local import LocalAnswerer, check_kept
from daskflow.streams.stream_folder import StreamFolder
from daskflow.streams.telling import StreamTelling
from daskflow.workflow.streaming_files import tables_for
from daskflow.workflow.streaming_learning import learn_settings, learning_with, with_labels
from daskflow.workflow.streaming_settings import StreamSettings, check_places, without_secrets
from daskflow.workflow.telling_pages import shown

TOLD_SECONDS = 1.0
"""How often a stream tells of itself."""


class Stream:
    """A stream that is asked for; `run` works until its source ends, or `stop` is called.

    Parameters
    ----------
    settings : StreamSettings
        What is asked for.
    model : Model, optional
        Default: the one that the settings name.
    base : Path
        Folder that relative paths start from.
    listener : callable
        Hears of the progress: ``progress`` with stage ``stream``, rows, dead and waiting, and ``note``.

    Attributes
    ----------
    folder : StreamFolder
        Where its journal stands.

    Raises
    ------
    SettingsError
        For what cannot be asked for.
    BundleError
        For a model that is changed or not trusted.
    """

    def __init__(
        self,
        settings: StreamSettings,
        *,
        model: Model | None = None,
        base: Path | None = None,
        listener: Listener = nobody,
    ) -> None:
        """Load the model; nothing is opened yet."""
        self.settings, self._base, self._listener = settings, base or Path(), listener
        self._source, self._sink = check_places(settings)
        if model is None and not settings.model:
            raise SettingsError([Problem("model", "is required: runs/NAME, runs/NAME/ID, or a model folder")])
        if model is None:
            model = load_model(self._base / Path(settings.model).expanduser(), trusted=settings.trust)
        self._model = model
        self.scorer = Scorer(model, probabilities=settings.proba, is_strict=settings.strict)
        check_kept(self.scorer, settings.keep)
        learn_settings(settings)
        self.folder: StreamFolder = settings.place(self._base)
        self._pipeline: Pipeline | None = None
        self._tells: StreamTelling | None = None
        self._is_to_stop = False
        self._meter = Meter()
        self._inputs: InputWatch | None = None

    def stop(self) -> None:
        """Take no more; what was taken is answered, written and committed. To be called in the event loop."""
        self._is_to_stop = True
        if self._pipeline is not None:
            self._pipeline.stopping.set()

    async def run(self) -> dict[str, Any]:
        """Work.

        Returns
        -------
        dict
            ``status`` (``done``: the source has ended; ``stopped``), ``answered``, ``dead`` (records of this
            invocation), ``answered_in_all``, ``dead_in_all``, ``batches``, ``retries``, ``seconds``, ``folder``,
            ``dead_file``, ``model``.

        Raises
        ------
        DataError
            When the source or the sink fails for good; what was committed stays, and the same call goes on there.
        JournalError
            When another process holds this stream.
        """
        started = time.perf_counter()
        self.folder.make()
        try:
            commits = Commits(self.folder.journal)
        except JournalError as error:
            raise JournalError(
                f"{error} Another stream needs another --folder; where {self.folder.path} is removed, it begins anew."
            ) from error
        async with AsyncExitStack() as stack:
            stack.callback(commits.close)
            self.settings.write(self.folder.settings)
            path = self.folder.dead if self.settings.dead is None else (self._base / self.settings.dead).absolute()
            check_above(path, "--dead")
            dead = DeadLetters(path, name=commits.dead_file, n_bytes=commits.dead_bytes)
            stack.callback(dead.close)
            answerer = await stack.enter_async_context(self._answerer(commits))
            own = self._source.with_tables(tables_for(self._model)).with_folder(self.folder.path)
            source = with_labels(self.settings, own, self.folder.path / "labels")
            pipeline = self._pipeline = Pipeline(
                await stack.enter_async_context(source.open(self._base, dict(commits.offsets))),
                answerer,
                await stack.enter_async_context(self._sink.open(self._base)),
                commits=commits,
                dead=dead,
                pace=self.settings.pace,
                meter=self._meter,
                say=self._note,
                expected=self._expected,
            )
            if self._is_to_stop:
                pipeline.stopping.set()
            await stack.enter_async_context(self._telling(pipeline))
            tell(self._listener, "note", text=begun(commits.answered, self.folder.path))
            if self._inputs is not None:
                stack.enter_context(self._inputs.looking())
            totals = await pipeline.run()
            return {
                "status": "stopped" if pipeline.stopping.is_set() else "done",
                "answered": totals.answered,
                "dead": totals.dead,
                "answered_in_all": commits.answered,
                "dead_in_all": commits.dead,
                "batches": totals.batches,
                "retries": totals.retries,
                "seconds": round(time.perf_counter() - started, 3),
                "folder": str(self.folder.path),
                "dead_file": str(path) if commits.dead else None,
                "model": self._model.identity,
            }

    @property
    def _expected(self) -> dict[str, str]:
        """Columns that options name, by the option."""
        key = {"--key": self.settings.key} if self.settings.key else {}
        return {**{f"--keep {name}": name for name in self.settings.keep}, **key}

    @asynccontextmanager
    async def _answerer(self, commits: Commits) -> AsyncIterator[Answerer]:
        """Open what answers, here or on a cluster; `commits` has the state that it wanted to know again."""
        if self.settings.learn is not None:
            async with learning_with(
                self.settings,
                self._model,
                commits,
                self.folder,
                base=self._base,
                meter=self._meter,
                say=self._note,
                tell=self._told,
            ) as learning:
                yield learning
            return
        self._inputs = InputWatch(self.scorer, self._meter, tell=self._told, say=self._note)
        async with self._plain_answerer() as plain:
            yield WatchedAnswerer(plain, self._inputs)

    @asynccontextmanager
    async def _plain_answerer(self) -> AsyncIterator[Answerer]:
        """Open what answers and learns nothing."""
        if self.settings.cluster is None:
            with closing(LocalAnswerer(self.scorer, keep=self.settings.keep)) as local:
                yield local
            return
        from daskflow.workflow.streaming_cluster import answering_on

        async with answering_on(
            self.settings.cluster, self.scorer, self.settings.keep, self.folder.path, self._listener
        ) as there:
            yield there

    @asynccontextmanager
    async def _telling(self, pipeline: Pipeline) -> AsyncIterator[None]:
        """Tell once a second, and at the end, what was done: the folder's events, and whoever listens."""
        about = {
            "verb": "stream",
            "model": self._model.identity,
            "source": without_secrets(self._source.dump()),
            "sink": without_secrets(self._sink.dump()),
        }

        def second() -> dict[str, Any]:
            told = pipeline.meter.record(queue=pipeline.waiting, queue_limit=pipeline.waiting_limit)
            return {**told, "lag": pipeline.lag}

        async def go_on() -> None:
            while True:
                await asyncio.sleep(TOLD_SECONDS)
                self._tell(pipeline)

        with StreamTelling(self.folder.path, second, about=about, say=self._note) as telling:
            self._tells = telling
            task = asyncio.create_task(go_on())
            try:
                yield
            finally:
                task.cancel()
                self._tell(pipeline)

    def _tell(self, pipeline: Pipeline) -> None:
        """Tell the listener how far it is."""
        totals, waiting = pipeline.totals, pipeline.waiting
        tell(
            self._listener, "progress", stage="stream", rows=totals.answered, done=totals.answered, dead=totals.dead,
            waiting=waiting,
        )  # fmt: skip

    def _told(self, record: Mapping[str, Any]) -> None:
        """Tell those who watch of a swap, or of drift."""
        if self._tells is not None:
            self._tells.tell(record)

    def _note(self, text: str) -> None:
        """Say a sentence to the listener, and to those who watch."""
        tell(self._listener, "note", text=text)
        if self._tells is not None:
            self._tells.note(text)


def settings_of(
    model: Model | Path | str, source: Any, sink: Any, words: Mapping[str, Any]
) -> tuple[StreamSettings, Model | None]:
    """Return the settings of a call in Python, and the model where it was given itself."""
    named = {} if isinstance(model, Model) else {"model": str(model)}
    settings = StreamSettings.of({**named, "from": source, "to": sink, **words})
    return settings, model if isinstance(model, Model) else None


def stream(
    model: Model | Path | str,
    source: Any,
    sink: Any,
    *,
    base: Path | None = None,
    listener: Listener = nobody,
    **words: Any,
) -> dict[str, Any]:
    """Answer the records of a source with a model, and hand the results on to a sink, until the source ends.

    SIGTERM and Ctrl-C stop it: what was taken is still answered, written and committed. A second one ends it at once.

    Parameters
    ----------
    model : Model, path or str
        A model, a model folder, a run's folder, or ``runs/NAME``.
    source, sink : str, mapping or settings
        An address, such as ``new/``, ``-`` or ``redis://localhost/0?stream=orders``; or a table with ``kind``.
    base : Path, optional
        Folder that relative paths start from; default the current one.
    listener : callable, optional
        Hears of the progress.
    **words
        Those of `StreamSettings`, such as ``batch``, ``once`` or ``folder``.

    Returns
    -------
    dict
        As `Stream.run` says.

    Examples
    --------
    >>> import daskflow as flow  # doctest: +SKIP
    >>> flow.stream("runs/cars", "new/", "scored/", once=True)["answered"]  # doctest: +SKIP
    50
    """
    settings, given = settings_of(model, source, sink, words)
    return run_here(Stream(settings, model=given, base=base, listener=listener))


async def stream_async(
    model: Model | Path | str,
    source: Any,
    sink: Any,
    *,
    base: Path | None = None,
    listener: Listener = nobody,
    **words: Any,
) -> dict[str, Any]:
    """Do as `stream` does, in an event loop that goes on meanwhile; signals are the caller's.

    When it is cancelled it ends at once: what is not committed comes again. To end it as SIGTERM does, make a `Stream`
    and call its `stop`.
    """
    settings, given = settings_of(model, source, sink, words)
    return await Stream(settings, model=given, base=base, listener=listener).run()


def begun(answered: int, folder: Path) -> str:
    """Say that a stream begins or goes on, and where it keeps how far it has come.

    Examples
    --------
    >>> begun(0, Path("/tmp/orders"))
    'The stream has begun; /tmp/orders keeps how far it has come.'
    >>> begun(1200, Path("/tmp/orders"))
    'The stream goes on, with 1,200 records answered before; /tmp/orders keeps how far it has come.'
    """
    before = (
        "has begun" if not answered else f"goes on, with {answered:,} record{'s' * (answered != 1)} answered before"
    )
    return f"The stream {before}; {shown(folder)} keeps how far it has come."


def run_here(asked: Stream) -> dict[str, Any]:
    """Run a stream in this thread, which signals stop; errors as `Stream.run` says."""

    async def work() -> dict[str, Any]:
        with stopped_by_signals(asked):
            return await asked.run()

    return asyncio.run(work())


@contextmanager
def stopped_by_signals(asked: Stream, signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT)) -> Iterator[None]:
    """Stop a stream by a signal, and end it at once by a second; only in the main thread signals can be heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    heard = 0

    def hear() -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            asked.stop()
        elif task is not None:
            task.cancel()

    for number in signals:
        loop.add_signal_handler(number, hear)
    try:
        yield
    except asyncio.CancelledError:
        if heard < 2:
            raise
        raise KeyboardInterrupt("Ended at once. What was not committed comes again at the next start.") from None
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
