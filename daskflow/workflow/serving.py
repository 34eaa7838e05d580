"""Serving a model over HTTP: its processes, its place on the machine, and what it tells of itself."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import tomli_w

from daskflow.bundle import Model, files, write
from daskflow.core.access import new_token, seal_of
from daskflow.core.errors import BundleError, DaskflowError, SettingsError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.journal import Journal, plain, write_atomically
from daskflow.streams.seconds import merged
from daskflow.streams.serve_watching import ServeWatch
from daskflow.streams.telling import StreamTelling
from daskflow.workflow.serving_settings import ServeSettings, listener_of

if TYPE_CHECKING:
    from daskflow.streams.serve_processes import Processes

NEEDS = ("starlette", "uvicorn", "httptools", "uvloop", "orjson")
INSTALL = "pip install 'daskflow[serve]'"

TOLD_SECONDS = 1.0
WATCH_SECONDS = 2.0
"""How often a folder is looked at for a newer model."""


class Server:
    """A model served over HTTP until the block is left: ``with Server("runs/cars") as server``, or ``async with``.

    Parameters
    ----------
    model : Model, path or str
        A model folder, a run's folder, ``runs/NAME`` for its latest run, or a model.
    listener : callable
        Hears ``note`` and ``warning``.
    **words
        Those of `ServeSettings`, such as ``port``, ``workers`` or ``token_file``.

    Attributes
    ----------
    url : str
        Where it listens.
    token : str or None
        What clients must show; None where they need not.
    swap_token : str
        What those must show who name another model by ``POST /swap``.
    folder : Path
        Where it tells what it does; ``access.json`` in it holds the address and the tokens, for its owner only.
    identity : str
        Of the model that answers.

    Raises
    ------
    SettingsError
        For what cannot be asked for, an address in use, or libraries that are not installed.
    BundleError
        For a model that is changed, not trusted, or cannot answer.
    """

    def __init__(self, model: Model | Path | str, *, listener: Listener = nobody, **words: Any) -> None:
        """Check what is asked for; nothing is opened yet."""
        missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
        if missing:
            raise SettingsError(f"Serving needs {', '.join(missing)}: {INSTALL}")
        self._given = model if isinstance(model, Model) else None
        named = "(a model of this program)" if self._given is not None else str(model)
        self.settings = ServeSettings(**{"model": named, **words})
        self.settings.check()
        if self._given is None:
            files.find(Path(os.path.expanduser(self.settings.model)))
        self._listener = listener
        self.token = self.settings.token(new_token)
        self.swap_token = new_token()
        self.url, self.folder = "", Path()
        self._stack = ExitStack()
        self._processes: Processes | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._telling: StreamTelling | None = None
        self._moved: ServeWatch | None = None
        self._journal: Journal | None = None
        self._thread: threading.Thread | None = None
        self._end: Callable[[], Any] = lambda: None

    @property
    def identity(self) -> str:
        """Of the model that answers."""
        return "" if self._processes is None else self._processes.identity

    async def __aenter__(self) -> Self:
        """Listen, and start the processes; they answer when this returns."""
        from daskflow.streams.serve_processes import Orders, Processes
        from daskflow.streams.serve_protocol import BACKLOG

        settings = self.settings
        try:
            listener = self._stack.enter_context(listener_of(settings.host, settings.port, BACKLOG))
            port = listener.getsockname()[1]
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            self.url = f"{'https' if settings.tls else 'http'}://{host}:{port}"
            place = self._place(port)
            place.make()
            self.folder = place.path
            self._journal = self._stack.enter_context(Journal(place.journal))
            about = {"verb": "serve", "model": settings.model, "source": self.url}
            self._telling = self._stack.enter_context(StreamTelling(place.path, about=about, say=self._note))
            write_atomically(place.settings, tomli_w.dumps(plain(settings.dump())).encode())
            orders = Orders(
                self._model_place(),
                settings.trust,
                settings.workers,
                settings.limits,
                seal_of(self.token) if self.token else "",
                seal_of(self.swap_token),
                settings.strict,
                settings.proba,
                settings.drain,
                settings.tls,
                is_local=not self.token and not settings.insecure_behind_proxy,
                stuck_seconds=settings.stuck_seconds,
            )
            watch = self._moved = ServeWatch(tell=self._telling.tell, say=self._say)
            self._stack.callback(watch.end)
            self._processes = Processes(orders, listener, place.path, say=self._heard, watch=watch)
            await self._processes.start()
            self._write_access(place.access)
        except BaseException as error:
            if self._telling is not None:
                self._telling.end("failed", str(error))
            if self.identity:  # the processes run already
                assert self._processes is not None
                await self._processes.drain(0.0)
            self._stack.close()
            raise
        self._journal.append({"record": "serve", "what": "started", "identity": self.identity, "url": self.url})
        self._tasks = [asyncio.create_task(self._tell_seconds())]
        if settings.watch is not None:
            self._tasks.append(asyncio.create_task(self._watch(Path(os.path.expanduser(settings.watch)))))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more requests, finish those in flight, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._processes is not None
        assert self._journal is not None
        try:
            await self._processes.drain()
            if self._moved is not None:
                await asyncio.to_thread(self._moved.end)
            self._tell_now()
            self._journal.append({"record": "serve", "what": "ended", "rows": self._processes.counted()["rows"]})
        finally:
            (self.folder / "access.json").unlink(missing_ok=True)
            self._stack.close()

    def __enter__(self) -> Self:
        """Do as ``async with``, in a thread of its own."""
        begun = threading.Event()
        failed: list[BaseException] = []

        async def run() -> None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            self._end = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(ended.set)
            try:
                async with self:
                    begun.set()
                    await ended.wait()
            except BaseException as error:
                failed.append(error)
            finally:
                begun.set()

        self._thread = threading.Thread(target=lambda: asyncio.run(run()), name="daskflow-serve", daemon=True)
        self._thread.start()
        begun.wait()
        if failed:
            raise failed[0]
        self._failed = failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do as ``async with``."""
        self._end()
        assert self._thread is not None
        self._thread.join()
        if self._failed and error is None:
            raise self._failed[0]

    async def swap(self, model: Path | str | None = None, *, by: str = "call") -> str:
        """Put another model in the place of the one that answers, in the server's event loop; return its identity.

        Parameters
        ----------
        model : path, optional
            Its folder or that of a run; default where the first one came from, as it is now.
        by : str
            Who asks, for the journal.

        Raises
        ------
        BundleError
            When it cannot be read or cannot take the old one's place; the old one goes on.
        """
        assert self._processes is not None
        return await self._processes.swap(None if model is None else Path(model), by=by)

    def _place(self, port: int) -> Any:
        if self._given is None or self.settings.folder is not None:
            return self.settings.place(port)
        from daskflow.streams.stream_folder import StreamFolder

        return StreamFolder(Path.cwd() / "streams" / f"serve-{port}")

    def _model_place(self) -> Path:
        """Folder of the model; one that is only in memory is written there."""
        if self._given is None:
            return Path(os.path.expanduser(self.settings.model)).absolute()
        model, place = self._given, self.folder / "model"
        write(
            place,
            estimator=model.estimator,
            transformer=model.transformer,
            schema=model.schema,
            target=model.target,
            card=model.card,
            joins=model.joins,
            decision=model.decision,
        )
        return place

    def _write_access(self, path: Path) -> None:
        """Write where it listens, and the tokens, for the owner's eyes only."""
        told = {"url": self.url, "token": self.token, "swap_token": self.swap_token, "pid": os.getpid()}
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(told, file)
        os.replace(temporary, path)

    def _heard(self, record: Mapping[str, Any]) -> None:
        """Keep what happens to the processes."""
        what = record["what"]
        if what == "warning":
            tell(self._listener, "warning", text=record["text"])
            return
        if self._journal is not None:
            self._journal.append({"record": "serve", **record})
        if what == "swapped" and self._telling is not None:
            by = str(record["by"])
            self._telling.swap(record["identity"], before=record["before"], why="a newer model was named", by=by)
            if record["identity"] != record["before"]:
                self._note(f"Model {record['identity'][:12]} answers in the place of {record['before'][:12]}.")
            else:
                self._note(f"Model {record['identity'][:12]} was read again; it is the same.")
        elif what == "refused":
            self._warn(f"The model {record['identity'][:12]} goes on: {record['text']}")
        elif what == "died":
            self._warn(f"A worker process ended ({record['code']}) and is started again. {record['text']}".strip())

    def _say(self, text: str) -> None:
        """Say a sentence to those who watch, too."""
        if self._telling is not None:
            self._telling.note(text)
        self._note(text)

    def _note(self, text: str) -> None:
        tell(self._listener, "note", text=text)

    def _warn(self, text: str) -> None:
        if self._telling is not None:
            self._telling.warning(text)
        tell(self._listener, "warning", text=text)

    async def _tell_seconds(self) -> None:
        while True:
            await asyncio.sleep(TOLD_SECONDS)
            self._tell_now()

    def _tell_now(self) -> None:
        """Tell what all processes did since the last time."""
        assert self._processes is not None
        assert self._telling is not None
        record = merged(self._processes.recent())
        limit = self.settings.queue * self.settings.workers
        queue = self._processes.counted()["queue"]
        drift = {} if self._moved is None else self._moved.values()
        told = {"queue": queue, "queue_limit": limit, "champion": self.identity, "drift": drift}
        self._telling.tell({**record, **told})

    async def _watch(self, place: Path) -> None:
        """Look for a newer model, for ever; one that was refused is not tried again."""
        seen = await asyncio.to_thread(newest, place)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(OSError):
                found = await asyncio.to_thread(newest, place)
                if found is None or found == seen:
                    continue
                seen = found
                with suppress(DaskflowError):  # told by the processes
                    await self.swap(found[0], by="watch")


