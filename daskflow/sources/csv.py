"""CSV files: one schema from a spread sample, every header compared, and no value coerced."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Table
from daskflow.sources import Source
from daskflow.sources.csv_decode import CsvPiece, by_record
from daskflow.sources.csv_sample import SampledFile, evidence, first_rows, head_from, sample_of, types_of
from daskflow.sources.csv_text import PACKED_SUFFIXES, Dialect, Head
from daskflow.sources.csv_types import Cells
from daskflow.sources.files import resolve
from daskflow.sources.opening import SAMPLE_ROWS, listed, open_table, unknown
from daskflow.sources.reading import FoundFile, paths
from daskflow.sources.type_words import checked_words, type_of_word

PACKED_RATIO = 6
"""Text per compressed byte, as usual for tables; only for estimates."""

SHOWN_FILES = 5

SEPARATORS = (";", "\t", "|", ",", "^")


def _words(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Csv(Source):
    """CSV files, plain or compressed (.gz, .bz2, .zst); one partition per file.

    The header of every file is compared, and types are found from a sample of the first, the last and up to 14
    files between. Digits with leading zeros stay text, only the words true and false are boolean, ISO 8601 times are
    times. A row that does not fit what was found is an error with file, line, column and value, or is rejected and
    listed; no value is coerced, and no row is lost.

    Attributes
    ----------
    path : str or list of str
        Files, globs, or folders of CSV files.
    separator : str
        One character.
    encoding : str
        Python's name of it; a byte order mark of UTF-8 is taken off.
    header : bool or None
        Whether the first row names the columns. Default as in pandas: yes without `names`, no with `names`.
    names : list of str or None
        Names of the columns; with ``header = true`` they replace those in the files.
    na_values : list of str
        Words that are missing in every column. Always missing is the empty cell; in columns that are not text also
        NA, N/A, n/a, #N/A, <NA>, NaN, nan, -nan, NULL, null, None and none. Unlike in pandas these stay in text, where
        NA may be Namibia.
    quote, escape : str or None
        Characters; ``quote = ""`` for files without quoting.
    decimal, thousands : str or None
        Marks within numbers.
    comment : str or None
        Lines that begin with it are left out.
    skip_rows : int
        Lines left out at the beginning.
    skip_initial_space : bool
        Whether blanks at the beginning of every cell (and header) go.
    dtypes : mapping of str to str
        Types by column: string, int64, float64, bool, datetime, category (as text), and their relatives in pandas.
    date_format : str, mapping of str to str, or None
        ``strptime`` format, of all time columns or by column; None for ISO 8601.
    on_bad_rows : str
        ``"fail"``, or ``"reject"``: leave them out, listed with file, line and reason.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "people.csv"
    >>> _ = path.write_text("age,zip\\n31,02139\\n,10115\\n")
    >>> [str(column.type) for column in Csv(path=path).table().schema.columns]
    ['int64', 'string']
    """

    kind: Literal["csv"] = "csv"
    path: Annotated[str | tuple[str, ...], BeforeValidator(paths)]
    separator: str = ","
    encoding: str = "utf-8"
    header: bool | None = None
    names: tuple[str, ...] | None = None
    na_values: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    quote: str = '"'
    escape: str | None = None
    decimal: str = "."
    thousands: str | None = None
    comment: str | None = None
    skip_rows: int = Field(default=0, ge=0)
    skip_initial_space: bool = False
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)
    date_format: str | Mapping[str, str] | None = None
    on_bad_rows: Literal["fail", "reject"] = "fail"

    @field_validator("separator", "escape", "decimal", "thousands", "comment")
    @classmethod
    def _is_one_character(cls, mark: str | None) -> str | None:
        if mark is not None and not (len(mark) == 1 and mark.isascii()):
            raise ValueError("should be one ASCII character")
        return mark

    @field_validator("quote")
    @classmethod
    def _is_one_character_or_none(cls, mark: str) -> str:
        if len(mark) > 1 or not mark.isascii():
            raise ValueError('should be one ASCII character, or "" for none')
        return mark

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError("no such encoding; usual ones are utf-8, latin-1, cp1252, utf-16") from None
        return encoding

    @field_validator("names")
    @classmethod
    def _are_different(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        repeated = sorted(name for name, count in Counter(names or ()).items() if count > 1)
        if repeated:
            raise ValueError(f"these stand twice: {listed(repeated)}")
        return names

    @model_validator(mode="after")
    def _marks_differ(self) -> Csv:
        """Refuse marks that could not be told apart."""
        if self.thousands == self.decimal:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if self.separator == self.quote:
            raise ValueError(f"separator and quote are both {self.quote!r}")
        return self

    @property
    def dialect(self) -> Dialect:
        """How cells are written."""
        return Dialect(
            separator=self.separator,
            encoding=self.encoding,
            header=self.names is None if self.header is None else self.header,
            quote=self.quote or None,
            escape=self.escape,
            decimal=self.decimal,
            thousands=self.thousands,
            comment=self.comment,
            skip_rows=self.skip_rows,
            skip_initial_space=self.skip_initial_space,
        )

    def table(self, base: Path = Path()) -> Table:
        """Look at every header and at a sample of rows, and return the lazy table.

        Raises
        ------
        DataError
            For files that are missing, empty, damaged or in another encoding, and for headers that differ.
        """
        files = resolve(self.path if isinstance(self.path, str) else list(self.path), "csv", base)
        heads = _heads(files, self.dialect)
        sample = sample_of(heads, self.dialect)
        self._check_first_row(sample[0])
        if self.names is None:
            _check_headers(heads)
        else:
            sample = [one.named(self.names) for one in sample]
        names = sample[0].head.names
        self._check_width(sample, len(names))
        cells = self._cells(sample, names)
        schema = Schema.of(pa.schema(list(cells.types.items())))
        few = first_rows(sample, len(names), SAMPLE_ROWS)
        rows, _ = by_record(few, names, cells)
        memory_per_byte = rows.nbytes / max(1, sum(len(row.text) for row in few)) if few else 1.0
        pieces = [
            CsvPiece(file, self.dialect, cells, self.names, self.on_bad_rows, int(_text_bytes(file) * memory_per_byte))
            for file in files
        ]
        return open_table(self, schema, pieces, rows)

    def _cells(self, sample: Sequence[SampledFile], names: Sequence[str]) -> Cells:
        """The types of all columns, said or found."""
        by_column = self.date_format if isinstance(self.date_format, Mapping) else {}
        for option, given in (("dtypes", self.dtypes), ("date_format", by_column)):
            if problem := unknown(option, list(given), names):
                raise DataError(problem)
        everywhere = self.date_format if isinstance(self.date_format, str) else None
        found = types_of(sample, names, Cells(self.dialect, {}, self.na_values), everywhere)
        said = {name: type_of_word(word) for name, word in self.dtypes.items()}
        said = {**dict.fromkeys(by_column, type_of_word("datetime")), **said}
        types = {**found, **said}
        times = [name for name, kind in types.items() if pa.types.is_timestamp(kind)]
        formats = {**(dict.fromkeys(times, everywhere) if everywhere else {}), **by_column}
        return Cells(self.dialect, types, self.na_values, formats)

    def _check_first_row(self, first: SampledFile) -> None:
        """Refuse a header that looks like data, and data that look like a header, unless the user said which."""
        if self.header is not None or not first.rows:
            return
        has_header = self.dialect.header
        row = first.head.names if has_header else tuple(first.rows[0].cells)
        places = [f"{place}" for place in range(len(row))]
        below = replace(first.named(places), rows=first.rows[0 if has_header else 1 : SAMPLE_ROWS])
        cells = Cells(self.dialect, {}, self.na_values)
        kinds = types_of([below], places, cells, None)
        like_data, like_names = evidence(row, list(kinds.values()), cells)
        where, shown = f"{first.file.name}, line {first.head.line}", self.separator.join(row)[:80]
        if has_header and like_data and not like_names:
            raise DataError(
                f"{where}: the first row looks like data, not like names ({shown!r}). Set header = false under [data], "
                "with names = [...] for the columns; or header = true if these are their names."
            )
        if not has_header and like_names and not like_data:
            raise DataError(
                f"{where}: names are given, so there should be no header, but the first row looks like one "
                f"({shown!r}). Set header = true to replace it by the names, or header = false if it is data."
            )

    def _check_width(self, sample: Sequence[SampledFile], n_columns: int) -> None:
        """Refuse a wrong separator, and names that are more or fewer than the cells of every row."""
        rows = [row for one in sample for row in one.rows]
        if n_columns == 1 and "separator" not in self.model_fields_set:
            texts = [self.separator.join(sample[0].head.names), *(row.text for row in rows[:100])]
            for mark in SEPARATORS:
                counts = {text.count(mark) for text in texts}
                if mark != self.separator and len(counts) == 1 and counts != {0}:
                    raise DataError(
                        f"{sample[0].file.name} has a single column, {texts[0]!r:.80}, and as many {mark!r} in every "
                        f"line. Set separator = {mark!r} under [data]; or separator = {self.separator!r} if it is one."
                    )
        widths = Counter(len(row.cells) for row in rows)
        if rows and n_columns not in widths and (len(rows) > 1 or self.on_bad_rows == "fail"):
            width, _ = widths.most_common(1)[0]
            raise DataError(
                f"{sample[0].file.name}, line {sample[0].head.line}: there are {n_columns} names, and the rows have "
                f"{width} cells, such as {rows[0].text.strip()!r:.80}. Name all columns with names = [...] (and "
                "header = true to replace the header), or correct separator, quote or skip_rows."
            )


def _heads(files: Sequence[FoundFile], dialect: Dialect) -> list[tuple[FoundFile, Head]]:
    """Read every header; DataError with all the files that have none."""
    heads: list[tuple[FoundFile, Head]] = []
    problems: list[str] = []
    for file in files:
        try:
            heads.append((file, head_from(file, dialect)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join([*problems[:SHOWN_FILES], *_more(len(problems))]))
    return heads


def _more(count: int) -> list[str]:
    return [f"{count - SHOWN_FILES} more files have such problems."] if count > SHOWN_FILES else []


def _check_headers(heads: Sequence[tuple[FoundFile, Head]]) -> None:
    """Refuse names that stand twice, and headers with other names than the first; the order may differ."""
    (first, head), *others = heads
    problems: list[str] = []
    for file, own in heads:
        nameless = sum(name.startswith("Unnamed: ") for name in own.names)
        if nameless > 1 and nameless > len(own.names) / 2:
            problems.append(
                f"{file.name}, line {own.line}: {nameless} of {len(own.names)} columns have no name. Set skip_rows "
                "to the number of lines before the header, or names = [...] for all columns."
            )
        repeated = [name for name, count in Counter(own.names).items() if count > 1]
        if repeated:
            problems.append(
                f"{file.name}, line {own.line}: these columns stand twice: {listed(repeated)}. Rename them in the "
                "file, or give names = [...] with header = true; if the row is data, set header = false."
            )
    if problems:
        raise DataError("\n".join([*problems[:SHOWN_FILES], *_more(len(problems))]))
    differing = [(file, own) for file, own in others if set(own.names) != set(head.names)]
    if differing:
        raise DataError(
            "\n".join(
                [
                    f"The headers differ. {first.name} has {listed(head.names)}.",
                    *(_difference(file, own, head) for file, own in differing[:SHOWN_FILES]),
                    *_more(len(differing)),
                    "Give all files the same header; replace the headers with header = true and names = [...]; or read "
                    "the files apart.",
                ]
            )
        )


def _difference(file: FoundFile, own: Head, head: Head) -> str:
    """What a file's header lacks and has, beside the first one."""
    lacking = [name for name in head.names if name not in own.names]
    extra = [name for name in own.names if name not in head.names]
    parts = [f"lacks {listed(lacking)}" if lacking else "", f"has {listed(extra)}" if extra else ""]
    return f"{file.name}, line {own.line}: {'; '.join(part for part in parts if part)}."


def _text_bytes(file: FoundFile) -> int:
    """Estimated size of a file's text."""
    return file.size_bytes * (PACKED_RATIO if file.name.lower().endswith(PACKED_SUFFIXES) else 1)
