"""Table: a lazy table of partitions with a schema and roles; nothing is read before the scan asks."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pyarrow as pa

from daskflow.core.notebook import block
from daskflow.data.schema import Roles, Schema, Task

if TYPE_CHECKING:
    from daskflow.data.joins import Join


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a partition's origin looked like: its name, and for files size and modification time.

    Attributes
    ----------
    name : str
        Relative file name, with ``#3`` for the third piece of a file; never an absolute path.
    size_bytes : int
        Size of the file; 0 when there is none.
    modified_ns : int
        Its modification time; not part of equality between machines. 0 when there is none: such a partition is
        read on every scan.
    place : str
        Hash of where the origin stands; empty when it stands nowhere. Files that look the same in two places are
        not taken for each other before their content has been read.
    """

    name: str
    size_bytes: int = 0
    modified_ns: int = 0
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was refused: where it stood, and why."""

    file: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A partition's rows, the rows refused, and the hash of the bytes they came from.

    Attributes
    ----------
    rows : pyarrow.Table
        Exactly the source schema: names, order and types; a text column may be a dictionary of int32 codes.
    rejects : tuple of Reject
        Rows refused under ``on_bad_rows = "reject"``.
    content_hash : str
        Hexadecimal hash of the bytes read (or of the values, for frames).
    n_filtered : int
        Rows that the source's filters left out; neither used nor refused.
    """

    rows: pa.Table
    rejects: tuple[Reject, ...] = ()
    content_hash: str = ""
    n_filtered: int = 0

    @property
    def plain(self) -> pa.Table:
        """The rows without dictionaries."""
        rows = self.rows
        for place, column in enumerate(rows.schema):
            if pa.types.is_dictionary(column.type):
                rows = rows.set_column(place, column.name, rows.column(place).cast(column.type.value_type))
        return rows


class Partition(Protocol):
    """A piece of a source that one task decodes; small and picklable."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What its origin looked like when it was planned."""

    @property
    def n_bytes(self) -> int:
        """Estimated size of its rows in memory."""

    @property
    def graph(self) -> Any:
        """A ``dask.delayed`` of a pandas DataFrame for frames with a graph of their own, else None."""

    def read(self, frame: Any = None) -> Decoded:
        """Decode; `frame` is the computed `graph`. ChangedDataError when the origin is not as planned."""


@runtime_checkable
class Expecting(Protocol):
    """Partitions whose bytes can be asked for before they are read, while another is worked on."""

    @property
    def is_far(self) -> bool:
        """Whether its bytes come over a network, into the process that asks for them."""

    def expect(self) -> None:
        """Ask for the bytes; returns at once, and never raises."""


class Held(Protocol):
    """A file that has come, and stays until it is given back."""

    @property
    def n_bytes(self) -> int:
        """What was fetched of it now; 0 when it was there."""

    @property
    def began(self) -> float:
        """When its coming began, in seconds since 1970."""

    @property
    def seconds(self) -> float:
        """How long it took."""

    def close(self) -> None:
        """Give it back: it may be removed when its room is needed."""


class Coming(Protocol):
    """A file that has to be brought from elsewhere before a partition of it is read."""

    @property
    def key(self) -> str:
        """Equal for partitions of one file."""

    @property
    def size_bytes(self) -> int:
        """Of the file; 0 where that is not known."""

    @property
    def folder(self) -> str:
        """Where it will be: whoever reads it has to see this folder."""

    @property
    def room_bytes(self) -> int:
        """How much files that have come and are not read yet may take there."""

    @property
    def ahead(self) -> int:
        """Files that may come while others are read."""

    def bring(self) -> Future[Held]:
        """Begin to bring it; returns at once. The future gets it, or the error that says why it does not come."""


@runtime_checkable
class Arriving(Protocol):
    """Partitions whose file comes from elsewhere, and can be brought by whoever hands out the work."""

    @property
    def coming(self) -> Coming:
        """The file."""

    def arrived(self) -> Partition:
        """Return the same partition for when its file has come: it does not ask for those after it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Partitions of one schema, with the columns to derive and the roles columns play; lazy.

    Attributes
    ----------
    partitions : tuple of Partition
        In natural file order; at least one.
    source_schema : Schema
        What partitions decode to.
    schema : Schema
        The same with the joined columns, then the derived ones.
    roles : Roles
        Checked against `schema`.
    joins : tuple of Join
        Small tables, looked up for every row in this order, before `derive`.
    derive : mapping of str to str
        New columns as pandas expressions, row by row, in order.
    task : Task or None
        As the user said; None to infer it from the target.
    positive : object or None
        The label that counts as positive in a binary task.
    settings : mapping
        The source's settings as plain values, for messages and the run folder.
    notes : tuple of str
        What was understood of the files, and what to look at.
    """

    partitions: tuple[Partition, ...]
    source_schema: Schema
    schema: Schema
    roles: Roles
    derive: Mapping[str, str] = field(default_factory=dict)
    task: Task | None = None
    positive: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    joins: tuple[Join, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> Schema:
        """The columns a model sees."""
        return self.roles.features(self.schema)

    def with_roles(self, **roles: Any) -> Table:
        """The same table with other roles."""
        changed = replace(self.roles, **roles)
        changed.check(self.schema)
        return replace(self, roles=changed)

    def _repr_html_(self) -> str:
        """Partitions, roles and columns, as text; reads nothing."""
        words = ("target", "group", "time", "weight", "fold")
        roles = {name: word for word in words if (name := getattr(self.roles, word)) is not None}
        features = set(self.features.names)

        def role_of(name: str) -> str:
            return roles.get(name) or ("feature" if name in features else "dropped")

        kind, task = str(self.settings.get("kind", "table")), self.task or "inferred from the target"
        pairs: dict[str, object] = {"partitions": f"{len(self.partitions):,}, nothing is read before a run"}
        pairs |= {"target": f"{self.roles.target} (task: {task})"} if self.roles.target is not None else {}
        pairs |= {"derived": ", ".join(self.derive)} if self.derive else {}
        pairs |= {"notes": " ".join(self.notes)} if self.notes else {}
        columns = sorted(self.schema.columns, key=lambda column: column.name not in roles)
        rows = [[column.name, role_of(column.name), column.kind, column.type] for column in columns]
        title = f"{kind}, {len(columns)} columns"
        return block("Table", title, pairs=pairs, head=["column", "role", "kind", "type"], rows=rows)

    def to_dask(self) -> Any:
        """Return the table as a lazy dask DataFrame, one partition per partition, derived columns included.

        Every partition has the same types whatever its values: integers ``Int64`` and truths ``boolean`` (they may
        have gaps), floats ``float64``, strings as Dask keeps them (its option ``dataframe.convert-string``), dates
        ``datetime64``.

        Returns
        -------
        dask.dataframe.DataFrame
            Nothing is read before it computes.
        """
        from daskflow.data.frames import to_dask

        return to_dask(self)