def newest(place: Path) -> tuple[Path, str] | None:
    """Return the newest model of a place and what tells it from others; None where there is none.

    Parameters
    ----------
    place : Path
        A model folder, a run's, ``runs/NAME`` (its latest run), or a folder of model folders (the one written last).
    """
    found: list[tuple[int, Path]] = []
    candidates = [place]
    if place.is_dir():
        candidates += [each for each in sorted(place.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    for each in candidates:
        try:
            folder = files.find(each)
            found.append(((folder / files.CHECKSUMS).stat().st_mtime_ns, folder))
        except (BundleError, OSError):
            continue
        if each == place:
            break
    if not found:
        return None
    _, folder = max(found)
    return folder, (folder / files.CHECKSUMS).read_text(encoding="utf-8", errors="replace")


def serve(
    model: Model | Path | str,
    *,
    listener: Listener = nobody,
    started: Callable[[Server], None] | None = None,
    **words: Any,
) -> dict[str, Any]:
    """Serve a model over HTTP until SIGTERM or Ctrl-C, which let what is in flight finish.

    SIGHUP puts the model that stands now where the first one came from in its place. Parameters and errors are those of
    `Server`.

    Parameters
    ----------
    model : Model, path or str
        A model folder, a run's folder, ``runs/NAME`` for its latest run, or a model.
    listener : callable
        Hears ``note`` and ``warning``.
    started : callable, optional
        Called with the server when it answers.
    **words
        Those of `ServeSettings`, such as ``port``, ``workers`` or ``token_file``.

    Returns
    -------
    dict
        ``url``, ``rows`` and ``requests`` (answered), ``model`` (identity of the last one), ``folder``.

    Examples
    --------
    >>> import daskflow as flow  # doctest: +SKIP
    >>> flow.serve("runs/cars", port=8000)  # doctest: +SKIP
    """
    return asyncio.run(serve_async(model, listener=listener, started=started, **words))


async def serve_async(
    model: Model | Path | str,
    *,
    listener: Listener = nobody,
    started: Callable[[Server], None] | None = None,
    **words: Any,
) -> dict[str, Any]:
    """Do as `serve` does, in an event loop that goes on meanwhile; cancelled, it drains and ends.

    Outside the main thread it hears no signals.
    """
    server = Server(model, listener=listener, **words)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    swaps: set[asyncio.Task[None]] = set()

    async def swap() -> None:
        with suppress(DaskflowError):  # told by the processes
            await server.swap(by="SIGHUP")

    def hang_up() -> None:
        task = asyncio.create_task(swap())
        swaps.add(task)
        task.add_done_callback(swaps.discard)

    heard = {signal.SIGTERM: ended.set, signal.SIGINT: ended.set, signal.SIGHUP: hang_up}
    hears = threading.current_thread() is threading.main_thread()
    async with server:
        if hears:
            for number, function in heard.items():
                loop.add_signal_handler(number, function)
        try:
            if started is not None:
                started(server)
            await ended.wait()
        finally:
            if hears:
                for number in heard:
                    loop.remove_signal_handler(number)
    assert server._processes is not None
    counted = server._processes.counted()
    return {
        "url": server.url,
        "requests": sum(counted["codes"].values()),
        "rows": counted["rows"],
        "model": server.identity,
        "folder": str(server.folder),
    }
