"""Answering: what every request to the pages must show, and what every answer says of itself."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

from daskflow.core.access import cookie_flags, cookie_name, granted, is_foreign
from daskflow.dashboard.encoding import json_of
from daskflow.dashboard.refusal import refuse
from daskflow.dashboard.watched import Watched

logger = logging.getLogger(__name__)

MOST_BODY = 10_000
"""Bytes of a question; of a longer one only so much is kept."""

PACKED_BYTES = 20_000
"""Answers from this size on are compressed: a phone or a tunnel may be slow, this machine is not."""

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@lru_cache(maxsize=8)
def packed(content: bytes) -> bytes:
    """Return an answer compressed; viewers of the same page mostly get the same one."""
    return gzip.compress(content, 1, mtime=0)


@stream_request_body
class Guarded(RequestHandler):
    """Whatever shows the token of at least one run, and is not asked for by a foreign page.

    Whoever shows none is refused before the body is read, for a scheduler's web server takes 100 MB of it.
    """

    runs: Sequence[Watched] = ()
    """Those that the token opens, the newest first."""

    def initialize(self, site: Mapping[str, Any]) -> None:
        """Take what all share."""
        self.site, self.body = site, b""

    def data_received(self, chunk: bytes) -> None:
        """Keep a little more than may be sent, so that too much is known by it."""
        self.body += chunk[: MOST_BODY + 1 - len(self.body)]

    def set_default_headers(self) -> None:
        """Say what browsers may do with an answer."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse whoever shows no token, and pages of other places."""
        headers = self.request.headers
        if is_foreign(str(self.request.method), headers, self.site["allowed"]):
            refuse(self, "Another web page asked for this. Open the pages by their own address.")
            return
        shown = self.get_query_arguments("token")
        self.runs = [
            run
            for run in self.site["list_runs"]()
            if granted(
                run.seal,
                query=shown,
                cookie_header=headers.get("Cookie"),
                authorization=headers.get("Authorization"),
            )
        ]
        if not self.runs:
            refuse(self)
            return
        for run in self.runs:
            token = next((each for each in shown if granted(run.seal, query=[each])), "")
            if token:
                self.set_cookie(cookie_name(run.seal), token, **cookie_flags(self.request.protocol))

    def run_asked_for(self, told: object = None) -> Watched | None:
        """Return the run that is named, or else the newest; when the token does not open it, the answer is sent."""
        name = self.get_query_argument("run", "") if told is None else str(told)
        chosen = next((run for run in self.runs if run.id == name), None) if name else self.runs[0]
        if chosen is None:
            known = self.site["find"](name)
            if known is None:
                self.say(HTTPStatus.NOT_FOUND, {"error": "There is no such run here; it may have ended long ago."})
            else:
                refuse(self)
        return chosen

    def say(self, status: int, told: Any) -> None:
        """Send an answer as JSON."""
        self.set_status(status)
        self.send(json_of(told), "application/json")

    def send(self, content: bytes, kind: str) -> None:
        """Send an answer, compressed where that is worth it and understood."""
        self.set_header("Content-Type", kind)
        if len(content) >= PACKED_BYTES and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            content = packed(content)
            self.set_header("Content-Encoding", "gzip")
        self.set_header("Vary", "Accept-Encoding")
        self.finish(content)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """Log what failed, but not the address: it may hold a token."""
        if not isinstance(error, HTTPError) or error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("%s %s failed.", self.request.method, self.request.path, exc_info=(kind, error, trace))

    def write_error(self, status_code: int, **reason: Any) -> None:
        """Say in a sentence that it failed; what exactly stands in the log."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {HTTPStatus(status_code).phrase}. The run is not touched by this.")

    def compute_etag(self) -> None:
        """Make none: answers are asked for once, and hashing them is work."""


def parsed(text: str | bytes) -> Any:
    """Return JSON that a viewer sent; None when it is none."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
