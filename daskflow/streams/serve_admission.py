"""Who may ask a served model: those who show its token, and web pages of its own place."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from daskflow.core.access import is_foreign
from daskflow.streams.serve_limits import Refusal

FOREIGN = ("a web page of another place asks; pages of this one may, and programs", "foreign")


def unauthorised() -> Refusal:
    """Return what is said to whoever has no token."""
    words = "the request shows no token that opens this: send the header Authorization: Bearer TOKEN"
    return Refusal(401, "token", words, {"www-authenticate": "Bearer"})


def check_origin(scope: Mapping[str, Any], *, is_local: bool = False) -> None:
    """Refuse what a web page of another place asks: answers are no one's else to read, and CORS is off."""
    headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in scope["headers"]}
    if is_foreign(scope["method"], headers) or (is_local and not is_own_name(headers.get("Host", ""))):
        raise Refusal(403, FOREIGN[1], FOREIGN[0])


def is_own_name(host: str) -> bool:
    """Return whether a header ``Host`` names this machine by a name that nobody else can let point here.

    Examples
    --------
    >>> [is_own_name(host) for host in ("localhost:8000", "127.0.0.1:8000", "[::1]", "rebound.example:8000", "")]
    [True, True, True, False, False]
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True
