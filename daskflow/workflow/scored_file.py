"""Files of predictions: written piece by piece, and there only when they are complete."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from daskflow.core.errors import Problem, SettingsError, StorageError

SUFFIXES = (".parquet", ".csv", ".csv.gz")


class ScoredFile:
    """A parquet or CSV file under construction; leaving the block without an error puts it in its place.

    Parameters
    ----------
    path : Path
        Its suffix says the format.

    Raises
    ------
    SettingsError
        For another suffix.
    StorageError
        When it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Check the suffix and the folder; nothing is opened before the first piece."""
        if not path.name.lower().endswith(SUFFIXES):
            known = ", ".join(SUFFIXES)
            raise SettingsError([Problem("--output", f"{path.name}: the suffix says the format; there is: {known}")])
        if not path.absolute().parent.is_dir():
            raise StorageError(
                f"{path} cannot be written: there is no folder {path.parent}. Make it, or correct --output."
            )
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}")
        self._file: Any = None
        self._sink: Any = None
        self._writer: Any = None
        self._schema: pa.Schema | None = None

    def write(self, rows: pa.Table) -> None:
        """Append a piece; every piece has the columns and types of the first."""
        try:
            if self._writer is None:
                self._open(rows.schema)
            self._writer.write_table(rows.cast(self._schema))
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def _open(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = self._file = open(self._temporary, "wb")  # noqa: SIM115  open until the last piece is written
        name = self.path.name.lower()
        if name.endswith(".parquet"):
            self._writer = pa.parquet.ParquetWriter(self._file, schema, compression="zstd")
            return
        # Python's own gzip: closing Arrow's closes the file below it, which must still go to the disk.
        self._sink = gzip.GzipFile("", "wb", fileobj=self._file, mtime=0) if name.endswith(".gz") else self._file
        options = pa.csv.WriteOptions(quoting_style="needed")
        self._writer = pa.csv.CSVWriter(self._sink, schema, write_options=options)

    def __enter__(self) -> ScoredFile:
        """Hold it for the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the file in its place, or remove what was written."""
        if self._writer is None:
            return
        try:
            self._writer.close()
            if self._sink is not self._file:
                self._sink.close()
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                os.replace(self._temporary, self.path)
        except OSError as problem:
            raise StorageError(f"{self.path} cannot be written: {problem.strerror or problem}.") from problem
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)
