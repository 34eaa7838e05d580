"""JSON lines: one object per line, types found from values and enforced, nothing coerced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Table
from daskflow.sources.csv_unpacking import packing_of
from daskflow.sources.file_source import FileSource, note_on_size
from daskflow.sources.json_piece import JsonPiece
from daskflow.sources.json_rows import Reader, names_of
from daskflow.sources.json_types import TIME, Sample, sample_of, types_of
from daskflow.sources.opening import SAMPLE_ROWS, listed, open_table, unknown
from daskflow.sources.path_columns import PathColumns, path_columns, with_constants
from daskflow.sources.reading import FoundFile
from daskflow.sources.type_words import checked_words, type_of_word

PACKED_RATIO = 8
"""Text per compressed byte, as usual for JSON lines; only for estimates."""


class Json(FileSource):
    """JSON lines (.jsonl, .ndjson), plain or compressed (.gz, .bz2, .xz, .zst, .zip with one member).

    Types are found from a sample of lines at the beginning, the end and between, of up to 16 files: whole numbers are
    int64, numbers float64, true and false bool, and all else text; texts that look like times stay text unless
    ``dtypes`` or ``date_format`` says otherwise. A key that a line lacks is missing there. A line that does not fit,
    has a key twice, or a key that the sample did not show, is an error with file and line, or is rejected and listed.
    Integers are exact: 9007199254740993 stays that.

    Attributes
    ----------
    path : str or list of str
        Files, globs, or folders of JSON lines; also addresses that fsspec knows, such as ``s3://bucket/folder``, and
        ``env:NAME`` for the value of an environment variable. A folder also stands for the files below its subfolders
        named ``key=value``.
    storage_options : mapping
        What the store of the addresses takes, as in pandas and Dask. Texts in it are never printed or written; say
        ``env:NAME`` for what is to be looked up in the environment.
    columns : list of str or None
        Only these are read, and other keys are passed over; None for all, and other keys are then bad rows.
    nested : str
        ``"flatten"``: the key b of an object a is the column ``a.b``. ``"fail"``: objects within objects are refused.
        Lists are refused always, or left out with ``drop``; an object named there is left out whole.
    hive : bool or None
        Whether folders named ``key=value`` directly above the files are columns: whole numbers as int64, dates as date,
        else text, or as ``dtypes`` says. True requires them, False leaves them out, None takes them where they are.
    file_column : str or None
        Name of a column to add that holds each row's file name, relative to the folder that all files share.
    dtypes : mapping of str to str
        Types by column: string, int64, float64, bool, datetime, category (as text), and their relatives in pandas. With
        string, numbers and truths are kept as they are written. A column that the sample lacks is added.
    date_format : str, mapping of str to str, or None
        ``strptime`` format, of all time columns or by column; None for ISO 8601. A column named here is a time.
    on_bad_rows : str
        ``"fail"``, or ``"reject"``: leave them out, listed with file, line and reason.
    partition_bytes : int
        Memory of a partition's rows to aim at; plain files are cut between lines, compressed ones are not cut.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "people.jsonl"
    >>> _ = path.write_text('{"age": 31, "home": {"zip": "02139"}}\\n{"age": null}\\n')
    >>> [(column.name, column.type) for column in Json(path=path).table().schema.columns]
    [('age', 'int64'), ('home.zip', 'string')]
    """

    kind: Literal["json"] = "json"
    columns: tuple[str, ...] | None = None
    nested: Literal["flatten", "fail"] = "flatten"
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)
    date_format: str | Mapping[str, str] | None = None
    on_bad_rows: Literal["fail", "reject"] = "fail"
    partition_bytes: int = Field(default=128 << 20, gt=0)

    def table(self, base: Path = Path()) -> Table:
        """Look at a sample of lines, and return the lazy table.

        Raises
        ------
        DataError
            For files that are missing, empty or no JSON lines, and for columns of lists or of several kinds of values.
        """
        casts = {name: type_of_word(word) for name, word in self.dtypes.items()}
        files = self.found(base)
        beside = path_columns(files, hive=self.hive, file_column=self.file_column, columns=self.columns, casts=casts)
        sample = sample_of(files)
        reader = self._reader(sample, {name: kind for name, kind in casts.items() if name not in beside.types})
        beside.refuse(reader.schema.names, files[0].name)
        schema = Schema.of(pa.schema([*reader.schema, *beside.types.items()]))
        few = b"\n".join(sample.lines[:SAMPLE_ROWS])
        rows, _ = reader.rows_of(few)
        ratio = rows.nbytes / max(1, len(few))
        pieces = [piece for file in files for piece in self._pieces(file, reader, schema, beside, ratio)]
        known = with_constants(rows, beside.of(files[0]), beside.types).cast(schema.arrow)
        notes = [*beside.notes, *note_on_size(files)]
        return open_table(self, schema, pieces, known, reader.left_out, notes, base)

    def _reader(self, sample: Sample, casts: Mapping[str, pa.DataType]) -> Reader:
        """How lines are read, checked against the sample."""
        by_column = self.date_format if isinstance(self.date_format, Mapping) else {}
        everywhere = self.date_format if isinstance(self.date_format, str) else None
        said = {**dict.fromkeys(by_column, TIME), **casts}
        if self.nested == "fail" and (deep := [path for path in sample.kinds if len(path) > 1]):
            raise DataError(
                f"{listed(sorted({path[0] for path in deep}))} holds objects within objects, and nested = 'fail'. "
                "Flatten them before, or set nested = 'flatten'."
            )
        types = types_of(sample, said, self.drop, self.columns)
        names = names_of(types)
        if self.columns is not None and (problem := unknown("columns", self.columns, names)):
            raise DataError(problem)
        if not types:
            raise DataError("The lines looked at have no keys to read: there are no columns.")
        times = [name for name, kind in zip(names, types.values(), strict=True) if pa.types.is_timestamp(kind)]
        formats = {**(dict.fromkeys(times, everywhere) if everywhere else {}), **by_column}
        left_out = frozenset(name for name in self.drop if name not in names and _is_key(name, sample))
        return Reader(types, frozenset(said), left_out, self.columns is not None, formats)

    def _pieces(
        self, file: FoundFile, reader: Reader, schema: Schema, beside: PathColumns, ratio: float
    ) -> Iterator[JsonPiece]:
        """Cut a plain file into pieces of about equal size; where a line ends is found when it is read."""
        is_plain = packing_of(file, "infer") == "none"
        size = file.size_bytes * (1 if is_plain else PACKED_RATIO) * ratio
        count = max(1, -int(-size // self.partition_bytes)) if is_plain else 1
        for place in range(count):
            yield JsonPiece(
                file=file,
                start=file.size_bytes * place // count,
                stop=file.size_bytes * (place + 1) // count,
                place=place if count > 1 else None,
                reader=reader,
                schema=schema,
                constants=beside.of(file),
                on_bad_rows=self.on_bad_rows,
                n_bytes=int(size / count),
            )


def _is_key(name: str, sample: Sample) -> bool:
    """Whether a name is a key of the sample, or that of an object in it."""
    return any(key == name or key.startswith(f"{name}.") for key in names_of(sample.kinds))
