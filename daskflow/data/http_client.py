"""One request at a time to servers that may misbehave: redirects checked on every hop, times limited, pace kept."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from daskflow.core.errors import DataError
from daskflow.data.http_address import Address, address_of, is_public, is_same_place, literal_number, refusal
from daskflow.data.http_pace import Pace
from daskflow.data.http_policy import ADVICE, TryAgainError, content_length, is_retried, retry_after, status_words
from daskflow.data.http_session import private_words, proxy_of, redirects_are_refused, session
from daskflow.data.http_settings import CHUNK_BYTES, Access, Limits, basic

if TYPE_CHECKING:
    import aiohttp

REDIRECTS = (301, 302, 303, 307, 308)
MOST_HOPS = 10

Headers = Mapping[str, str]


class Answer:
    """An answer's status and headers, and its body as it comes.

    Attributes
    ----------
    status : int
        As the server said.
    headers : mapping of str to str
        Without regard to capitals.
    address : Address
        Where the answer came from, after all redirects.
    n_bytes : int
        Bytes of the body that have come so far.
    """

    def __init__(self, response: aiohttp.ClientResponse, address: Address, limits: Limits, pace: Pace) -> None:
        """Take over a response whose body is not read."""
        self.status = response.status
        self.headers: Headers = response.headers
        self.address = address
        self.n_bytes = 0
        self._content, self._limits, self._pace = response.content, limits, pace

    @property
    def is_framed(self) -> bool:
        """Whether the protocol itself says where the body ends: by its length, or by chunks with a last one."""
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        return chunked or content_length(self.headers) is not None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece, as it was sent; no more is read before a piece has been taken.

        Raises
        ------
        TryAgainError
            For a body that hangs, drips, is reset or ends too soon.
        """
        limits, waited, seen = self._limits, 0.0, 0
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(limits.idle_seconds):
                    data = await self._content.read(CHUNK_BYTES)
            except TimeoutError:
                raise TryAgainError(
                    f"nothing came for {limits.idle_seconds:g} s{self._progress()} (limits.idle_seconds)"
                ) from None
            except Exception as error:
                # The reader raises before it gives what had come, so it is taken from beneath: without it a
                # server that breaks off early would never let a file be finished.
                data = self._content._read_nowait(-1)
                self.n_bytes += len(data)
                if data:
                    yield data
                raise self._broken(error) from None
            if not data:
                return
            self.n_bytes += len(data)
            waited, seen = waited + time.monotonic() - began, seen + len(data)
            if waited >= limits.idle_seconds:
                if seen < limits.slowest * waited:
                    raise TryAgainError(
                        f"it came at {seen / waited:.3g} bytes per second{self._progress()} (limits.slowest)"
                    )
                waited, seen = 0.0, 0
            yield data
            await self._pace.take(len(data))

    async def first(self, n_bytes: int) -> bytes:
        """Return the beginning of the body, at most so many bytes."""
        found = b""
        async for data in self.chunks():
            found += data
            if len(found) >= n_bytes:
                break
        return found[:n_bytes]

    def _progress(self) -> str:
        length = content_length(self.headers)
        return f" after {self.n_bytes}" + (f" of {length}" if length is not None else "") + " bytes"

    def _broken(self, error: Exception) -> Exception:
        """What a body that broke off means."""
        import aiohttp

        if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientConnectionError | OSError):
            return TryAgainError(f"the answer broke off{self._progress()}")
        return error


