"""CSV files: one schema from a spread sample, every header compared, and no value coerced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Table
from daskflow.sources.csv_cuts import pieces_of
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_heads import FIRST_BYTES, FoundText, check_headers, heads_of, named, note_on_ends, renamed
from daskflow.sources.csv_hints import has_blank_and_quote, hints, note_on_types, refuse_quotes_behind_blanks
from daskflow.sources.csv_piece import CsvPiece, Learned, Recipe
from daskflow.sources.csv_records import by_record
from daskflow.sources.csv_sample import SampledFile, evidence, first_rows, sample_of, types_of
from daskflow.sources.csv_types import Cells
from daskflow.sources.csv_words import in_our_words, is_known_encoding, is_no_number, words
from daskflow.sources.file_source import FileSource, note_on_size
from daskflow.sources.opening import SAMPLE_ROWS, listed, open_table, unknown
from daskflow.sources.path_columns import PathColumns, path_columns, with_constants
from daskflow.sources.reading import FoundFile
from daskflow.sources.type_words import checked_words, type_of_word

SEPARATORS = (";", "\t", "|", ",", "^")

BY_SUFFIX = {".tsv": "\t", ".tab": "\t", ".psv": "|", ".ssv": ";"}
"""Separators that a file's name tells; all others have commas."""

Words = Annotated[tuple[str, ...], BeforeValidator(words)]


