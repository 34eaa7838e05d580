"""Everything a served model answers beside predictions: health, metrics, its schema, its documents, and a swap."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from daskflow.core.access import granted
from daskflow.core.errors import DaskflowError
from daskflow.core.settings import nearest
from daskflow.streams.serve_admission import check_origin, unauthorised
from daskflow.streams.serve_counts import prometheus
from daskflow.streams.serve_limits import MALFORMED, SIZE, Refusal
from daskflow.streams.serve_openapi import document, page

if TYPE_CHECKING:
    from daskflow.streams.serve_app import App

PATHS = ("/predict", "/health", "/ready", "/metrics", "/openapi.json", "/docs", "/schema", "/swap")

MOST_SWAP_BYTES = 16_384
"""Of the body that names a model."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
"""What the page of documents may do: ask where it came from, and nothing else."""

Handler = Callable[[Request], Awaitable[Response]]


def pages(app: App) -> Starlette:
    """Return the application of all paths but ``POST /predict``."""

    async def health(request: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(request: Request) -> Response:
        why = app.why_not_ready()
        return _json(
            {"ready": not why, "model": app.served.identity, **({"why": why} if why else {})}, 503 if why else 200
        )

    async def metrics(request: Request) -> Response:
        _check(request, app.seal)
        values = await app.totals()
        text = prometheus(values, app.served.identity, is_ready=not app.why_not_ready(), started=app.started)
        return PlainTextResponse(text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    async def schema(request: Request) -> Response:
        _check(request, app.seal)
        served = app.served
        return _json(
            {
                "model": served.identity,
                "target": served.model.target.name,
                "task": served.model.task,
                "classes": list(served.model.classes),
                "columns": served.scorer.columns.dump(),
            }
        )

    async def openapi(request: Request) -> Response:
        _check(request, app.seal)
        return _json(document(app.served, app.limits, has_token=bool(app.seal)))

    async def docs(request: Request) -> Response:
        if app.seal and not granted(app.seal, query=request.query_params.getlist("token")):  # for browsers
            _check(request, app.seal)
        text = page(app.served, app.limits, has_token=bool(app.seal))
        return HTMLResponse(text, headers={"content-security-policy": POLICY, "referrer-policy": "no-referrer"})

    async def swap(request: Request) -> Response:
        check_origin(request.scope, is_local=app.is_local)
        if not app.swap_seal:
            raise Refusal(
                403, "token", "this server takes no other model over HTTP: it was started without a token for it"
            )
        _check(request, app.swap_seal)
        path = _place_in(await _short_body(request))
        before = app.served.identity
        try:
            identity = await app.swap(path)
        except DaskflowError as error:
            raise Refusal(409, "model", str(error)) from error
        return _json({"model": identity, "before": before})

    def of(path: str, handler: Handler, method: str = "GET") -> Route:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except Refusal as refusal:
                return refused(refusal)

        return Route(path, guarded, methods=[method])

    async def never(request: Request) -> Response:
        raise AssertionError("POST /predict is answered before")  # pragma: no cover

    async def mistaken(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return refused(
                Refusal(404, "path", f"there is no {request.url.path[:100]}{nearest(request.url.path, PATHS)}")
            )
        words = f"{request.url.path} does not answer {request.method}: see Allow"
        return refused(Refusal(error.status_code, "method", words, error.headers or {}))

    routes = [
        of("/predict", never, "POST"),
        of("/health", health),
        of("/ready", ready),
        of("/metrics", metrics),
        of("/openapi.json", openapi),
        of("/docs", docs),
        of("/schema", schema),
        of("/swap", swap, "POST"),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await app.close()

    return Starlette(routes=routes, exception_handlers={HTTPException: mistaken}, lifespan=lifespan)


def refused(refusal: Refusal) -> Response:
    """Return a refusal as an answer."""
    told = {"error": {"reason": refusal.reason, "message": refusal.words}}
    return Response(orjson.dumps(told), refusal.status, dict(refusal.headers), "application/json")


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _check(request: Request, seal: str) -> None:
    """Refuse whoever does not show the token that belongs to a seal."""
    if seal and not granted(seal, authorization=request.headers.get("authorization")):
        raise unauthorised()


async def _short_body(request: Request) -> bytes:
    """Receive a body of a few bytes."""
    parts = []
    async for part in request.stream():
        parts.append(part)
        if sum(map(len, parts)) > MOST_SWAP_BYTES:
            raise Refusal(413, SIZE, f"the body may have {MOST_SWAP_BYTES:,} bytes")
    return b"".join(parts)


def _place_in(body: bytes) -> Path | None:
    """The folder that the body of a swap names; None for where the model came from."""
    try:
        given = orjson.loads(body) if body else {}
    except ValueError as error:
        raise Refusal(400, MALFORMED, f"the body is not JSON: {error}") from None
    path = given.get("path") if isinstance(given, dict) else None
    is_right = isinstance(given, dict) and set(given) <= {"path"} and (not given or isinstance(path, str))
    if not is_right or (isinstance(path, str) and (not path or "\0" in path)):
        raise Refusal(400, MALFORMED, 'the body is {"path": "FOLDER"}, or empty for where the model came from')
    return Path(path) if path else None
