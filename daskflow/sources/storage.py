"""Stores of files other than this machine's folders: any address that fsspec knows, its secrets never shown."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.core.seeds import digest

HIDDEN = "***"
"""What stands in place of a secret."""

FROM_ENVIRONMENT = "env:"
"""``"env:NAME"`` is the value of the environment variable NAME, looked up when a table is opened."""

READERS = 16

HARMLESS = frozenset(
    {"account_name", "default_block_size", "endpoint_url", "host", "project", "protocol", "region", "region_name"}
)
"""Texts among storage options that are shown; every other text might be a secret."""

VERSIONS = ("ETag", "etag", "generation", "md5Hash", "Content-MD5", "Digest", "content_hash", "checksum")
TIMES = ("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "modified", "created")
"""What stores call the version of a file, and its time."""

SECRET_QUERY = re.compile(r"[?&][^=]*(token|sig|key|secret|password|credential)[^=]*=", re.IGNORECASE)


def shown(value: Any, name: str = "") -> Any:
    """Return storage options as they may be printed: texts hidden unless harmless by name or a reference.

    Examples
    --------
    >>> shown({"anon": False, "key": "env:MY_KEY", "secret": "hunter2", "client_kwargs": {"region_name": "eu-1"}})
    {'anon': False, 'key': 'env:MY_KEY', 'secret': '***', 'client_kwargs': {'region_name': 'eu-1'}}
    """
    if isinstance(value, Mapping):
        return {str(word): shown(item, str(word)) for word, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item, name) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    is_reference = isinstance(value, str) and value.startswith(FROM_ENVIRONMENT)
    return value if is_reference or name in HARMLESS else HIDDEN


def looked_up(value: Any, name: str = "storage_options") -> Any:
    """Return options with every ``env:NAME`` replaced by the variable's value.

    Raises
    ------
    DataError
        For a variable that is not set, and for what was hidden when the options were written.
    """
    if isinstance(value, Mapping):
        return {str(word): looked_up(item, f"{name}.{word}") for word, item in value.items()}
    if isinstance(value, list | tuple):
        return [looked_up(item, name) for item in value]
    if value == HIDDEN:
        raise DataError(
            f"{name} was hidden when these settings were written. Put the secret into an environment variable, and "
            f"say {name} = 'env:NAME'."
        )
    if isinstance(value, str) and value.startswith(FROM_ENVIRONMENT):
        variable = value.removeprefix(FROM_ENVIRONMENT)
        if variable not in os.environ:
            raise DataError(
                f"{name} = '{value}': the environment variable {variable} is not set. Set it, and try again."
            )
        return os.environ[variable]
    return value


StorageOptions = Annotated[
    Mapping[str, Any], PlainSerializer(shown, return_type=dict), Field(default_factory=dict, repr=False)
]
"""The setting: what the store's fsspec class takes; written and printed without secrets."""


def without_secrets(address: str) -> str:
    """Return an address less user, password and query.

    Examples
    --------
    >>> without_secrets("ftp://me:hunter2@example.org/a.csv?token=1")
    'ftp://example.org/a.csv'
    """
    scheme, mark, rest = address.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if mark else address


def holds_no_secret(path: Any) -> Any:
    """Return a ``path`` setting as it is; ValueError when an address in it holds a password or a signature."""
    for item in [path] if isinstance(path, str) else path:
        _, mark, rest = item.partition("://")
        if mark and (":" in rest.partition("/")[0].rpartition("@")[0] or SECRET_QUERY.search(rest)):
            raise ValueError(
                f"{without_secrets(item)} is given with a secret, which would be written down. Put user and password "
                "into storage_options, or the whole address into an environment variable: path = 'env:NAME'"
            )
    return path


Paths = Annotated[str | tuple[str, ...], AfterValidator(holds_no_secret)]


