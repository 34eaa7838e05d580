"""Types of CSV columns: found from a sample, and applied to text without ever coercing a value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskflow.sources.converting import cast_all, misfits
from daskflow.sources.csv_dialect import Dialect

MISSING_WORDS = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null", "None", "none")
"""What is missing in columns of numbers, times and booleans; in text only the empty cell is."""

TRUE_WORDS = ("true", "True", "TRUE")
FALSE_WORDS = ("false", "False", "FALSE")

INTEGER = r"^[+-]?(0|[1-9][0-9]*)(\.0*)?$"
"""5, -5, +5 and 5.0; not 007, which is a name, and not 0x1F."""

TIME = pa.timestamp("us")
NANO_TIME = pa.timestamp("ns")
ZONED_TIME = pa.timestamp("us", tz="UTC")

DATE_WORDS = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?$"
LEADING_ZERO = r"^[+-]?0[0-9]"


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """How the text of cells becomes values.

    Attributes
    ----------
    dialect : Dialect
        Its decimal mark, thousands mark, currency signs and blanks.
    types : mapping of str to pyarrow.DataType
        By column, in the schema's order.
    na_values : tuple of str
        Words that are missing in every column, besides the usual ones.
    na_by_column : mapping of str to tuple of str
        Words that are missing in some columns.
    true_values, false_values : tuple of str
        Words for true and false, besides ``true`` and ``false``.
    date_formats : mapping of str to str
        ``strptime`` formats by column; other time columns are ISO 8601.
    """

    dialect: Dialect
    types: Mapping[str, pa.DataType]
    na_values: tuple[str, ...] = ()
    na_by_column: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    true_values: tuple[str, ...] = ()
    false_values: tuple[str, ...] = ()
    date_formats: Mapping[str, str] = field(default_factory=dict)

    @property
    def trues(self) -> tuple[str, ...]:
        """Words for true."""
        return (*TRUE_WORDS, *self.true_values)

    @property
    def falses(self) -> tuple[str, ...]:
        """Words for false."""
        return (*FALSE_WORDS, *self.false_values)

    @property
    def missing(self) -> tuple[str, ...]:
        """Words that are missing in every column that is not text."""
        return tuple(dict.fromkeys((*MISSING_WORDS, *self.na_values)))

    def missing_in(self, name: str) -> tuple[str, ...]:
        """Words that are missing in a column."""
        words = (*self.na_values, *self.na_by_column.get(name, ()))
        is_text = name in self.types and pa.types.is_string(self.types[name])
        return tuple(dict.fromkeys((*(("",) if is_text else MISSING_WORDS), *words)))

    def is_direct(self, name: str) -> bool:
        """Whether Arrow's own CSV conversion gives what `convert` gives, so that text need not be made first."""
        wanted = self.types[name]
        if name in self.date_formats or name in self.na_by_column or pa.types.is_string(wanted):
            return False
        is_number = pa.types.is_integer(wanted) or pa.types.is_floating(wanted)
        return not is_number or (self.dialect.thousands is None and not self.dialect.currency)

    def described(self, name: str) -> str:
        """Return what a column holds, in words."""
        wanted = self.types[name]
        if pa.types.is_timestamp(wanted):
            known = self.date_formats.get(name)
            return f"a time of the format {known!r}" if known else f"an ISO 8601 time ({wanted})"
        words = f"one of {', '.join([*self.trues[:1], *self.true_values, *self.falses[:1], *self.false_values])}"
        boolean = words if self.true_values or self.false_values else "true or false"
        return {"bool": boolean, "double": "a number (float64)"}.get(str(wanted), str(wanted))

    def convert(self, name: str, text: Any) -> tuple[Any, NDArray[np.int64]]:
        """Turn a column of text into values.

        Parameters
        ----------
        name : str
            The column's.
        text : pyarrow.Array or ChunkedArray of string
            Cells as written; none is null.

        Returns
        -------
        values : pyarrow.Array or ChunkedArray
            In the column's type; missing where the cell is missing or does not fit.
        misfits : ndarray of int64
            Places of the cells that do not fit.
        """
        wanted = self.types[name]
        if pa.types.is_string(wanted):
            if self.dialect.skip_initial_space:
                text = pc.utf8_ltrim(text, " ")
            return _without(text, self.missing_in(name)), np.empty(0, dtype=np.int64)
        text = _without(pc.utf8_trim_whitespace(text), self.missing_in(name))
        plain = self._prepared(name, text)
        values = cast_all(plain, wanted)
        if values is None:
            values = pc.if_else(pc.is_in(plain, value_set=misfits(plain, wanted)), None, plain).cast(wanted)
        return values, np.flatnonzero(np.asarray(_lost(text, values)))

    def fit(self, name: str, text: Any) -> bool:
        """Whether all cells fit a column that is not text; quicker than to `convert` them."""
        text = _without(text, self.missing_in(name))
        plain = self._prepared(name, text)
        return not pc.any(_lost(text, plain)).as_py() and cast_all(plain, self.types[name]) is not None

    def _prepared(self, name: str, text: Any) -> Any:
        """Values that a cast makes into the column's type, where they fit."""
        wanted = self.types[name]
        if pa.types.is_boolean(wanted):
            return _booleans(text, self.trues, self.falses)
        if pa.types.is_timestamp(wanted):
            known = self.date_formats.get(name)
            return _formatted(text, known, wanted) if known else text
        numbers = self.plain_numbers(text)
        if pa.types.is_integer(wanted):
            whole = pc.match_substring_regex(numbers, INTEGER)
            return pc.if_else(whole, pc.replace_substring_regex(numbers, r"^\+|\.0*$", ""), None)
        return numbers

    def plain_numbers(self, text: Any) -> Any:
        """Return numbers with a point, without thousands marks and currency; what is written otherwise is missing."""
        mark, thousands = _literal(self.dialect.decimal), self.dialect.thousands
        if self.dialect.currency:
            sign = "|".join(re.escape(sign) for sign in self.dialect.currency)
            text = pc.replace_substring_regex(text, rf"^([+-]?)\s*(?:{sign})\s*", r"\1")
            text = pc.replace_substring_regex(text, rf"\s*(?:{sign})$", "")
        if thousands is not None:
            grouped = rf"^[+-]?[0-9]{{1,3}}({_literal(thousands)}[0-9]{{3}})+({mark}[0-9]*)?$"
            is_grouped = pc.match_substring_regex(text, grouped)
            text = pc.if_else(is_grouped, pc.replace_substring(text, thousands, ""), text)
        if self.dialect.decimal != ".":
            has_point = pc.match_substring(text, ".")
            text = pc.if_else(has_point, None, pc.replace_substring(text, self.dialect.decimal, "."))
        return text


