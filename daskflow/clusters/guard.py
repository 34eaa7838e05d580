"""Guard: everything that a Dask process serves over HTTP, behind a token: pages, numbers, files and websockets."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler, stream_request_body

from daskflow.core.access import cookie_name, granted, is_foreign, seal_of

SEAL = "daskflow.dashboard.seal"
"""Under this name Dask's configuration holds the seal of a cluster's token; workers get it with their configuration."""

HOW = "Open it by the link with a token that the run printed, or by client.dashboard_link."

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not without the token</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto 0; padding: 0 1.5rem }}
h1 {{ font-size: 1.3rem }}
</style></head>
<body><h1>This page is for the owner of the cluster</h1><p>{}</p></body></html>
"""


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
    kept = [(name, value) for name, value in parse_qsl(request.query, keep_blank_values=True) if name != "token"]
    request.query = urlencode(kept)
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
        if "text/html" in self.request.headers.get("Accept", ""):
            self.finish(PAGE.format(html.escape(self.why)))
        else:
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{self.why}\n")

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
        self.set_cookie(
            cookie_name(self.seal),
            self.token,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self.request.protocol == "https",
        )
        # Relative, for a proxy may have cut off the beginning of the path.
        query = f"?{self.request.query}" if self.request.query else ""
        clean = f"./{self.request.path.rpartition('/')[2]}{query}"
        if self.request.headers.get("Sec-Fetch-Site") == "cross-site":
            # Followed from another site, a redirect would be asked for without the cookie that was just set.
            self.set_header("Refresh", f"0; url={clean}")
            self.finish("")
        else:
            self.redirect(clean)

    def _log(self) -> None:
        """Log nothing."""
