"""Addresses of files: never shown with their secrets, and never followed to where the user did not say."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest

HIDDEN = "***"
PORTS = {"http": 80, "https": 443}
MOST_EXPANDED = 1_000_000

RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)(?:\.\.([0-9]+))?\}")
CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https address; as text it has neither user, password nor the values of its query.

    Examples
    --------
    >>> address = Address("https://ann:secret@example.org/a.csv?token=secret")
    >>> f"{address} {address!r}"
    "https://***@example.org/a.csv?token=*** Address('https://***@example.org/a.csv?token=***')"
    >>> address.host, address.port, address.name
    ('example.org', 443, 'a.csv')
    """

    full: str = field(repr=False)

    def __str__(self) -> str:
        """The address as it may be shown and written."""
        parts = self.parts
        place = parts.netloc.rpartition("@")[2]
        user = f"{HIDDEN}@" if "@" in parts.netloc else ""
        query = "&".join(f"{item.partition('=')[0]}={HIDDEN}" if "=" in item else HIDDEN for item in _items(parts))
        return urlunsplit((parts.scheme, user + place, parts.path, query, ""))

    def __repr__(self) -> str:
        """The same, as the class and its argument."""
        return f"Address({str(self)!r})"

    @property
    def parts(self) -> SplitResult:
        """Its parts, as ``urllib`` splits them."""
        return urlsplit(self.full)

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return self.parts.scheme

    @property
    def host(self) -> str:
        """Name or number of the host, in small letters."""
        return (self.parts.hostname or "").rstrip(".")

    @property
    def port(self) -> int:
        """The port, by default the scheme's own."""
        return self.parts.port or PORTS[self.scheme]

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def name(self) -> str:
        """Last part of the path, unquoted; it may be empty, and is not yet safe as the name of a file."""
        return unquote(self.parts.path.rpartition("/")[2])

    @property
    def identity(self) -> str:
        """Hash of what the address names: user and password apart."""
        parts = self.parts
        return digest([*self.origin, parts.path, parts.query], 24)

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password that stand in the address."""
        user, sign, _ = self.parts.netloc.rpartition("@")
        if not sign:
            return None
        name, _, password = user.partition(":")
        return unquote(name), unquote(password)

    @property
    def bare(self) -> str:
        """The address as it is requested: without user, password and fragment."""
        parts = self.parts
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))

    def joined(self, location: str) -> Address:
        """The address that a relative or whole one means when it is found here.

        Raises
        ------
        DataError
            When it is no http or https address.
        """
        try:
            target = urljoin(self.bare, location.strip())
        except ValueError:
            raise DataError(f"{self} names another address that is none.") from None
        return address_of(target)


def _items(parts: SplitResult) -> list[str]:
    return parts.query.split("&") if parts.query else []


def address_of(text: str) -> Address:
    """Return a text as an address.

    Raises
    ------
    DataError
        When it is none; the text is not shown, for it may hold a secret.

    Examples
    --------
    >>> address_of("ftp://ann:secret@example.org/a.csv")
    Traceback (most recent call last):
        ...
    daskflow.core.errors.DataError: 'ftp://...' is no address to fetch from: it should begin with http:// or https://.
    """
    text = text.strip()
    scheme = text.partition("://")[0]
    if scheme.lower() not in PORTS:
        shown = f"'{scheme}://...'" if "://" in text and scheme.isalnum() else "This"
        raise DataError(f"{shown} is no address to fetch from: it should begin with http:// or https://.")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise DataError(
            f"An address of {scheme} has blanks or control characters in it. Write them as %20 and the like."
        )
    try:
        address = Address(urlunsplit(urlsplit(text)))
        if not address.host:
            raise DataError(f"An address of {scheme} names no host: it should be like {scheme}://example.org/a.csv.")
        _ = address.port
    except DataError:
        raise
    except ValueError:  # its text quotes the address
        raise DataError(f"An address of {scheme} has a host or a port that cannot be.") from None
    return address


def expand(template: str) -> Iterator[str]:
    """Yield the addresses that a template stands for, in order.

    ``{00..12}`` counts, with zeros before when they stand in the first number; ``{0..10..5}`` in steps;
    ``{train,test}`` is each of these. Other braces stay.

    Raises
    ------
    DataError
        When there are more than a million.

    Examples
    --------
    >>> list(expand("http://x/{a,b}-{08..10}.csv"))[:4]
    ['http://x/a-08.csv', 'http://x/a-09.csv', 'http://x/a-10.csv', 'http://x/b-08.csv']
    """
    literals, choices, end = [], [], 0
    for found in re.finditer(f"{RANGE.pattern}|{CHOICE.pattern}", template):
        literals.append(template[end : found.start()])
        choices.append(_choices(found))
        end = found.end()
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MOST_EXPANDED:
        raise DataError(f"A template stands for {total:,} addresses; at most {MOST_EXPANDED:,} are fetched at once.")
    for words in itertools.product(*choices):
        yield "".join(itertools.chain.from_iterable(zip(literals, words, strict=True))) + template[end:]


def _choices(found: re.Match[str]) -> Sequence[str]:
    """What one pair of braces stands for."""
    first, last, step, words = found.groups()
    if words is not None:
        return [word.strip() for word in words.split(",")]
    low, high = int(first), int(last)
    width = max(len(first), len(last)) if first.startswith("0") and len(first) > 1 else 0
    sign = 1 if high >= low else -1
    numbers = range(low, high + sign, sign * max(1, int(step or 1)))
    if len(numbers) > MOST_EXPANDED:
        raise DataError(f"A template counts from {low} to {high}; at most {MOST_EXPANDED:,} are fetched at once.")
    return [f"{number:0{width}d}" for number in numbers]


def is_allowed(address: Address, allow_hosts: Sequence[str]) -> bool:
    """Return whether a list of hosts names an address's host and port.

    An entry is ``host`` (its usual ports), ``host:port``, or ``*.example.org`` for all hosts below.

    Examples
    --------
    >>> is_allowed(Address("https://cdn.example.org/a"), ["*.example.org"])
    True
    >>> is_allowed(Address("http://example.org:8080/a"), ["example.org"])
    False
    """
    for entry in allow_hosts:
        host, port = _entry(entry)
        fits = address.host.endswith(host[1:]) if host.startswith("*.") else address.host == host
        if fits and address.port == (PORTS[address.scheme] if port is None else port):
            return True
    return False


def _entry(entry: str) -> tuple[str, int | None]:
    """Host and port of an entry of ``allow_hosts``; ValueError when it is none."""
    parts = urlsplit(f"//{entry}")
    if not parts.hostname or parts.path or parts.query or parts.username is not None:
        raise ValueError("should be hosts such as 'example.org', 'example.org:8080' or '*.example.org'")
    return parts.hostname.rstrip("."), parts.port


def checked_hosts(allow_hosts: Sequence[str]) -> Sequence[str]:
    """Return a list of hosts as it is; ValueError for an entry that is no host."""
    for entry in allow_hosts:
        _entry(entry)
    return allow_hosts


def refusal(first: Address, here: Address, target: Address, allow_hosts: Sequence[str]) -> str:
    """Return why a redirect must not be followed, as a sentence; empty when it may.

    Parameters
    ----------
    first : Address
        The address that the user gave.
    here : Address
        The address that redirects.
    target : Address
        Where to.
    allow_hosts : sequence of str
        Hosts beyond that of `first`.

    Examples
    --------
    >>> here = Address("https://example.org/a")
    >>> refusal(here, here, Address("https://example.org/b"), [])
    ''
    >>> refusal(here, here, Address("http://example.org/a"), [])
    'it redirects from https to http (http://example.org/a), where anyone on the way can read and change the data.'
    """
    if here.scheme == "https" and target.scheme == "http":
        return f"it redirects from https to http ({target}), where anyone on the way can read and change the data."
    if not is_same_place(first, target) and not is_allowed(target, allow_hosts):
        entry = target.host if target.port == PORTS[target.scheme] else f"{target.host}:{target.port}"
        return f"it redirects to another host, {target}. If that is right, say so: allow_hosts = ['{entry}']."
    return ""


def is_same_place(first: Address, target: Address) -> bool:
    """Return whether two addresses have one host and port, or the second is the first's own host by https."""
    is_upgrade = first.port == PORTS["http"] and target.scheme == "https" and target.port == PORTS["https"]
    return first.host == target.host and (first.origin == target.origin or (first.scheme == "http" and is_upgrade))


def is_public(number: str) -> bool:
    """Return whether an IP address is one of the open internet: not private, loopback, link-local or reserved.

    Examples
    --------
    >>> [is_public(number) for number in ("93.184.215.14", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1")]
    [True, False, False, False, False]
    """
    address = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is not None:
            return is_public(str(embedded))
    return address.is_global and not address.is_multicast


def literal_number(address: Address) -> str | None:
    """Return the IP address that stands in an address instead of a name, if one does.

    Examples
    --------
    >>> literal_number(Address("http://[::1]:80/")), literal_number(Address("http://example.org/"))
    ('::1', None)
    """
    try:
        ipaddress.ip_address(address.host.partition("%")[0])
    except ValueError:
        return None
    return address.host
