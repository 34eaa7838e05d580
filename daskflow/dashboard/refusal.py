"""What is said to whoever shows no token."""

from __future__ import annotations

from http import HTTPStatus

from tornado.web import RequestHandler

from daskflow.core.access import refusal

HOW = (
    "Open it by the link with a token that the run printed; 'daskflow watch RUN' prints it again for whoever owns the "
    "run."
)


def refuse(handler: RequestHandler, why: str = HOW) -> None:
    """Answer 403: a page for browsers, a sentence for tools."""
    handler.set_status(HTTPStatus.FORBIDDEN)
    handler.set_header("Cache-Control", "no-store")
    kind, text = refusal("run", why, handler.request.headers.get("Accept", ""))
    handler.set_header("Content-Type", kind)
    handler.finish(text)