class Client:
    """Fetches addresses for one user: with credentials, limits and allowed hosts; an async context manager.

    Parameters
    ----------
    limits : Limits
        Connections, pace and times.
    access : Access
        Credentials; they go to the host and port of the address asked for, not where it redirects to.
    allow_hosts : sequence of str
        Hosts that may be redirected to, beside the own one; see `daskflow.data.http_address.is_allowed`.

    Raises
    ------
    SettingsError
        When aiohttp is not installed, or a variable that credentials name is not set.
    """

    def __init__(self, limits: Limits, access: Access, allow_hosts: Sequence[str] = ()) -> None:
        """Read the credentials from the environment; connects to nothing."""
        self.limits, self.allow_hosts = limits, tuple(allow_hosts)
        self._headers, self._params = access.sent_headers(), access.sent_params()
        self._requests, self._bytes = Pace(limits.requests_per_second), Pace(limits.rate)
        self._stack = AsyncExitStack()
        self._seen: dict[str, list[str]] = {}

    async def __aenter__(self) -> Client:
        """Open the sessions: one for addresses as given, one that reaches public addresses only."""
        self._slots = asyncio.Semaphore(self.limits.connections)
        self._of_host: defaultdict[tuple[str, str, int], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(self.limits.per_host)
        )
        numbers = frozenset(entry.strip("[]") for entry in self.allow_hosts)
        self._open = await self._stack.enter_async_context(session(self._seen, None))
        self._guarded = await self._stack.enter_async_context(session(self._seen, numbers))
        self._unredirected = await self._stack.enter_async_context(session(self._seen, None, redirects_are_refused))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._stack.aclose()

    @asynccontextmanager
    async def get(self, address: Address, headers: Headers) -> AsyncIterator[Answer]:
        """Ask for an address, follow redirects that are allowed, and yield the answer, whatever its status.

        Raises
        ------
        DataError
            For redirects that are refused, certificates that do not hold, and what is no HTTP.
        TryAgainError
            When the server cannot be reached, or does not begin to answer.
        """
        async with self._of_host[address.origin], self._slots:
            response, final = await self._follow(address, headers)
            try:
                yield Answer(response, final, self.limits, self._bytes)
            finally:
                response.close()  # what was not read is not waited for

    @asynccontextmanager
    async def send(self, method: str, address: Address, headers: Headers, body: bytes) -> AsyncIterator[Answer]:
        """Send a body to an address, and to no other, and yield the answer, whatever its status.

        Raises
        ------
        DataError
            For an answer that redirects, certificates that do not hold, and what is no HTTP.
        TryAgainError
            When the server cannot be reached, or does not begin to answer: whether the body was taken is not known.
        """
        async with self._of_host[address.origin], self._slots:
            here = self._with_params(address)
            response = await self._request(address, here, headers, guarded=False, method=method, body=body)
            try:
                if response.status in REDIRECTS:
                    raise DataError(f"{address}: it redirects; what is sent goes to the address that was given only.")
                yield Answer(response, here, self.limits, self._bytes)
            finally:
                response.close()

    @asynccontextmanager
    async def websocket(
        self, address: Address, *, most_bytes: int, heartbeat_seconds: float
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket at an address, and at no other.

        Parameters
        ----------
        address : Address
            The http address beneath it.
        most_bytes : int
            Of one message; a longer one ends the connection.
        heartbeat_seconds : float
            After so many without a message the server is asked whether it is there.

        Raises
        ------
        DataError, TryAgainError
            As for `get`; an answer that opens no WebSocket is one of both, by its status.
        """
        import aiohttp
        from yarl import URL

        here = self._with_params(address)
        await self._requests.take(1)
        try:
            async with asyncio.timeout(self.limits.connect_seconds + self.limits.idle_seconds):
                opened = await self._unredirected.ws_connect(
                    URL(here.bare, encoded=here.bare.isascii()),
                    headers=self._secrets_for(address, here),
                    proxy=proxy_of(here),
                    heartbeat=heartbeat_seconds,
                    max_msg_size=most_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=self.limits.connect_seconds),
                )
        except aiohttp.WSServerHandshakeError as error:
            words = f"the server opens no WebSocket but answers {status_words(error.status)}"
            if is_retried(error.status):
                raise TryAgainError(words, retry_after(error.headers or {})) from None
            raise DataError(f"{address}: {words}. {ADVICE.get(error.status, 'Check the address.')}") from None
        except Exception as error:
            raise self._failure(address, here, error) from None
        try:
            yield opened
        finally:
            await opened.close()

    async def _follow(self, first: Address, headers: Headers) -> tuple[aiohttp.ClientResponse, Address]:
        """Make the request, and those that it is redirected to."""
        here, from_public = self._with_params(first), False
        for _ in range(MOST_HOPS + 1):
            response = await self._request(first, here, headers, guarded=from_public)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None:
                return response, here
            response.close()
            try:
                target = here.joined(location)
            except DataError as error:
                raise DataError(f"{first}: it redirects to what cannot be followed. {error}") from None
            problem = refusal(first, here, target, self.allow_hosts)
            from_public = from_public or self._is_public(here)
            number = literal_number(target)
            if not problem and from_public and number and not is_public(number) and not self._names(number):
                problem = private_words(target.host, [number])
            if problem:
                raise DataError(f"{first}: {problem}")
            here = target
        raise DataError(f"{first}: it redirects more than {MOST_HOPS} times, at last to {here}: the redirects loop.")

    async def _request(
        self,
        first: Address,
        here: Address,
        headers: Headers,
        *,
        guarded: bool,
        method: str = "GET",
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """One hop."""
        import aiohttp
        from yarl import URL

        proxy = proxy_of(here)
        chosen = self._guarded if guarded and proxy is None else self._open
        await self._requests.take(1)
        try:
            async with asyncio.timeout(self.limits.connect_seconds + self.limits.idle_seconds):
                return await chosen.request(
                    method,
                    URL(here.bare, encoded=here.bare.isascii()),
                    data=body,
                    headers={**headers, **self._secrets_for(first, here)},
                    allow_redirects=False,
                    proxy=proxy,
                    timeout=aiohttp.ClientTimeout(
                        total=None, connect=self.limits.connect_seconds, sock_connect=self.limits.connect_seconds
                    ),
                )
        except Exception as error:  # its text may hold the address with its secrets, so it is no cause of ours
            raise self._failure(first, here, error) from None

    def _failure(self, first: Address, here: Address, error: Exception) -> Exception:
        """What an error of a request means, without secrets."""
        import aiohttp

        is_first = (here.origin, here.parts.path) == (first.origin, first.parts.path)
        where = f"{first}" if is_first else f"{first}, redirected to {here}"
        if isinstance(error, DataError):
            return DataError(f"{where}: {error}")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return TryAgainError(f"no connection within {self.limits.connect_seconds:g} s (limits.connect_seconds)")
        if isinstance(error, TimeoutError):
            return TryAgainError(f"no answer within {self.limits.idle_seconds:g} s (limits.idle_seconds)")
        if isinstance(error, aiohttp.ClientSSLError):
            return DataError(
                f"{where}: its certificate is not one this machine trusts ({_certificate_words(error)}). "
                "Name the authority's file in the environment variable SSL_CERT_FILE if it is your own."
            )
        if isinstance(error, aiohttp.ClientConnectorDNSError) and not _may_pass(error):
            return DataError(f"{where}: there is no host {here.host!r}. Check the address.")
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return TryAgainError("the proxy that the environment names cannot be reached")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return DataError(f"{where}: the proxy that the environment names answered {error.status}.")
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = error.os_error.strerror or type(error.os_error).__name__
            return TryAgainError(f"{here.host}, port {here.port} cannot be reached ({reason.lower()})")
        if isinstance(error, aiohttp.ClientResponseError):
            return DataError(
                f"{where}: its answer is no HTTP that can be read, is longer than stated, or its headers are too large."
            )
        if isinstance(error, aiohttp.ClientConnectionError | OSError):
            return TryAgainError("the connection was lost before an answer")
        return error

    def _with_params(self, address: Address) -> Address:
        """The address with the parameters of the settings."""
        if not self._params:
            return address
        parts = urlsplit(address.full)
        query = "&".join(part for part in (parts.query, urlencode(self._params)) if part)
        return address_of(parts._replace(query=query).geturl())

    def _secrets_for(self, first: Address, here: Address) -> dict[str, str]:
        """Headers that only the host that was asked for gets."""
        if not is_same_place(first, here):
            return {}
        own = {"Authorization": basic(*first.credentials)} if first.credentials else {}
        return {**self._headers, **own}

    def _is_public(self, address: Address) -> bool:
        """Whether an address that was just reached is one of the open internet."""
        number = literal_number(address)
        found = [number] if number else self._seen.get(address.host, [])
        return all(is_public(one) for one in found)

    def _names(self, number: str) -> bool:
        return any(
            entry.strip("[]") == number or urlsplit(f"//{entry}").hostname == number for entry in self.allow_hosts
        )


def _may_pass(error: aiohttp.ClientConnectorDNSError) -> bool:
    """Whether a name may be found at the next try."""
    return error.os_error.errno == socket.EAI_AGAIN


def _certificate_words(error: aiohttp.ClientSSLError) -> str:
    """What is wrong with a certificate."""
    cause = getattr(error, "certificate_error", None) or error.os_error
    return str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__)
