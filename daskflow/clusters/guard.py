"""Guard: everything that a Dask process serves over HTTP, behind a token: pages, numbers, files and websockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler, stream_request_body

from daskflow.core.access import cookie_flags, cookie_name, granted, is_foreign, onward, refusal, seal_of, without_token

SEAL = "daskflow.dashboard.seal"
"""Under this name Dask's configuration holds the seal of a cluster's token; workers get it with their configuration."""

HOW = "Open it by the link with a token that the run printed, or by client.dashboard_link."


def guard(server: Any, seal: str, allowed_origins: Sequence[str] = ()) -> None:
    """Refuse every request to a scheduler's or worker's web server that does not show the token.

    A request that shows it in its address is answered with a cookie, so that the pages' own links work. Pages of other
    places are refused even with the cookie, which browsers send along without asking.

    Parameters
    ----------
    server : distributed.Scheduler or distributed.Worker
        Whose ``http_application`` has been made.
    seal : str
        Of the token, see `core.access`.
    allowed_origins : sequence of str
        Names with ports that a proxy serves the pages under.
    """
    application = server.http_application
    serve: Callable[..., Any] = application.find_handler

    def find_handler(request: HTTPServerRequest, **options: Any) -> Any:
        headers = request.headers
        if is_foreign(str(request.method), headers, allowed_origins):
            return application.get_handler_delegate(request, Refused, {"why": "Another web page asked for this."})
        shown = parse_qs(request.query).get("token", [])
        if not granted(
            seal, query=shown, cookie_header=headers.get("Cookie"), authorization=headers.get("Authorization")
        ):
            return application.get_handler_delegate(request, Refused, {"why": HOW})
        token = next((each for each in shown if seal_of(each) == seal), "")
        if token:
            _move_token(request, token)
            if request.method == "GET" and "text/html" in headers.get("Accept", ""):
                return application.get_handler_delegate(request, Welcome, {"seal": seal, "token": token})
        if headers.get("Upgrade", "").lower() == "websocket":
            _let_in(application, headers.get("Origin") or "")
        return serve(request, **options)

    application.find_handler = find_handler


def guarded(kind: type, seal: str) -> type:
    """Return a class of Dask's scheduler or worker whose web server is guarded from its first moment on."""

    def start_http_server(self: Any, *arguments: Any, **options: Any) -> None:
        kind.start_http_server(self, *arguments, **options)  # type: ignore[attr-defined]
        guard(self, seal)

    return type(kind.__name__, (kind,), {"start_http_server": start_http_server, "__module__": kind.__module__})


def _move_token(request: HTTPServerRequest, token: str) -> None:
    """Move the token from the address to a header: it would stand in logs, and in links that pages make of it.

    The pages of runs ask for it again.
    """
    request.query = without_token(request.query)
    request.uri = f"{request.path}?{request.query}" if request.query else request.path
    for arguments in (request.arguments, request.query_arguments):
        arguments.pop("token", None)
    request.headers["Authorization"] = f"Bearer {token}"


def _let_in(application: Any, origin: str) -> None:
    """Tell bokeh of an origin that the guard has seen to be the page's own: bokeh knows the page by one name only."""
    place = urlsplit(origin).netloc.lower()
    for each in application.applications:
        known = getattr(each, "websocket_origins", None)
        if place and isinstance(known, set):
            known.add(place)


@stream_request_body
class Refused(RequestHandler):
    """Who shows no token is told how to come by one, before the body is read: nothing of it is kept."""

    def initialize(self, why: str) -> None:
        """Take the sentence."""
        self.why = why

    def prepare(self) -> None:
        """Answer, whatever was asked."""
        self.set_status(HTTPStatus.FORBIDDEN)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        kind, text = refusal("cluster", self.why, self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", kind)
        self.finish(text)

    def data_received(self, chunk: bytes) -> None:
        """Keep nothing."""

    def _log(self) -> None:
        """Log nothing: the address may hold a token with a typing error."""


class Welcome(RequestHandler):
    """Who shows the token in the address of a page gets the cookie, and the way to the same page without it."""

    def initialize(self, seal: str, token: str) -> None:
        """Take what is set."""
        self.seal, self.token = seal, token

    def get(self) -> None:
        """Answer."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        request = self.request
        self.set_cookie(cookie_name(self.seal), self.token, **cookie_flags(request.protocol))
        status, headers = onward(request.path, request.query, request.headers.get("Sec-Fetch-Site"))
        self.set_status(status)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish("")

    def _log(self) -> None:
        """Log nothing."""
