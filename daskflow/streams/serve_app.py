"""Application that answers requests to a model: ASGI, for daskflow's own server or any other one.

``POST /predict`` is answered without a framework between: each microsecond counts there. The rest is Starlette's.
"""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from daskflow.bundle import Model, load_model
from daskflow.core.access import granted, seal_of
from daskflow.core.errors import BundleError
from daskflow.streams.drift_inputs import Watched
from daskflow.streams.serve_admission import check_origin, unauthorised
from daskflow.streams.serve_arrow import ARROW, bytes_of, table_of
from daskflow.streams.serve_batching import Batcher
from daskflow.streams.serve_counts import Counts, Values
from daskflow.streams.serve_limits import MALFORMED, STUCK, TYPE, Gone, Limits, Refusal, too_busy, too_large
from daskflow.streams.serve_models import Served, successor
from daskflow.streams.serve_refusing import send_before_the_body
from daskflow.streams.serve_watching import WatchedHere

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_TYPE = b"application/json"
ARROW_TYPE = ARROW.encode()

PASSED_OVER = frozenset(
    {b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection", b"cache-control"}
)
"""Headers that most clients send, and that say nothing here."""


class App:
    """Answers requests to one model.

    Parameters
    ----------
    served : Served
        The model; `use` puts another in its place.
    limits : Limits
        See there.
    seal : str
        Of the token that clients show; empty for none. See `core.access`.
    swap_seal : str
        Of the token by which a client may name another model; empty for nobody.
    is_local : bool
        Whether web pages may ask only by this machine's own names, ``localhost`` or an address: any other name may be
        one that somebody lets point here.
    load : callable
        Loads a model of which a client names the folder.
    drift : callable, optional
        Hears of each alarm of a column that moves, in a thread: a record ``drift`` of `core.live`. None, the default:
        the rows are not watched in this process.

    Attributes
    ----------
    is_ready : bool
        Whether requests are taken; put to False when the server is about to stop.
    totals : callable
        Counts over all processes; default this one's.
    swap : callable
        Puts the model of a folder in the place of the one that answers and returns its identity; default in this
        process.
    """

    def __init__(
        self,
        served: Served,
        limits: Limits | None = None,
        *,
        seal: str = "",
        swap_seal: str = "",
        is_local: bool = False,
        load: Callable[[Path], Model] = load_model,
        drift: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        """Begin with nothing counted."""
        from daskflow.streams.serve_pages import pages

        self.limits = limits or Limits()
        self.counts = Counts()
        self.batcher = Batcher(served, self.limits, self.counts)
        self.seal, self.swap_seal, self.is_local = seal, swap_seal, is_local
        self.started = time.time()
        self.is_ready = True
        self.totals: Callable[[], Awaitable[Values]] = self._own_counts
        self.swap: Callable[[Path | None], Awaitable[str]] = self._swap_here
        self._load = load
        self._watched = None if drift is None else WatchedHere(drift)
        if self._watched is not None:
            self.batcher.sample = self._watched
            self._watched.begin(Watched.of(served.scorer), served.identity)
        self._held, self._most_held, self._max_bytes = 0, self.limits.most_held, self.limits.max_bytes
        self._swapping = asyncio.Lock()
        self._pages = pages(self)

    @property
    def served(self) -> Served:
        """The model that answers now."""
        return self.batcher.served

    def use(self, served: Served) -> None:
        """Put another model in the place of the one that answers; requests that wait are answered by it."""
        self.batcher.served = served
        self.counts.swaps += 1
        if self._watched is not None:
            self._watched.begin(Watched.of(served.scorer), served.identity)

    async def close(self) -> None:
        """Look once more at the rows that are watched, and end; ASGI's lifespan does so."""
        if self._watched is not None:
            await self._watched.end()

    def why_not_ready(self) -> str:
        """Return why requests should go elsewhere, in a word; empty when they need not."""
        if not self.is_ready:
            return "draining"
        return STUCK if self.batcher.is_stuck else ""

    async def _own_counts(self) -> Values:
        self.counts.queue = self.batcher.waiting
        moved = {} if self._watched is None else {"drift": self._watched.values()}
        return {**self.counts.dump(), **moved}

    async def _swap_here(self, path: Path | None) -> str:
        if path is None:
            raise BundleError("Say which model: this server does not know where its own came from.")
        async with self._swapping:
            found = await asyncio.to_thread(successor, path, self.served, self._load)
            self.use(found)
        return found.identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI says."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            root = scope.get("root_path", "")
            if (path.removeprefix(root) if root else path) == "/predict":
                await self._predict(scope, receive, send)
                return
        await self._pages(scope, receive, send)

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer ``POST /predict``."""
        began = time.perf_counter()
        kind = JSON_TYPE
        more: tuple[tuple[bytes, bytes], ...] = ()
        n_held, has_more = 0, True
        try:
            is_table, length = self._checked(scope)
            has_more = False
            # Mostly the body came with the headers: then it is had by one step, without a timer and without a turn.
            body, coming = _at_once(receive)
            if coming is not None:
                body = await self._body(coming, receive, length)
            else:
                self._hold(len(body), 0)
            n_held = len(body)
            if is_table:
                status, payload = await self._of_table(body)
                kind = ARROW_TYPE if status == 200 else kind
            else:
                rows = rows_of(body)
                # Numbers are taken out while they are near at hand; the objects they came in need not wait with them.
                packed = self.batcher.served.pack(rows)
                asked = rows if packed is None else packed
                n_rows, rows = len(rows), []
                served, found, is_whole = await self.batcher.ask(asked, n_rows, partial(rows_of, body))
                status = 200 if is_whole or not found or not all("error" in answer for answer in found) else 422
                payload = b"".join((served.head, orjson.dumps(found), b"}"))
        except Refusal as refusal:
            status, payload = refusal.status, said(refusal)
            more = tuple((name.encode(), value.encode()) for name, value in refusal.headers.items())
            self.counts.problems[refusal.reason] += 1
            has_more = has_more or refusal.has_more
        except Gone:
            self.counts.problems["gone"] += 1
            return
        finally:
            self._held -= n_held
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(payload)), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        self.counts.request(status, time.perf_counter() - began)
        if has_more:
            await send_before_the_body(receive, send, payload, self.limits.timeout_seconds)
        else:
            await send({"type": "http.response.body", "body": payload})

    def _checked(self, scope: Scope) -> tuple[bool, int]:
        """Return whether the body is a table, and its length (0 where not said), as the headers say."""
        kind = encoding = authorization = b""
        length = 0
        is_page = False
        for name, value in scope["headers"]:
            if name in PASSED_OVER:
                continue
            if name == b"content-type":
                kind = value
            elif name == b"content-length":
                length = int(value) if value.isdigit() else 0
            elif name == b"authorization":
                authorization = value
            elif name == b"content-encoding":
                encoding = value
            elif name == b"origin" or name.startswith(b"sec-fetch-"):
                is_page = True
        if self.seal and not granted(self.seal, authorization=authorization.decode("latin-1")):
            raise unauthorised()
        if is_page:
            check_origin(scope, is_local=self.is_local)
        if encoding and encoding != b"identity":
            raise Refusal(415, TYPE, "bodies are not compressed: leave out Content-Encoding")
        if kind != JSON_TYPE:
            kind = kind.partition(b";")[0].strip().lower()
            if kind not in (JSON_TYPE, ARROW_TYPE):
                told = f"it is {kind.decode('latin-1')[:60]}" if kind else "it is not said"
                raise Refusal(415, TYPE, f"the Content-Type is {JSON_TYPE.decode()} or {ARROW} ({told})")
        if length > self._max_bytes:
            raise too_large(self.limits, length)
        return kind == ARROW_TYPE, length

    async def _body(self, coming: Awaitable[Any], receive: Receive, length: int) -> bytes:
        """Receive the rest of a body, whose first message is `coming`, and return it whole; it is held then."""
        n_held = 0
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                message = await coming
                while True:
                    if message["type"] != "http.request":
                        raise Gone
                    parts.append(message.get("body", b""))
                    self._hold(len(parts[-1]), n_held)
                    n_held += len(parts[-1])
                    if not message.get("more_body", False):
                        return b"".join(parts)
                    message = await receive()
        except BaseException as error:
            self._held -= n_held
            if isinstance(error, Refusal):
                error.has_more = bool(message.get("more_body", False))
            if not isinstance(error, TimeoutError):
                raise
            raise Refusal(
                408,
                "slow",
                f"the body did not arrive in {self.limits.timeout_seconds:g} s"
                + (f": {n_held:,} of {length:,} bytes did" if length else ""),
                {"connection": "close"},
            ) from None

    def _hold(self, n_bytes: int, before: int) -> None:
        """Hold more bytes of a body; `before` are held of it."""
        if before + n_bytes > self._max_bytes:
            raise too_large(self.limits)
        if self._held + n_bytes > self._most_held:
            raise too_busy(f"the bodies of other requests have {self._held - before:,} bytes already")
        self._held += n_bytes

    async def _of_table(self, body: bytes) -> tuple[int, bytes]:
        """Answer a body of Arrow."""
        columns = self.served.scorer.columns.names
        table = table_of(body, columns, self.limits)
        _, answers, _ = await self.batcher.ask(table, max(1, table.num_rows))
        if table.num_rows and not len(answers.places):
            _, (reason, words) = next(iter(answers.problems.items()))
            raise Refusal(422, reason, f"no row could be answered; the first: {words}")
        return 200, bytes_of(answers)


def _at_once(receive: Receive) -> tuple[bytes, Awaitable[Any] | None]:
    """Return a body that is there whole, and None; else what waits for its first message."""
    receiving: Any = receive()
    if type(receiving) is not types.CoroutineType:
        return b"", receiving
    try:
        waited = receiving.send(None)
    except StopIteration as done:
        message = done.value
        if message["type"] == "http.request" and not message.get("more_body", False):
            return message.get("body", b""), None
        return b"", _had(message)
    return b"", _going_on(receiving, waited)


async def _had(message: Any) -> Any:
    """Return a message that is there."""
    return message


@types.coroutine
def _going_on(begun: Any, waited: Any) -> Generator[Any, Any, Any]:
    """Await a coroutine that has made its first step, and waits for something."""
    while True:
        try:
            sent = yield waited
        except BaseException as error:
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, sent)
        try:
            waited = step()
        except StopIteration as done:
            return done.value


def rows_of(body: bytes) -> list[Any]:
    """Return the rows of a body in JSON.

    Raises
    ------
    Refusal
        400 for what is not JSON, or has another form than ``{"rows": [{...}, ...]}`` or ``{"row": {...}}``.

    Examples
    --------
    >>> rows_of(b'{"row": {"a": 1}}')
    [{'a': 1}]
    """
    try:
        given = orjson.loads(body)
    except ValueError as error:
        words = f"the body is not JSON: {error}" if body else "there is no body"
        raise Refusal(400, MALFORMED, words) from None
    if type(given) is dict and len(given) == 1:
        rows = given.get("rows")
        if type(rows) is list:
            return rows
        row = given.get("row")
        if type(row) is dict:
            return [row]
    raise Refusal(400, MALFORMED, 'the body is {"rows": [{...}, ...]} or {"row": {...}}, and holds nothing else')


def said(refusal: Refusal) -> bytes:
    """Return a refusal as the body of an answer."""
    return orjson.dumps({"error": {"reason": refusal.reason, "message": refusal.words}})


def app(
    model: Model | str | Path,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    swap_token: str | None = None,
    is_strict: bool = False,
    probabilities: bool = True,
    trusted: tuple[str, ...] = (),
    drift: Callable[[Mapping[str, Any]], None] | None = None,
) -> App:
    """Return an ASGI application that answers requests to a model, for a server of your own.

    Parameters
    ----------
    model : Model or path
        Loaded, or a folder as `load_model` takes it.
    limits : Limits, optional
        Of rows, bytes and times.
    token : str, optional
        Clients must show it. None, the default: anybody who reaches the server may ask.
    swap_token : str, optional
        Who shows it may put another model in the place of this one by ``POST /swap``. None: nobody.
    is_strict : bool
        Whether rows with names that are no columns are refused; default they are passed over.
    probabilities : bool
        Whether answers have ``probability_LABEL``.
    trusted : tuple of str
        As for `load_model`.
    drift : callable, optional
        Hears of each alarm of a column that moves, in a thread: a record ``drift`` as in a stream's events. The rows
        that this process answers are watched then. None, the default: they are not.

    Raises
    ------
    BundleError
        When the model cannot be loaded, or cannot answer.

    Examples
    --------
    >>> import daskflow as flow  # doctest: +SKIP
    >>> application = app(flow.load_model("runs/cars"))  # doctest: +SKIP
    """

    def load(path: Path) -> Model:
        return load_model(path, trusted=trusted)

    loaded = model if isinstance(model, Model) else load(Path(model))
    served = Served(loaded, is_strict=is_strict, probabilities=probabilities).tried()
    return App(
        served,
        limits,
        seal=seal_of(token) if token else "",
        swap_seal=seal_of(swap_token) if swap_token else "",
        load=load,
        drift=drift,
    )