def _literal(mark: str) -> str:
    """A mark as a regular expression."""
    return f"[{mark}]" if mark not in "^\\]" else f"\\{mark}"


def _without(text: Any, words: Sequence[str]) -> Any:
    """Make some words missing."""
    if tuple(words) == ("",) and not _has_empty(text):
        return text
    is_missing = pc.is_in(text, value_set=pa.array(words, pa.string()))
    return pc.if_else(is_missing, None, text) if pc.any(is_missing).as_py() else text


def _has_empty(text: Any) -> bool:
    """Whether some text is empty, by the places of the texts alone."""
    for chunk in text.chunks if isinstance(text, pa.ChunkedArray) else [text]:
        if len(chunk):
            places = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            if (places[1:] == places[:-1]).any():
                return True
    return False


def _lost(text: Any, values: Any) -> Any:
    """Where a cell that is there became none."""
    return pc.and_(pc.is_valid(text), pc.is_null(values))


def _booleans(text: Any, trues: Sequence[str], falses: Sequence[str]) -> Any:
    """True and false by their words; anything else is missing."""
    place = pc.index_in(text, value_set=pa.array([*trues, *falses], pa.string()))
    return pc.less(place, len(trues))


def _formatted(text: Any, known: str, wanted: pa.DataType) -> Any:
    """Times of a ``strptime`` format; anything else is missing. pandas knows %f and %z, and refuses 31 February."""
    import pandas as pd  # takes a third of a second, and few formats need it

    series = pd.to_datetime(text.to_pandas(), format=known, errors="coerce", utc=wanted.tz is not None)
    return pa.Array.from_pandas(series).cast(wanted)


def type_of_sample(text: Any, cells: Cells, date_format: str | None = None, name: str = "") -> pa.DataType:
    """Find the type of a column from a sample of its cells.

    Whole numbers are int64, unless one has leading zeros or does not fit; with decimals among them float64; the words
    true and false (no 0 and 1, no yes and no) are boolean; ISO 8601 dates and times, or those of `date_format`, are
    timestamps; everything else, and a column without values, is text.

    Parameters
    ----------
    text : pyarrow.Array of string
        Cells as written.
    cells : Cells
        How numbers and missing values are written.
    date_format : str, optional
        A ``strptime`` format that fits some column.
    name : str, optional
        The column's, for the words that are missing in it.

    Examples
    --------
    >>> cells = Cells(Dialect(), {})
    >>> str(type_of_sample(pa.array(["1", "2.5", "NA"]), cells)), str(type_of_sample(pa.array(["02139"]), cells))
    ('double', 'string')
    """
    distinct = pc.unique(pc.utf8_trim_whitespace(text))
    values = _without(distinct, cells.missing_in(name)).drop_null()
    if not len(values):
        return pa.string()
    if date_format is not None and _fits(values, cells, TIME, date_format):
        return TIME
    if _fits(values, cells, pa.bool_()):
        return pa.bool_()
    if pc.any(
        pc.match_substring_regex(cells.plain_numbers(values).fill_null("x"), LEADING_ZERO)
    ).as_py() and not _dates(values):
        return pa.string()
    if _fits(values, cells, pa.int64()):
        whole = pc.match_substring_regex(cells.plain_numbers(values), r"\.")
        return pa.float64() if pc.any(whole).as_py() else pa.int64()
    if pc.all(pc.match_substring_regex(cells.plain_numbers(values).fill_null("x"), r"^[+-]?[0-9]+$")).as_py():
        return pa.string()  # integers beyond 64 bits are names; as floats they would lose digits
    if _fits(values, cells, pa.float64()):
        return pa.float64()
    if _dates(values):
        return next((kind for kind in (TIME, NANO_TIME, ZONED_TIME) if _fits(values, cells, kind)), pa.string())
    return pa.string()


def _dates(values: Any) -> bool:
    """Whether all values begin like ISO dates."""
    return bool(pc.all(pc.match_substring_regex(values, DATE_WORDS)).as_py())


def _fits(values: Any, cells: Cells, wanted: pa.DataType, date_format: str | None = None) -> bool:
    """Whether every value is of a type."""
    formats = {"": date_format} if date_format else {}
    return replace(cells, types={"": wanted}, date_formats=formats).fit("", values)
