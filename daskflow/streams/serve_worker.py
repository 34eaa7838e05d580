"""Worker process of a server: it loads the model, answers requests on a socket that all share, and heeds the server.

It is started as ``python -m daskflow.streams.serve_worker FD``, where FD is its end of the wire.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from daskflow.bundle import Model, load_model
from daskflow.core.errors import BundleError, DaskflowError
from daskflow.core.warned import gathered
from daskflow.streams.drift_inputs import Watched
from daskflow.streams.serve_counts import Values
from daskflow.streams.serve_limits import Limits
from daskflow.streams.serve_wire import Wire

TELL_SECONDS = 1.0
"""So often the server hears what was counted."""


class Worker:
    """What a worker process does.

    Parameters
    ----------
    given : mapping
        What the server says at the start: ``fd`` of the listening socket, ``model``, ``trusted``, ``limits``, ``seal``,
        ``swap_seal``, ``is_strict``, ``probabilities``, ``drain_seconds``, ``tls`` (paths of certificate and key, or
        None), ``started``, ``workers`` (how many processes there are).
    """

    def __init__(self, given: Mapping[str, Any], wire: Wire) -> None:
        """Nothing is loaded yet."""
        self._given, self._wire = given, wire
        self._next: Any = None
        self._server: Any = None
        self._app: Any = None
        self._sample: Any = None

    def _load(self, path: Path) -> Model:
        return load_model(path, trusted=self._given["trusted"])

    def _first(self) -> tuple[Model, list[str]]:
        """Load the first model; return it with what was warned of, which only the thread that loads it hears."""
        with gathered(UserWarning) as said:
            model = self._load(Path(self._given["model"]))
        return model, [str(each.message) for each in said]

    async def run(self) -> None:
        """Load, serve until told to stop, finish what is in flight."""
        from daskflow.streams.serve_app import App
        from daskflow.streams.serve_models import Served
        from daskflow.streams.serve_protocol import listening, look_after, settle
        from daskflow.streams.serve_sampling import MOST_ROWS, Sample

        given = self._given
        try:
            model, warned = await asyncio.to_thread(self._first)
            served = Served(model, is_strict=given["is_strict"], probabilities=given["probabilities"])
            await asyncio.to_thread(served.tried)
            limits = Limits(**given["limits"])
            self._app = App(
                served,
                limits,
                seal=given["seal"],
                swap_seal=given["swap_seal"],
                is_local=given["is_local"],
                load=self._load,
            )
            self._app.batcher.sample = self._sample = Sample(MOST_ROWS // given["workers"])
            self._sample.begin(Watched.of(served.scorer), served.identity)
            self._app.started = given["started"]
            self._app.totals, self._app.swap = self._totals, self._swap
            self._server = listening(self._app, limits.timeout_seconds, given["drain_seconds"], given["tls"])
        except (DaskflowError, OSError, ssl.SSLError) as error:
            self._wire.tell("failed", words=str(error))
            return
        settle()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        sockets = [socket.socket(fileno=given["fd"])]
        telling = [asyncio.create_task(self._tell()), asyncio.create_task(self._until_alone())]
        telling.append(asyncio.create_task(look_after(self._server.server_state.connections, limits.timeout_seconds)))
        telling.append(asyncio.create_task(self._say_ready(warned)))
        await self._server._serve(sockets)
        for task in telling:
            task.cancel()
        with suppress(ConnectionError):
            await self._wire.ask("ended", **self._told())

    async def _say_ready(self, warned: list[str]) -> None:
        while not self._server.started:
            await asyncio.sleep(0.01)
        served = self._app.served
        watched = Watched.of(served.scorer).dump()
        self._wire.tell("ready", identity=served.identity, warnings=warned, watched=watched)

    def _drain(self) -> None:
        """Take no more requests, and end when those in flight are answered."""
        if self._app is not None:
            self._app.is_ready = False
        if self._server is not None:
            self._server.should_exit = True
        else:
            os._exit(0)

    async def _until_alone(self) -> None:
        """Stop when the server is gone."""
        await self._wire.closed.wait()
        self._drain()

    def _counted(self) -> Values:
        counts = self._app.counts
        counts.queue = self._app.batcher.waiting
        counted: Values = counts.dump()
        return counted

    def _told(self) -> Mapping[str, Any]:
        """What the server hears each second."""
        return {
            "counts": self._counted(),
            "recent": self._app.counts.recent(),
            "sample": self._sample.taken(),
            "computing": self._app.batcher.computing_seconds,
        }

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self._wire.tell("counts", **self._told())

    async def _totals(self) -> Values:
        """Counts of all processes: one's own as they are, the others' as they were a second ago at most."""
        answer: Values = dict((await self._wire.ask("totals", counts=self._counted()))["counts"])
        return answer

    async def _swap(self, path: Path | None) -> str:
        """Let the server put another model in the place of this one, in all processes."""
        answer = await self._wire.ask("swap", path=None if path is None else str(path))
        if answer["words"]:
            raise BundleError(answer["words"])
        return str(answer["identity"])

    async def answer(self, word: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what the server says."""
        from daskflow.streams.serve_models import successor

        if word == "load":
            try:
                self._next = await asyncio.to_thread(successor, Path(fields["path"]), self._app.served, self._load)
            except DaskflowError as error:
                return {"words": str(error)}
            except Exception as error:
                return {"words": f"The model at {fields['path']} cannot be loaded: {type(error).__name__}: {error}."}
            watched = Watched.of(self._next.scorer).dump()
            return {"words": "", "identity": self._next.identity, "watched": watched}
        if word == "use":
            if self._next is not None:
                self._app.use(self._next)
                self._sample.begin(Watched.of(self._next.scorer), self._next.identity)
                self._next = None
            return {"identity": self._app.served.identity}
        if word == "forget":
            self._next = None
        if word == "drain":
            self._drain()
        if word == "give up":
            self._app.is_ready = False
            self._app.batcher.give_up()
            self._drain()
        return {}


async def work(end: socket.socket) -> None:
    """Hear what is to be done, and do it."""
    worker: Worker | None = None
    begun: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    async def answer(word: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        if word == "begin":
            begun.set_result(fields)
            return {}
        return {} if worker is None else await worker.answer(word, fields)

    wire = Wire(answer)
    await wire.open(end)
    alone = asyncio.ensure_future(wire.closed.wait())
    either: list[asyncio.Future[Any]] = [begun, alone]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if begun.done():
        worker = Worker(begun.result(), wire)
        await worker.run()
    await wire.close()


def main() -> None:
    """Be a worker process."""
    import uvloop

    with suppress(KeyboardInterrupt):
        uvloop.run(work(socket.socket(fileno=int(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)  # a model that computes without end keeps nobody waiting


if __name__ == "__main__":
    main()