class Csv(FileSource):
    """CSV files, plain or compressed (.gz, .bz2, .xz, .zst, .zip); large ones are cut at records.

    The header of every file is compared, and types are found from a sample: of up to 128 files their beginning, of
    large plain ones up to 32 places. Digits with leading zeros stay text, only the words true and false are boolean,
    ISO 8601 times are times. A row that does not fit what was found is an error with file, line, column and value, or
    is rejected and listed; no value is coerced, and no row is lost. Header, comments, blank lines and footer are no
    rows.

    Words of pandas (sep, delimiter, quotechar, escapechar, doublequote, skiprows, skipfooter, skipinitialspace, dtype,
    usecols) mean what is called separator, quote, escape, double_quote, skip_rows, skip_footer, skip_initial_space,
    dtypes and columns here.

    Attributes
    ----------
    path : str or list of str
        Files, globs, or folders of CSV files; also addresses that fsspec knows, such as ``s3://bucket/folder``, and
        ``env:NAME`` for the value of an environment variable. A folder also stands for the files below its subfolders
        named ``key=value``.
    storage_options : mapping
        What the store of the addresses takes, as in pandas and Dask. Texts in it are never printed or written; say
        ``env:NAME`` for what is to be looked up in the environment.
    separator : str or None
        One character. None for what the file's name tells: tab for .tsv and .tab, bar for .psv, semicolon for .ssv, and
        comma for all others.
    encoding : str or None
        Python's name of it. None for UTF-8, and for UTF-16 and UTF-32 where a byte order mark says so.
    compression : str
        gzip, bz2, xz, zstd, zip (with one file in it), none, or infer: by the file's suffix.
    header : bool or None
        Whether the first row names the columns. Default as in pandas: yes without `names`, no with `names`.
    names : list of str or None
        Names of the columns; with ``header = true`` they replace those in the files.
    rename : mapping of str to str
        Other names for columns, by the name in the file or by a pattern: ``{"*_MW" = "MW"}`` for files that each call
        the same column otherwise.
    columns : list of str or None
        Only these are read; None for all. They are then the table's columns: row hashes cover these alone.
    hive : bool or None
        Whether folders named ``key=value`` directly above the files are columns. True requires them, False leaves them
        out, None takes them where they are.
    file_column : str or None
        Name of a column to add that holds each row's file name, relative to the folder that all files share.
    na_values : list of str, or mapping of str to list of str
        Words that are missing, in every column or by column. Always missing is the empty cell; in columns that are not
        text also NA, N/A, n/a, #N/A, <NA>, NaN, nan, -nan, NULL, null, None and none. Unlike in pandas these stay in
        text, where NA may be Namibia.
    true_values, false_values : list of str
        Words for true and false besides true, True, TRUE, false, False and FALSE. A column that has only such words is
        boolean.
    quote, escape : str or None
        Characters; ``quote = ""`` for files without quoting.
    double_quote : bool
        Whether two quotes within a quoted cell are one quote.
    decimal, thousands : str or None
        Marks within numbers.
    currency : str
        Signs that may stand before or behind a number, such as ``"£$"``, and are left out.
    comment : str or None
        Lines that begin with it are left out.
    skip_rows : int
        Lines left out at the beginning.
    skip_footer : int
        Lines left out at the end; blank lines behind them do not count.
    skip_initial_space : bool
        Whether blanks at the beginning of every cell (and header) go.
    dtypes : mapping of str to str
        Types by column: string, int64, float64, bool, datetime, category (as text), and their relatives in pandas.
    date_format : str, mapping of str to str, or None
        ``strptime`` format, of all time columns or by column; None for ISO 8601.
    on_bad_rows : str
        ``"fail"``, or ``"reject"``: leave them out, listed with file, line and reason.
    partition_bytes : int
        Memory of a partition's rows to aim at; 128 MiB keeps a few partitions in a worker of 2 GiB.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "people.csv"
    >>> _ = path.write_text("age,zip\\n31,02139\\n,10115\\n")
    >>> [str(column.type) for column in Csv(path=path).table().schema.columns]
    ['int64', 'string']
    """

    kind: Literal["csv"] = "csv"
    separator: str | None = None
    encoding: str | None = None
    compression: Literal["infer", "none", "gzip", "bz2", "xz", "zstd", "zip"] = "infer"
    header: Annotated[bool | None, BeforeValidator(is_no_number)] = None
    names: tuple[str, ...] | None = None
    rename: Mapping[str, str] = Field(default_factory=dict)
    columns: tuple[str, ...] | None = None
    na_values: Words | Mapping[str, Words] = ()
    true_values: Words = ()
    false_values: Words = ()
    quote: str = '"'
    escape: str | None = None
    double_quote: bool = True
    decimal: str = "."
    thousands: str | None = None
    currency: str = ""
    comment: str | None = None
    skip_rows: int = Field(default=0, ge=0)
    skip_footer: int = Field(default=0, ge=0)
    skip_initial_space: bool = False
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)
    date_format: str | Mapping[str, str] | None = None
    on_bad_rows: Literal["fail", "reject"] = "fail"
    partition_bytes: int = Field(default=128 << 20, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _takes_words_of_pandas(cls, given: Any) -> Any:
        return in_our_words(given)

    @field_validator("separator", "escape", "decimal", "thousands", "comment")
    @classmethod
    def _is_one_character(cls, mark: str | None) -> str | None:
        if mark is not None and not (len(mark) == 1 and mark.isascii() and mark not in "\r\n\0"):
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
    def _is_known(cls, encoding: str | None) -> str | None:
        return is_known_encoding(encoding)

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
        marks = {
            "separator": self.separator,
            "quote": self.quote or None,
            "escape": self.escape,
            "comment": self.comment,
        }
        for word, mark in marks.items():
            same = [other for other in marks if marks[other] == mark]
            if mark is not None and len(same) > 1:
                raise ValueError(f"{word} and {same[1]} are both {mark!r}")
        if set(self.true_values) & set(self.false_values):
            raise ValueError(f"{listed(sorted(set(self.true_values) & set(self.false_values)))} is both true and false")
        return self

    def dialect(self, separator: str) -> Dialect:
        """Return how cells are written."""
        return Dialect(
            separator=separator,
            header=self.names is None if self.header is None else self.header,
            quote=self.quote or None,
            escape=self.escape,
            double_quote=self.double_quote,
            decimal=self.decimal,
            thousands=self.thousands,
            currency=self.currency,
            comment=self.comment,
            skip_rows=self.skip_rows,
            skip_footer=self.skip_footer,
            skip_initial_space=self.skip_initial_space,
        )

    def table(self, base: Path = Path()) -> Table:
        """Look at every header and at a sample of rows, and return the lazy table.

        Raises
        ------
        DataError
            For files that are missing, empty, damaged or in another encoding, and for headers that differ.
        """
        files = self.found(base)
        dialect = self.dialect(self.separator or _separator_of(files))
        found = heads_of(files, dialect, self.encoding, self.compression)
        self._check_first_row(sample_of(found[:1], dialect, FIRST_BYTES)[0], dialect)
        found = self._with_names(found)
        if self.names is None or self.rename:
            check_headers(found)
        sample = sample_of(found, dialect)
        names = found[0].head.names
        self._check_width(sample, dialect, len(names))
        beside = self._beside(found)
        cells = self._cells(sample, dialect, names, list(beside.types))
        few = first_rows(sample, len(names), SAMPLE_ROWS)
        rows, _ = by_record(few, sample[0].head, cells)
        memory_per_byte = (
            max(rows.nbytes, 1) / sum(len(row.text) for row in few) if rows.num_rows == len(few) > 0 else 1.0
        )
        shown = with_constants(rows, beside.of(files[0]), beside.types)
        read = [*note_on_types(sample, cells, self.dtypes), *hints(sample, cells, self.dtypes)]
        notes = [*beside.notes, *note_on_size(files), *note_on_ends(found), *read]
        return open_table(self, *self._plan(found, cells, beside, memory_per_byte), shown, (), notes, base)

    def learned(self, table: Table) -> Learned | None:
        """Return what opening a table found out, for `table_like`."""
        (first, *_) = (piece for piece in table.partitions if isinstance(piece, CsvPiece))
        return Learned(first.head.names, first.recipe.cells)

    def table_like(self, learned: Learned) -> Table | None:
        """Return the table of files that are like others: in the columns and types of those, without looking for types.

        None for files whose header, or whose name, says that they are written otherwise: they are to be opened by
        themselves, and so are those of a single column, whose header says little.

        Raises
        ------
        DataError
            For files that are missing, empty, damaged or in another encoding.
        """
        files = self.found(Path())
        dialect = self.dialect(self.separator or _separator_of(files))
        found = self._with_names(heads_of(files, dialect, self.encoding, self.compression))
        is_alike = all(sorted(one.head.names) == sorted(learned.names) for one in found)
        if len(learned.names) < 2 or not is_alike or dialect != learned.cells.dialect:
            return None
        return open_table(self, *self._plan(found, learned.cells, self._beside(found), 1.0))

    def has_doubts(self, decoded: Decoded) -> bool:
        """Whether the file of rows that `table_like` read is to be looked at by itself: it may be written otherwise.

        So it is where rows were refused, and where text begins with a blank and a quote that nobody explained.
        """
        if decoded.rejects or "skip_initial_space" in self.model_fields_set or self.quote != '"':
            return bool(decoded.rejects)
        texts = [column for column in decoded.rows.columns if pa.types.is_string(column.type)]
        return any(pc.any(pc.starts_with(text, " ")).as_py() and has_blank_and_quote(text) for text in texts)

    def _beside(self, found: Sequence[FoundText]) -> PathColumns:
        """The columns that stand in the files' names."""
        files, casts = [one.file for one in found], {name: type_of_word(word) for name, word in self.dtypes.items()}
        beside = path_columns(files, hive=self.hive, file_column=self.file_column, columns=self.columns, casts=casts)
        beside.refuse(found[0].head.names, files[0].name)
        return beside

    def _plan(
        self, found: Sequence[FoundText], cells: Cells, beside: PathColumns, memory_per_byte: float
    ) -> tuple[Schema, list[CsvPiece]]:
        """The schema, and the files cut into partitions."""
        recipe = Recipe(cells.dialect, cells, self.on_bad_rows, dict(beside.types))
        pieces = [
            piece
            for one in found
            for piece in pieces_of(one, recipe, beside.of(one.file), memory_per_byte, self.partition_bytes)
        ]
        return Schema.of(pa.schema([*cells.types.items(), *beside.types.items()])), pieces

    def _with_names(self, found: list[FoundText]) -> list[FoundText]:
        """The files under the names that the table has."""
        if self.names is not None:
            found = named(found, self.names)
        return renamed(found, self.rename) if self.rename else found

    def _cells(self, sample: Sequence[SampledFile], dialect: Dialect, names: Sequence[str], beside: list[str]) -> Cells:
        """The types of all columns, said or found."""
        formats = self.date_format if isinstance(self.date_format, Mapping) else {}
        by_column = self.na_values if isinstance(self.na_values, Mapping) else {}
        kept = list(names) if self.columns is None else [name for name in names if name in self.columns]
        for option, given in (
            ("dtypes", self.dtypes),
            ("date_format", formats),
            ("na_values", by_column),
            ("columns", self.columns or ()),
        ):
            if problem := unknown(option, list(given), [*names, *beside]):
                raise DataError(problem)
        everywhere = self.date_format if isinstance(self.date_format, str) else None
        empty = Cells(
            dialect=dialect,
            types={},
            na_values=() if isinstance(self.na_values, Mapping) else self.na_values,
            na_by_column=by_column,
            true_values=self.true_values,
            false_values=self.false_values,
        )
        said = {name: type_of_word(word) for name, word in self.dtypes.items()}
        said = {**dict.fromkeys(formats, type_of_word("datetime")), **said}
        types = types_of(sample, [name for name in kept if name not in said], empty, everywhere)
        types = {name: said.get(name) or types[name] for name in kept}
        times = [name for name, kind in types.items() if pa.types.is_timestamp(kind)]
        known = {**(dict.fromkeys(times, everywhere) if everywhere else {}), **formats}
        return replace(empty, types=types, date_formats={name: known[name] for name in known if name in types})

    def _check_first_row(self, first: SampledFile, dialect: Dialect) -> None:
        """Refuse a header that looks like data, and data that look like a header, unless the user said which."""
        if self.header is not None or not first.rows:
            return
        row = first.head.header or tuple(first.rows[0].cells)
        places = [f"{place}" for place in range(len(row))]
        below = replace(first.named(places), rows=first.rows[0 if dialect.header else 1 : SAMPLE_ROWS])
        shared = () if isinstance(self.na_values, Mapping) else self.na_values
        cells = Cells(dialect, {}, shared, true_values=self.true_values, false_values=self.false_values)
        kinds = types_of([below], places, cells, None)
        like_data, like_names = evidence(row, list(kinds.values()), cells)
        where, shown = f"{first.file.name}, line {first.head.line}", dialect.separator.join(row)[:80]
        if dialect.header and like_data and not like_names:
            raise DataError(
                f"{where}: the first row looks like data, not like names ({shown!r}). Set header = false under [data], "
                "with names = [...] for the columns; or header = true if these are their names."
            )
        if not dialect.header and like_names and not like_data:
            raise DataError(
                f"{where}: names are given, so there should be no header, but the first row looks like one "
                f"({shown!r}). Set header = true to replace it by the names, or header = false if it is data."
            )

    def _check_width(self, sample: Sequence[SampledFile], dialect: Dialect, n_columns: int) -> None:
        """Refuse a wrong separator, and names that are more or fewer than the cells of every row."""
        rows, mark, name = [row for one in sample for row in one.rows], dialect.separator, sample[0].file.name
        if n_columns == 1 and self.separator is None:
            texts = [mark.join(sample[0].head.names), *(row.text for row in rows[:100])]
            for other in SEPARATORS:
                counts = {text.count(other) for text in texts}
                if other != mark and len(counts) == 1 and counts != {0}:
                    raise DataError(
                        f"{name} has a single column, {texts[0]!r:.80}, and as many {other!r} in every line. "
                        f"Set separator = {other!r} under [data]; or separator = {mark!r} if it is one."
                    )
        if "skip_initial_space" not in self.model_fields_set and self.quote == '"':
            refuse_quotes_behind_blanks(sample, mark)
        widths = Counter(len(row.cells) for row in rows)
        first = sample[0].head.header[:1]
        if first and first[0].startswith("#") and self.comment is None and 2 * widths[n_columns] < len(rows):
            raise DataError(
                f"{name}, line {sample[0].head.line}: the header begins with '#' ({first[0]!r:.60}), and most rows "
                "have another number of cells. Set comment = '#' under [data] if such lines are comments."
            )
        if rows and n_columns not in widths and (len(rows) > 1 or self.on_bad_rows == "fail"):
            width, _ = widths.most_common(1)[0]
            raise DataError(
                f"{name}, line {sample[0].head.line}: there are {n_columns} names, and the rows have {width} cells, "
                f"such as {rows[0].text.strip()!r:.80}. Name all columns with names = [...] (and header = true to "
                "replace the header), or correct separator, quote or skip_rows."
            )


def _separator_of(files: Sequence[FoundFile]) -> str:
    """The separator that the files' names tell."""
    found: dict[str, str] = {}
    for file in files:
        parts = file.name.lower().rsplit("/", 1)[-1].split(".")[1:]
        found.setdefault(next((BY_SUFFIX[f".{part}"] for part in parts if f".{part}" in BY_SUFFIX), ","), file.name)
    if len(found) > 1:
        told = ", ".join(f"{mark!r} by {name}" for mark, name in found.items())
        raise DataError(f"The files' names tell different separators: {told}. Set separator, or read them apart.")
    return next(iter(found))
