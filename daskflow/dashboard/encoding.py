"""Encoding: values as JSON, quickly, whatever is among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import JSONEncoder
from typing import Any

from daskflow.core.journal import plain


def _scalar(value: Any) -> Any:
    """Turn a library's scalar or array, or a mapping or sequence that is no plain one, into what JSON has."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return list(value)
    return str(value)


_encode = JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False, default=_scalar).encode


def json_of(value: Any) -> bytes:
    """Return a value as JSON; not-a-number and infinities are null, scalars of numpy are numbers.

    Examples
    --------
    >>> json_of({"a": [1, float("nan")], (1, 2): "<b>"})
    b'{"a":[1,null],"(1, 2)":"<b>"}'
    """
    try:
        return _encode(value).encode()
    except (ValueError, TypeError):  # rare: the encoder in C is several times as fast as looking at every value
        return _encode(plain(value)).encode()
