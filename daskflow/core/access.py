"""Access: who may see a run's pages, by a token that only its owner was told.

What guards a page keeps the token's *seal* (a hash), never the token: a log, a configuration or a message in which the
seal stands opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
from collections.abc import Collection, Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

TOKEN_BYTES = 24
"""Random bytes of a token: nobody guesses it, and it still fits into a line of a terminal."""

FRAMES = frozenset({"iframe", "frame", "embed", "object"})
"""What browsers call the places of a page that show another one, in ``Sec-Fetch-Dest``."""

REFUSAL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not without the token</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto 0; padding: 0 1.5rem }}
h1 {{ font-size: 1.3rem }}
</style></head>
<body><h1>This page is for the owner of the {}</h1><p>{}</p></body></html>
"""


def new_token() -> str:
    """Return a new token, of letters that need no quoting in an address.

    Examples
    --------
    >>> len(new_token()), new_token() == new_token()
    (32, False)
    """
    return secrets.token_urlsafe(TOKEN_BYTES)


def seal_of(token: str) -> str:
    """Return what a server keeps of a token: enough to know it again, not enough to tell it.

    Examples
    --------
    >>> seal_of("a")[:12]
    'ca978112ca1b'
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def cookie_name(seal: str) -> str:
    """Return the name of the cookie that holds a token; browsers send cookies to every port of a machine.

    Examples
    --------
    >>> cookie_name(seal_of("a"))
    'daskflow-ca978112ca1b'
    """
    return f"daskflow-{seal[:12]}"


def granted(
    seal: str, *, query: Iterable[str] = (), cookie_header: str | None = None, authorization: str | None = None
) -> bool:
    """Return whether a request shows the token that belongs to a seal.

    Parameters
    ----------
    seal : str
        See `seal_of`.
    query : iterable of str
        Values of ``token`` in the address.
    cookie_header, authorization : str or None
        The headers ``Cookie`` and ``Authorization``; of the latter, ``Bearer TOKEN``.

    Examples
    --------
    >>> seal = seal_of("secret")
    >>> granted(seal, query=["secret"]), granted(seal, authorization="Bearer secret"), granted(seal, query=[""])
    (True, True, False)
    >>> granted(seal, cookie_header=f"other=1; {cookie_name(seal)}=secret")
    True
    """
    shown = [*query, _cookie(cookie_header or "", cookie_name(seal))]
    scheme, _, told = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        shown.append(told.strip())
    return any(hmac.compare_digest(seal_of(each), seal) for each in shown if each)


def _cookie(header: str, name: str) -> str:
    """Return a cookie's value; pages of other ports may have set cookies that cannot be read, which are passed over."""
    for part in header.split(";"):
        if part.strip().startswith(f"{name}="):
            try:
                return SimpleCookie(part.strip())[name].value
            except (CookieError, KeyError):
                return ""
    return ""


def refusal(whose: str, why: str, accept: str) -> tuple[str, str]:
    """Return kind and text of what is said to whoever is refused: a page to browsers, a sentence to tools.

    Parameters
    ----------
    whose : str
        ``run`` or ``cluster``.
    why : str
        A sentence.
    accept : str
        The header ``Accept``.

    Examples
    --------
    >>> refusal("run", "Open it by the link.", "*/*")
    ('text/plain; charset=utf-8', 'Open it by the link.\\n')
    """
    if "text/html" in accept:
        return "text/html; charset=utf-8", REFUSAL.format(whose, html.escape(why))
    return "text/plain; charset=utf-8", f"{why}\n"


def cookie_flags(protocol: str) -> dict[str, Any]:
    """Return how the cookie that holds a token is set, as tornado's ``set_cookie`` names it.

    Examples
    --------
    >>> cookie_flags("http")
    {'path': '/', 'httponly': True, 'samesite': 'Strict', 'secure': False}
    """
    return {"path": "/", "httponly": True, "samesite": "Strict", "secure": protocol == "https"}


