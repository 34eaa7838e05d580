"""Workflow files: read with environment and command line laid over them, and written back resolved."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from daskflow.core.errors import Problem, SettingsError

PREFIX = "DASKFLOW__"
"""Environment variables: ``DASKFLOW__SEARCH__MAX_ITER=9`` says ``search.max_iter = 9``."""


def load(
    path: Path, overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a workflow file's tables, with the environment's and then the command line's values laid over them.

    Parameters
    ----------
    path : Path
        The TOML file.
    overrides : mapping, optional
        Values by dotted name, such as ``{"search.max_iter": 9}``; they win.
    environment : mapping, optional
        Default ``os.environ``.

    Raises
    ------
    SettingsError
        For a file that is absent, unreadable or not TOML (with the line), or a dotted name that runs into a value.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}. `daskflow init PATH --target COLUMN` writes a workflow file."
        ) from error
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(PREFIX):
            lay_over(tables, name.removeprefix(PREFIX).lower().replace("__", "."), value_of(text))
    for name, value in (overrides or {}).items():
        lay_over(tables, name, value)
    return tables


def value_of(text: str) -> Any:
    """Return what a text means in TOML, else the text itself.

    Examples
    --------
    >>> value_of("9"), value_of("[1, 2]"), value_of("roc_auc")
    (9, [1, 2], 'roc_auc')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def lay_over(tables: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted name in nested tables; a kind's bare name becomes its table first.

    A number in the name is a place in a list of tables.

    Examples
    --------
    >>> tables = {"data": {"joins": [{"path": "a.csv"}]}, "search": "random"}
    >>> lay_over(tables, "data.joins.0.path", "b.csv")
    >>> lay_over(tables, "search.trials", 3)
    >>> tables
    {'data': {'joins': [{'path': 'b.csv'}]}, 'search': {'kind': 'random', 'trials': 3}}
    """
    *path, last = name.split(".")
    table: Any = tables
    for depth, word in enumerate(path, start=1):
        below = table[int(word)] if isinstance(table, list) else table.setdefault(word, {})
        if isinstance(below, str):
            below = {"kind": below}
        after = [*path, last][depth]
        if isinstance(below, list) and after.isdigit() and int(after) < len(below) and depth < len(path):
            below = list(below)
        elif isinstance(below, Mapping):
            below = dict(below)
        else:
            place = ".".join(path[:depth])
            raise SettingsError([Problem(name, f"{place} is a value, not a table (found {below!r:.80})")])
        table[int(word) if isinstance(table, list) else word] = below
        table = below
    table[last] = value


def write(tables: Mapping[str, Any]) -> bytes:
    """Return tables as a TOML file, without the values that are None.

    The selectors of ``preprocess.columns`` keep their order, for it decides; tomli_w puts long values behind short ones
    elsewhere.

    Examples
    --------
    >>> print(write({"preprocess": {"columns": {"a_*": [{"kind": "clip", "lower": 1e-9}]}}}).decode().strip())
    [preprocess]
    <BLANKLINE>
    [preprocess.columns]
    "a_*" = [{ "kind" = "clip", "lower" = 1e-09 }]
    """
    plain = _without_none(tables)
    preprocess = plain.get("preprocess", {})
    columns = preprocess.pop("columns", {}) if isinstance(preprocess, dict) else {}
    text = tomli_w.dumps(plain)
    if columns:
        lines = [f"{_inline(key)} = {_inline(chain)}" for key, chain in columns.items()]
        text = "\n".join([text.rstrip(), "", "[preprocess.columns]", *lines, ""])
    return text.encode()


def _inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_inline(key)} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return repr(value)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value if item is not None]
    return value
