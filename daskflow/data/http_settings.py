"""What a user says about fetching: limits, credentials that stay in the environment, and hosts that are allowed."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from typing import Any

from dask.utils import parse_bytes
from pydantic import Field, field_validator, model_validator

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings

ENVIRONMENT = "env:"

SECRET_WORDS = re.compile(r"auth|cookie|token|secret|key|password|signature|credential", re.IGNORECASE)
"""Headers and parameters called like this hold secrets, so their values come from the environment."""

BUFFER_BYTES = 1 << 16
"""Given to aiohttp for each connection; it stops reading at twice as much."""

CHUNK_BYTES = 1 << 17

CONNECTION_BYTES = 2 * BUFFER_BYTES + 2 * CHUNK_BYTES
"""What one connection holds at most: its buffer, and a chunk on the way to the disk, compressed and not."""


def size_of(value: Any) -> Any:
    """Return a size in words, such as ``"10 MB"``, as a number of bytes; other values as they are."""
    if isinstance(value, str):
        try:
            return int(parse_bytes(value))
        except ValueError:
            raise ValueError("should be a size such as '10 MB', '64 MiB' or a number of bytes") from None
    return value


class Limits(Settings):
    """How much is asked of servers, of the network and of this machine at once, and how long is waited.

    Attributes
    ----------
    concurrency : int
        Files fetched at once.
    per_host : int
        Of these, from one host and port.
    bytes_in_flight : int or str
        Bytes that are received and not yet on the disk, over all connections; each holds at most 384 KiB, so fewer
        run at once when this is small. Buffers of the operating system come on top.
    rate : int, str or None
        Bytes per second over all connections, such as ``"10 MB"``; None for as fast as it goes.
    requests_per_second : float or None
        Requests begun per second over all hosts, repeats and redirects included; None for no limit.
    retries : int
        Times a request is made again after the answers 408, 425, 429, 500 and above, a lost connection, a time-out or
        a short answer. Other answers from 400 on are final.
    backoff_seconds : float
        The wait before try n is drawn between zero and this times 2 ** (n - 1): full jitter.
    longest_wait_seconds : float
        Longest wait before a retry. A server that asks for a longer one (``Retry-After``) ends the file's fetching.
    connect_seconds : float
        Time to reach a server, name and TLS included.
    idle_seconds : float
        Time to the beginning of an answer, and between two pieces of it.
    slowest : int or str
        Bytes per second below which, over ``idle_seconds``, an answer counts as hanging; 0 for any speed.
    total_seconds : float or None
        Time for one file, all tries included; None for no limit.
    max_file_bytes : int or str
        Largest file, decompressed where the server compresses on the way.
    """

    concurrency: int = Field(default=8, ge=1, le=1000)
    per_host: int = Field(default=4, ge=1, le=1000)
    bytes_in_flight: int = Field(default=64 << 20, ge=CONNECTION_BYTES)
    rate: int | None = Field(default=None, ge=1)
    requests_per_second: float | None = Field(default=None, gt=0)
    retries: int = Field(default=5, ge=0, le=100)
    backoff_seconds: float = Field(default=0.5, ge=0)
    longest_wait_seconds: float = Field(default=120, ge=0)
    connect_seconds: float = Field(default=20, gt=0)
    idle_seconds: float = Field(default=60, gt=0)
    slowest: int = Field(default=100, ge=0)
    total_seconds: float | None = Field(default=None, gt=0)
    max_file_bytes: int = Field(default=1 << 36, ge=1)

    @field_validator("bytes_in_flight", "rate", "slowest", "max_file_bytes", mode="before")
    @classmethod
    def _sizes_may_be_words(cls, value: Any) -> Any:
        return size_of(value)

    @property
    def connections(self) -> int:
        """Files fetched at once, as far as ``bytes_in_flight`` allows."""
        return min(self.concurrency, self.bytes_in_flight // CONNECTION_BYTES)


class Access(Settings):
    """Credentials: names of environment variables (``"env:NAME"``), never the secrets themselves.

    They are sent to the host and port of the address that was given, and to no host that it redirects to.

    Attributes
    ----------
    user : str or None
        User of basic authentication; may be ``env:NAME``.
    password : str or None
        Its password: ``env:NAME``.
    bearer : str or None
        A bearer token: ``env:NAME``.
    headers : mapping of str to str
        Further headers; the values of those that hold secrets are ``env:NAME``.
    params : mapping of str to str
        Parameters that are added to the addresses' queries, such as ``{token = "env:TOKEN"}``.
    """

    user: str | None = None
    password: str | None = None
    bearer: str | None = None
    headers: Mapping[str, str] = Field(default_factory=dict)
    params: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _secrets_stand_in_the_environment(cls, values: Any) -> Any:
        """Refuse secrets that are written down; before anything else looks at them, and without showing them."""
        if isinstance(values, Access):
            return values
        if not isinstance(values, Mapping):
            raise SettingsError([Problem("", "should be a table, such as { bearer = 'env:TOKEN' }")])
        named = {word: values.get(word) for word in ("password", "bearer")}
        for option in ("headers", "params"):
            table = values.get(option)
            for name, value in table.items() if isinstance(table, Mapping) else ():
                if SECRET_WORDS.search(str(name)) or not isinstance(value, str):
                    named[f"{option}.{name}"] = value
        problems = [
            Problem(name, "should name an environment variable that holds it, such as 'env:TOKEN'")
            for name, value in named.items()
            if value is not None and not (isinstance(value, str) and value.startswith(ENVIRONMENT))
        ]
        if problems:
            raise SettingsError(problems)
        return values

    @model_validator(mode="after")
    def _one_way(self) -> Access:
        """Refuse two kinds of authorization at once, and half of one."""
        if self.bearer is not None and self.user is not None:
            raise SettingsError([Problem("bearer", "stands beside user: say one of them")])
        if (self.user is None) != (self.password is None):
            raise SettingsError([Problem("user", "and password go together")])
        return self

    def sent_headers(self) -> dict[str, str]:
        """Return the headers with their secrets.

        Raises
        ------
        SettingsError
            For environment variables that are not set.
        """
        headers = self._resolved("headers", self.headers)
        if self.bearer is not None:
            headers["Authorization"] = f"Bearer {_value('bearer', self.bearer)}"
        if self.user is not None and self.password is not None:
            headers["Authorization"] = basic(_value("user", self.user), _value("password", self.password))
        return headers

    def sent_params(self) -> dict[str, str]:
        """Return the parameters with their secrets; SettingsError for variables that are not set."""
        return self._resolved("params", self.params)

    def _resolved(self, option: str, table: Mapping[str, str]) -> dict[str, str]:
        return {name: _value(f"{option}.{name}", value) for name, value in table.items()}


def _value(option: str, value: str) -> str:
    """What a setting means: itself, or what an environment variable holds."""
    if not value.startswith(ENVIRONMENT):
        return value
    name = value.removeprefix(ENVIRONMENT)
    found = os.environ.get(name)
    if not found:
        raise SettingsError([Problem(option, f"the environment variable {name} is not set. Set it where this runs")])
    if any(character in found for character in "\r\n\0"):
        raise SettingsError([Problem(option, f"the environment variable {name} has a line end in it")])
    return found


def basic(user: str, password: str) -> str:
    """Return the header value of basic authentication.

    Examples
    --------
    >>> basic("ann", "x")
    'Basic YW5uOng='
    """
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
