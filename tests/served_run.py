"""A made-up run's pages on a server of their own, and what tests ask of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from daskflow.core.access import cookie_name, seal_of
from daskflow.dashboard.serving import Server
from tests import site_client
from tests.site_client import Answer
from tests.told_source import Told, plain_page, plain_screens

TOKEN = "a-token-of-the-tests"
COOKIE = f"{cookie_name(seal_of(TOKEN))}={TOKEN}"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def served(source: Told, **options: Any) -> Server:
    """A server of a made-up run, with plain pages."""
    return Server(
        source, **{"act": source.act, "token": TOKEN, "make_screens": plain_screens, "build": plain_page, **options}
    )


def wait_until_heard(server: Server) -> None:
    """Wait until the run's first records were heard."""
    while server.watched.state.version == 0:
        time.sleep(0.01)


def ask(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Ask a server; names of headers are written with underscores."""
    return site_client.ask(server.address.split("/")[2], path, method, body, **headers)


def post(server: Server, path: str, told: Any, **headers: str) -> Answer:
    """Send as the page's script does."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return ask(server, path, "POST", body, **{"X-Daskflow": "1", "Cookie": COOKIE, **headers})


def feed(server: Server, have: Mapping[str, Any] | None = None, boot: str = "", **more: str) -> Any:
    """Ask for what changed."""
    query = "&".join(f"{name}={quote(value)}" for name, value in more.items())
    path = f"/daskflow-feed?page=overview&boot={boot}&have={quote(json.dumps(have or {}))}&{query}"
    return ask(server, path, **BEARER).json


def rows_of(answer: Any) -> list[str]:
    """Rows of the scores in an answer."""
    found: list[str] = answer["columns"]["scores_data"]["data"]["trial"]
    return found
