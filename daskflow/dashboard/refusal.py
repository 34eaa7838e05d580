"""What is said to whoever shows no token."""

from __future__ import annotations

from http import HTTPStatus

from tornado.web import RequestHandler

HOW = (
    "Open it by the link with a token that the run printed; 'daskflow watch RUN' prints it again for whoever owns the "
    "run."
)

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not without the token</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto 0; padding: 0 1.5rem }}
h1 {{ font-size: 1.3rem }}
</style></head>
<body><h1>This page is for the owner of the run</h1><p>{}</p></body></html>
"""


def refuse(handler: RequestHandler, why: str = HOW) -> None:
    """Answer 403: a page for browsers, a sentence for tools."""
    handler.set_status(HTTPStatus.FORBIDDEN)
    handler.set_header("Cache-Control", "no-store")
    if "text/html" in handler.request.headers.get("Accept", ""):
        handler.set_header("Content-Type", "text/html; charset=utf-8")
        handler.finish(PAGE.format(why.replace("&", "&amp;").replace("<", "&lt;")))
    else:
        handler.set_header("Content-Type", "text/plain; charset=utf-8")
        handler.finish(f"{why}\n")
