"""Sessions of aiohttp as they are opened here: what they resolve to, and which redirects and proxies they take."""

from __future__ import annotations

import importlib.metadata
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

from daskflow.core.errors import DataError, SettingsError
from daskflow.data.http_address import Address, is_public, literal_number
from daskflow.data.http_settings import BUFFER_BYTES

if TYPE_CHECKING:
    import aiohttp


async def redirects_are_refused(*_: Any) -> None:
    """Heard by aiohttp where it follows redirects by itself."""
    raise DataError("it redirects, which is not followed here. Give the address that it redirects to.")


def session(
    seen: dict[str, list[str]],
    guarded: frozenset[str] | None,
    on_redirect: Callable[..., Awaitable[None]] | None = None,
) -> aiohttp.ClientSession:
    """A session; when guarded, one that reaches public addresses only, and those named."""
    try:
        import aiohttp
        from aiohttp.resolver import DefaultResolver
    except ImportError as error:
        raise SettingsError("Fetching over HTTP needs aiohttp: pip install 'daskflow[http]'") from error

    class Resolver(aiohttp.abc.AbstractResolver):
        """The system's resolver, which remembers what it found, and refuses what is not public."""

        def __init__(self) -> None:
            self._inner = DefaultResolver()

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            found = await self._inner.resolve(host, port, family)
            numbers = [str(one["host"]) for one in found]
            seen[host.lower().rstrip(".")] = numbers
            private = [one for one in numbers if not is_public(one)]
            if guarded is not None and not guarded.issuperset(private):
                raise DataError(private_words(host, private))
            return found

        async def close(self) -> None:
            await self._inner.close()

    tracing = aiohttp.TraceConfig()
    if on_redirect is not None:
        tracing.on_request_redirect.append(on_redirect)
    return aiohttp.ClientSession(
        trace_configs=[tracing],
        connector=aiohttp.TCPConnector(limit=0, resolver=Resolver(), happy_eyeballs_delay=0.25),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"daskflow/{importlib.metadata.version('daskflow')}", "Accept-Encoding": "identity"},
        auto_decompress=False,
        read_bufsize=BUFFER_BYTES,
        trust_env=False,  # it would also send what stands in ~/.netrc; proxies are looked up by `_proxy_of`
    )


def private_words(host: str, numbers: Sequence[str]) -> str:
    """Why a redirect from the open internet into a private network is refused."""
    return (
        f"it redirects to {host}, which is {', '.join(numbers)}: an address of a private network, or of this machine. "
        f"If that is right, say so: allow_hosts = ['{host}', '{numbers[0]}']."
    )


def proxy_of(address: Address) -> str | None:
    """The proxy that the environment names for an address (``https_proxy``, ``no_proxy``); none for this machine."""
    number = literal_number(address)
    if address.host == "localhost" or (number is not None and (number == "::1" or number.startswith("127."))):
        return None
    if proxy_bypass(address.host):
        return None
    found = getproxies()
    proxy = found.get(address.scheme) or found.get("all") or ""
    return proxy if proxy.startswith("http") else None
