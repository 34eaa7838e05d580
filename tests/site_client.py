"""Asking web servers as a browser, a tool or a stranger does, for tests of the pages."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


class Answer:
    """What a server said."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        """Read it."""
        self.status, self.headers = answer.status, answer.headers
        content = answer.read() if answer.status != 101 else b""
        self.content = gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    @property
    def json(self) -> Any:
        """Its JSON."""
        return json.loads(self.content)

    @property
    def text(self) -> str:
        """Its text."""
        return self.content.decode()


def ask(place: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Ask a server at ``host:port``; names of headers are written with underscores."""
    connection = http.client.HTTPConnection(place, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def ask_dask(place: str, path: str, **headers: str) -> Answer:
    """Ask for a page of Dask's own; again where it fails, as `/status` does now and then while it is drawn."""
    for _ in range(5):
        if (answer := ask(place, path, **headers)).status != 500:
            break
    return answer


def begin(place: str, path: str, length: int, **headers: str) -> int:
    """Announce a body, send none of it, and return the status of what is answered all the same."""
    connection = http.client.HTTPConnection(place, timeout=60)
    try:
        connection.putrequest("POST", path)
        for name, value in {"Content_Length": str(length), **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def ask_for_socket(place: str, path: str, origin: str, *, protocol: str = "", **headers: str) -> int:
    """Ask for a websocket as a page of an origin does; return the HTTP status: 101 when it is had."""
    return ask(
        place,
        path,
        Upgrade="websocket",
        Connection="Upgrade",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==",
        **({"Sec_WebSocket_Protocol": protocol} if protocol else {}),
        Origin=origin,
        **headers,
    ).status


def had(answer: Any, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a page has after an answer, as its script counts it."""
    have: dict[str, Any] = {part: dict((before or {}).get(part, {})) for part in ("columns", "values", "looks")}
    for name, told in answer["columns"].items():
        have["columns"][name] = [told["epoch"], told["from"] + len(next(iter(told["data"].values())))]
    for part in ("values", "looks"):
        have[part] |= {name: told["v"] for name, told in answer[part].items()}
    return have


class Viewer:
    """A page in a browser: asks for what changed, and remembers what it has."""

    def __init__(self, place: str, path: str = "/daskflow-feed", **query: str) -> None:
        """Begin with nothing."""
        self.place, self.path, self.query = place, path, {"page": "overview", **query}
        self.boot, self.have, self.answers, self.bytes = "", {}, 0, 0

    def look(self, *, wait: bool = False, **headers: str) -> Any:
        """Ask once, and return what changed."""
        query = {**self.query, "boot": self.boot, "have": json.dumps(self.have), **({"wait": "1"} if wait else {})}
        answer = ask(self.place, f"{self.path}?{urlencode(query)}", Accept_Encoding="gzip", **headers)
        told, self.bytes = answer.json, self.bytes + int(answer.headers["Content-Length"])
        self.have = had(told, self.have if told["boot"] == self.boot else None)
        self.boot = told["boot"]
        self.answers += 1
        return told
