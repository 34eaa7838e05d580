"""Values of a queue's options: what may stand in a script, and the types of such options; errors are sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from dask.utils import parse_bytes
from pydantic import AfterValidator, BeforeValidator


def size_of(value: Any, *, least: int) -> str:
    """Return a size as a text; ValueError with a sentence for what is none, or too small."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    try:
        size = parse_bytes(text) if text and not re.fullmatch(r"-.*", text) else 0
    except ValueError:
        size = 0
    if size < least:
        raise ValueError(f"should be a size of at least {least // 2**20} MiB such as '4 GiB'")
    return text


def one_word(value: str | None) -> str | None:
    """Return a text that may stand in a directive; ValueError for blanks and what a shell would act on."""
    if value is not None and not re.fullmatch(r"[^\s\"'`$;&|<>\\]+", value):
        raise ValueError("should be one word")
    return value


def one_line(value: str | None) -> str | None:
    """Return a text that is one line; ValueError for any other."""
    if value is not None and (not value.strip() or re.search(r"[\n\r\0]", value)):
        raise ValueError("should be one line of text")
    return value


def _size_of_a_worker(value: Any) -> str:
    return size_of(value, least=2**26)


def _text_of_a_number(value: Any) -> Any:
    """Take an account that is a number, as configurations have it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _interface(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,14}", value):
        raise ValueError("should be the name of a network interface such as 'ib0' or 'eth0' (`ip -br link` lists them)")
    return value


def _lines_of(value: Any) -> Any:
    """Take one text for a list of its lines."""
    return [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


def _each_one_line(value: tuple[str, ...]) -> tuple[str, ...]:
    for line in value:
        if not line.strip() or re.search(r"[\n\r\0]", line):
            raise ValueError("each should be one line of text")
    return value


def _packages(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])?|_\w*", name):
            raise ValueError(f"'{name}' is no name of a package: as pip takes it, without a version")
    return value


def _texts_of_numbers(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {k: str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for k, v in value.items()}


def _variables(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"'{name}' is no name of a variable: letters, digits and '_'")
        if re.search(r"[\n\r\0]", text):
            raise ValueError(f"{name} should be one line of text")
    return value


Memory = Annotated[str, BeforeValidator(_size_of_a_worker)]
"""A size that a worker can live with, such as ``"4 GiB"``."""

Word = Annotated[str | None, AfterValidator(one_word)]
"""A text that a shell takes for one word and does not act on."""

Name = Annotated[str | None, BeforeValidator(_text_of_a_number), AfterValidator(one_word)]
"""A word that may be written as a number."""

Line = Annotated[str | None, AfterValidator(one_line)]
"""A text of one line, such as a path."""

Lines = Annotated[tuple[str, ...], BeforeValidator(_lines_of), AfterValidator(_each_one_line)]
"""Texts of one line each; one text of several lines is taken for them."""

Interface = Annotated[str | None, AfterValidator(_interface)]
"""The name of a network interface."""

Packages = Annotated[tuple[str, ...], AfterValidator(_packages)]
"""Names of packages, as pip takes them."""

Variables = Annotated[dict[str, str], BeforeValidator(_texts_of_numbers), AfterValidator(_variables)]
"""Values of environment variables by their names; numbers are taken for texts."""