def without_token(query: str) -> str:
    """Return what is asked for in an address, but for the token.

    Examples
    --------
    >>> without_token("run=a&token=secret&trial=")
    'run=a&trial='
    """
    return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "token"])


def onward(path: str, query: str, came_from: str | None) -> tuple[HTTPStatus, dict[str, str]]:
    """Return status and headers of the answer that leads from an address with a token to the same without.

    It is relative, for a proxy may have cut off the beginning of the path.

    Parameters
    ----------
    path, query : str
        Of the address; the latter without the token.
    came_from : str or None
        The header ``Sec-Fetch-Site``.

    Examples
    --------
    >>> onward("/daskflow", "run=a", None)
    (<HTTPStatus.FOUND: 302>, {'Location': './daskflow?run=a'})
    """
    clean = f"./{path.rpartition('/')[2]}{'?' if query else ''}{query}"
    if came_from == "cross-site":
        # Followed from another site, a redirect would be asked for without the cookie that was just set.
        return HTTPStatus.OK, {"Refresh": f"0; url={clean}"}
    return HTTPStatus.FOUND, {"Location": clean}


def is_own_origin(origin: str | None, hosts: Collection[str], allowed: Collection[str] = ()) -> bool:
    """Return whether a page that asks was served under the name by which it asks.

    Ports count: a page of ``localhost:9999`` is another one's, though browsers send it the same cookies. A request
    without the header is none of a web page's; ``null`` is what a browser says of a page that hides where it is from.

    Parameters
    ----------
    origin : str or None
        The header ``Origin``.
    hosts : collection of str
        Names with ports that the request was sent to: the header ``Host``, and what a proxy says it was before.
    allowed : collection of str
        Other names with ports.

    Examples
    --------
    >>> is_own_origin("http://localhost:80", {"localhost"}), is_own_origin("http://localhost:81", {"localhost:80"})
    (True, False)
    >>> is_own_origin(None, {"a"}), is_own_origin("null", {"null"})
    (True, False)
    """
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    asked = (parts.hostname, port)
    return any(asked == _place(each, 443 if parts.scheme == "https" else 80) for each in (*hosts, *allowed) if each)


def _place(host: str, port: int) -> tuple[str | None, int] | None:
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname, parts.port or port
    except ValueError:
        return None


def is_foreign(method: str, headers: Any, allowed: Collection[str] = ()) -> bool:
    """Return whether a web page of another place asks, which it may only to be left for this one by a link.

    To show this one in a frame of its own is not to be left: whoever clicks there does not see what on.

    Parameters
    ----------
    method : str
        Of the request.
    headers : mapping with ``get``
        Of the request.
    allowed : collection of str
        See `is_own_origin`.

    Notes
    -----
    ``Sec-Fetch-Site`` is the browser's own word, which no page can set, and which holds behind a proxy that changes
    names. ``X-Forwarded-Host`` is believed too: it is set by proxies, and no page can make a browser send it with a
    websocket or a form, nor with anything else without asking first, which is answered with a refusal.

    Examples
    --------
    >>> is_foreign("POST", {"Host": "localhost:8787", "Origin": "http://localhost:9999"})
    True
    >>> is_foreign("POST", {"Host": "localhost:8787", "Origin": "https://hub", "Sec-Fetch-Site": "same-origin"})
    False
    >>> is_foreign("GET", {"Host": "localhost:8787", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    False
    >>> is_foreign("GET", {"Host": "localhost:8787", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "iframe"})
    True
    """
    if headers.get("Sec-Fetch-Site") == "same-origin":
        return False
    hosts = [headers.get("Host") or "", *(headers.get("X-Forwarded-Host") or "").split(",")]
    if not is_own_origin(headers.get("Origin"), [host.strip() for host in hosts], allowed):
        return True
    if headers.get("Sec-Fetch-Dest") in FRAMES:
        return True
    is_other_site = headers.get("Sec-Fetch-Site") in ("same-site", "cross-site")
    return is_other_site and (headers.get("Sec-Fetch-Mode") != "navigate" or method not in ("GET", "HEAD"))
