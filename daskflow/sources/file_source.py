"""What all kinds of files have in common: paths, the store they are in, and columns from their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from daskflow.data.table import Decoded, Table
from daskflow.sources import Source
from daskflow.sources.files import resolve
from daskflow.sources.reading import FoundFile, paths
from daskflow.sources.storage import Paths, StorageOptions

MANY_FILES = 1_000
SMALL_FILE_BYTES = 1 << 20


class FileSource(Source):
    """Files of one kind; see the kinds for what their options mean.

    Attributes
    ----------
    path : str or list of str
        Files, globs, folders or addresses.
    storage_options : mapping
        Options of the addresses' store.
    file_column : str or None
        Column of file names.
    hive : bool or None
        Whether folders named ``key=value`` are columns.
    """

    path: Annotated[Paths, BeforeValidator(paths)]
    storage_options: StorageOptions = Field(default_factory=dict)
    file_column: str | None = None
    hive: bool | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows: how the store is asked does not."""
        return {word: value for word, value in super().identity().items() if word != "storage_options"}

    def found(self, base: Path) -> tuple[FoundFile, ...]:
        """Return the files, in natural order."""
        return resolve(
            self.path if isinstance(self.path, str) else list(self.path),
            self.kind,
            base,
            storage_options=self.storage_options,
            hive=True,
        )

    def learned(self, table: Table) -> Any:
        """Return what opening a table found out for `table_like`; None where every file says of itself what it is."""
        return None

    def table_like(self, learned: Any) -> Table | None:
        """Return the table of files that are like others; None for those that are to be opened by themselves."""
        return None

    def has_doubts(self, decoded: Decoded) -> bool:
        """Whether the file of rows that `table_like` read is to be opened by itself after all."""
        return False


def note_on_size(files: Sequence[FoundFile]) -> list[str]:
    """Advise larger files where there are very many small ones."""
    mean = sum(file.size_bytes for file in files) // len(files)
    if len(files) < MANY_FILES or mean > SMALL_FILE_BYTES:
        return []
    return [
        f"{len(files)} files of {max(1, mean // 1024)} KiB on average: opening them costs more than reading them. "
        "Where they are read more than once, write them into files of 64 to 128 MB."
    ]