@dataclass(frozen=True, slots=True)
class Storage:
    """A store by the scheme of its addresses, such as ``s3``; travels with its options, and never shows them."""

    scheme: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, address: str, options: Mapping[str, Any]) -> Storage:
        """Return the store of an address; `options` are looked up already."""
        from fsspec.core import get_filesystem_class  # fsspec takes a tenth of a second, most tables are local

        scheme = address.partition("://")[0]
        with speaking_of(address):
            own = get_filesystem_class(scheme)._get_kwargs_from_urls(address)
        return cls(scheme, {**own, **options})

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem; one per process and options."""
        import fsspec

        return fsspec.filesystem(self.scheme, **self.options)

    def expand(self, address: str, wanted: Callable[[str], bool], *, deep: bool) -> dict[str, dict[str, Any]]:
        """Return the files that an address stands for, with what the store says of them.

        Parameters
        ----------
        address : str
            A file, a folder, or a glob.
        wanted : callable
            Says of a name whether a folder stands for it.
        deep : bool
            Whether a folder's subfolders named ``key=value`` count.
        """
        with speaking_of(address):
            files = self.filesystem
            plain = files._strip_protocol(address)
            if glob.has_magic(plain) and not files.exists(plain):
                found = files.glob(plain, detail=True)
            else:
                info = files.info(plain)
                if info["type"] != "directory":
                    return {address: info}
                listed = files.find(plain, detail=True) if deep else {one["name"]: one for one in files.ls(plain)}
                start = len(plain.rstrip("/")) + 1
                found = {
                    name: info for name, info in listed.items() if _is_visible(name[start:], deep=deep) and wanted(name)
                }
            found = {name: info for name, info in found.items() if info["type"] == "file"}
            first = next(iter(found), None)
            if first is not None and version_of(files.info(first)) != version_of(found[first]):
                with ThreadPoolExecutor(READERS) as pool:  # its lists say less of files than the store knows
                    found = dict(zip(found, pool.map(files.info, found), strict=True))
            return {self._full(files, name): info for name, info in found.items()}

    @staticmethod
    def _full(files: Any, name: str) -> str:
        return str(files.unstrip_protocol(name))

    def look(self, address: str) -> tuple[int | None, int]:
        """Return a file's size (None when the store does not say) and the number of its version, asked anew."""
        with speaking_of(address):
            files = self.filesystem
            files.invalidate_cache()
            return size_of(info := files.info(address)), version_of(info)

    def read(self, address: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return parts of a file, given by offset and length; several are fetched at a time."""
        starts = [start for start, _ in ranges]
        ends = [start + length for start, length in ranges]
        with speaking_of(address):
            files = self.filesystem
            plain = files._strip_protocol(address)
            return [bytes(part) for part in files.cat_ranges([plain] * len(starts), starts, ends, on_error="raise")]

    def open(self, address: str) -> Any:
        """Open a file for reading bytes."""
        with speaking_of(address):
            return self.filesystem.open(address, "rb")


def size_of(info: Mapping[str, Any]) -> int | None:
    """Return a file's size; None when the store does not say."""
    size = info.get("size")
    return None if size is None else int(size)


def version_of(info: Mapping[str, Any]) -> int:
    """Return a number that stands for a file's ETag, or else its time; 0 when the store gives neither.

    Examples
    --------
    >>> version_of({"ETag": "a"}) == version_of({"ETag": "a", "mtime": 3.0}) != version_of({"ETag": "b"})
    True
    """
    for word in (*VERSIONS, *TIMES):
        if info.get(word):
            return (int(digest([str(info[word])], 15), 16)) | 1
    return 0


@contextmanager
def speaking_of(address: str) -> Iterator[None]:
    """Turn whatever a store raises into a DataError that names the address, and no secret."""
    where = without_secrets(address)
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{where}: there is no such file or folder.") from None
    except PermissionError:
        raise DataError(f"{where}: no permission to read it. Check storage_options.") from None
    except ImportError as error:
        scheme = where.partition("://")[0]
        raise DataError(f"{where}: reading {scheme} addresses needs another package: {error}.") from None
    except Exception as error:  # each store has its own kinds of errors, with no common ancestor
        said = re.sub(r"[a-z][a-z0-9+.-]*://\S+", lambda found: without_secrets(found[0]), str(error))
        raise DataError(f"{where} cannot be read: {type(error).__name__}: {said:.300}.") from None


def gone(name: str) -> ChangedDataError:
    """Return the error for a file that was there when it was planned."""
    return ChangedDataError(f"{name} was there when it was planned, and is gone. Put it back.")


def _is_visible(relative: str, *, deep: bool) -> bool:
    """Whether a file below a folder counts: no hidden part, and below ``key=value`` folders only."""
    *folders, name = relative.split("/")
    if any(part.startswith((".", "_")) for part in (*folders, name)):
        return False
    return all("=" in folder for folder in folders) if deep else not folders
