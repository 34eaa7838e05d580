"""Redis servers as streams reach them: address, credentials, TLS, and what an error means."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_serializer, field_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.settings import Settings
from daskflow.streams.addresses import shown
from daskflow.streams.patience import Seconds

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_SECONDS = 30.0
"""Time in which a server answers a command."""


class RedisServer(Settings):
    """What source and sink say of their server.

    Attributes
    ----------
    url : str
        ``redis://host:port/db``, or ``rediss://`` for TLS with a certificate that this machine trusts. User and
        password may stand in it, and are shown nowhere; `password` is the better place.
    password : str or None
        ``env:NAME``: the environment variable that holds it.
    ca : str or None
        File with the authority that has signed the server's certificate, where the system does not know it.
    connect_seconds : float
        Time to reach the server.
    """

    url: str = Field(repr=False)
    password: str | None = None
    ca: str | None = None
    connect_seconds: Seconds = 10.0

    @field_validator("url", mode="before")
    @classmethod
    def _is_an_address(cls, value: Any) -> Any:
        """Check the address without ever showing it."""
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
            known = parts is not None and parts.scheme in ("redis", "rediss") and bool(parts.hostname)
            _ = None if parts is None else parts.port
        except ValueError:
            known = False
        if not known or parts is None or parts.query or parts.fragment:
            raise SettingsError([Problem("", "should be like redis://host:6379/0, or rediss:// for TLS")])
        if not (parts.path.strip("/") or "0").isdecimal():
            raise SettingsError([Problem("", "should end in the number of a database, as redis://host:6379/0 does")])
        return value

    @field_validator("password", mode="before")
    @classmethod
    def _stands_in_the_environment(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value.startswith("env:")):
            raise SettingsError([Problem("", "should name an environment variable that holds it: 'env:NAME'")])
        return value

    @field_serializer("url")
    def _without_secrets(self, url: str) -> str:
        return shown(url)

    @property
    def where(self) -> str:
        """The server, for messages."""
        return shown(self.url)

    def client(self, *, name: str | None = None) -> Redis:
        """Return a client that is not connected yet, and tries nothing twice by itself.

        Raises
        ------
        SettingsError
            When redis is not installed, or the password's variable is not set.
        """
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError as error:
            raise SettingsError("Redis Streams need its client: pip install 'daskflow[redis]'") from error
        parts = urlsplit(self.url)
        secure: dict[str, Any] = {}
        if parts.scheme == "rediss":
            secure = {"ssl": True, "ssl_ca_certs": self.ca, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        return Redis(
            host=parts.hostname or "",
            port=parts.port or 6379,
            db=int(parts.path.strip("/") or 0),
            username=unquote(parts.username) if parts.username else None,
            password=self._password(parts.password),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=self.connect_seconds,
            client_name=name,
            protocol=2,  # the shape of answers then is one over all versions of the client
            retry=Retry(NoBackoff(), 0),  # what was read and got lost on the way must not go unseen
            **secure,
        )

    def _password(self, found: str | None) -> str | None:
        if self.password is None:
            return unquote(found) if found else None
        name = self.password.removeprefix("env:")
        if not os.environ.get(name):
            raise SettingsError([Problem("password", f"the environment variable {name} is not set")])
        return os.environ[name]


def passing(error: Exception, where: str) -> str:
    """Return what an error that may pass means, as a sentence; DataError for one that will not.

    Parameters
    ----------
    error : Exception
        Of the client; its own text is shown only where the server wrote it.
    where : str
        The server, for messages.
    """
    from redis import exceptions

    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthenticationWrongNumberOfArgsError):
        raise DataError(
            f"{where}: the server refuses user or password. Give them: password=env:NAME, or in the address."
        ) from None
    if isinstance(error, exceptions.NoPermissionError | exceptions.AuthorizationError):
        raise DataError(f"{where}: this user may not do that ({error}).") from None
    if isinstance(error, exceptions.BusyLoadingError):
        return "the server is still reading its data"
    if isinstance(error, exceptions.TimeoutError):
        return "the server does not answer"
    if isinstance(error, exceptions.ConnectionError | OSError):
        if "CERTIFICATE" in str(error).upper():
            raise DataError(
                f"{where}: its certificate is not one this machine trusts. Name its authority's file: ca=FILE."
            ) from None
        return "the server cannot be reached, or the connection was lost"
    if isinstance(error, exceptions.ReadOnlyError | exceptions.OutOfMemoryError | exceptions.ClusterDownError):
        return f"the server takes nothing ({error})"
    if isinstance(error, exceptions.ResponseError) and str(error).startswith(("LOADING", "MASTERDOWN", "TRYAGAIN")):
        return f"the server is not ready ({error})"
    raise DataError(f"{where}: {error}.") from None


def decoded(value: bytes | str) -> str:
    """Return a name of the server's as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


Say = Callable[[str], None]
