"""Places on the web as streams reach them: by the client that fetches files, with its rules for hosts and secrets."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, field_serializer, field_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.settings import Settings
from daskflow.data.http_address import Address, address_of, checked_hosts
from daskflow.data.http_client import Client
from daskflow.data.http_settings import Access, Limits


class HttpPlace(Settings):
    """What a source or sink on the web says of its server.

    Attributes
    ----------
    url : str
        Its address. User and password in it, and all values of its query, are shown nowhere; `access` is the better
        place.
    access : mapping
        Credentials from environment variables, as for files over HTTP: ``access.bearer=env:TOKEN`` in an address.
    allow_hosts : list of str
        Hosts beside its own that may be redirected to; in an address with commas between them.
    connect_seconds : float
        Time to reach the server.
    """

    url: str = Field(repr=False)
    access: Access = Access()
    allow_hosts: tuple[str, ...] = ()
    connect_seconds: float = Field(default=20, gt=0)

    @field_validator("url", mode="before")
    @classmethod
    def _is_an_address(cls, value: Any) -> Any:
        """Check the address without ever showing it."""
        if not isinstance(value, str):
            raise SettingsError([Problem("", "should be an address")])
        try:
            address_of(_on_http(value))
        except DataError as error:
            raise SettingsError([Problem("", str(error))]) from None
        return value

    @field_validator("access", mode="before")
    @classmethod
    def _headers_may_be_text(cls, value: Any) -> Any:
        """In an address, the tables of headers and parameters are JSON objects."""
        if isinstance(value, dict):
            return {word: _table(word, inner) for word, inner in value.items()}
        return value

    @field_validator("allow_hosts", mode="before")
    @classmethod
    def _hosts_may_be_text(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("allow_hosts", mode="after")
    @classmethod
    def _hosts_are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        checked_hosts(hosts)
        return hosts

    @field_serializer("url")
    def _without_secrets(self, url: str) -> str:
        scheme = url.partition("://")[0]
        return f"{scheme}://{str(address_of(_on_http(url))).partition('://')[2]}"

    def identity(self) -> dict[str, Any]:
        """Return the settings with a hash of the address: as it is shown, two that differ in a query look the same."""
        return {**super().identity(), "address": self.address.identity}

    @property
    def address(self) -> Address:
        """The address; as text without secrets."""
        return address_of(_on_http(self.url))

    def client(self, *, idle_seconds: float = 60.0) -> Client:
        """Return a client that tries nothing twice by itself; SettingsError when aiohttp or a credential is missing."""
        limits = Limits(
            connect_seconds=self.connect_seconds, idle_seconds=idle_seconds, slowest=0, per_host=8, retries=0
        )
        return Client(limits, self.access, self.allow_hosts)


def _table(word: str, value: Any) -> Any:
    if word not in ("headers", "params") or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SettingsError([Problem(word, "should be a JSON object in an address")]) from None


def _on_http(url: str) -> str:
    """The http address beneath ``sse+https://``, ``ws://`` and ``wss://``."""
    scheme, sign, rest = url.partition("://")
    scheme = scheme.removeprefix("sse+")
    return f"{ {'ws': 'http', 'wss': 'https'}.get(scheme, scheme) }{sign}{rest}"
