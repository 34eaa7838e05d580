"""Recipe: how the partitions of a table become blocks, and which blocks are there already."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskflow.core.seeds import digest
from daskflow.data.grouping import Group, file_of, grouped, key_of
from daskflow.data.joins import StoredJoin
from daskflow.data.schema import Schema
from daskflow.data.table import Fingerprint, Partition, Table

FORMAT = 3
"""Raised when blocks of an older daskflow can no longer be used."""

ROLE_SETTINGS = (
    "target",
    "task",
    "positive",
    "derive",
    "group",
    "time",
    "weight",
    "fold",
    "key",
    "drop",
    "path",
    "joins",
    "storage_options",
    "url",
)
"""Settings of a source that do not change how its bytes are decoded; the rest is part of a block's key."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every partition of a table becomes a block."""

    source: Schema
    schema: Schema
    stored: Schema
    joins: tuple[StoredJoin, ...]
    derive: Mapping[str, str]
    unit: tuple[str, ...]
    store: str

    @classmethod
    def of(cls, table: Table, store: Path) -> Recipe:
        """Decide which columns are stored and which make the unit hash."""
        roles = table.roles
        needed = {name for name in (roles.target, roles.weight, roles.time, roles.fold, *roles.keep) if name}
        stored = table.schema.without(set(roles.drop) - needed)
        unit = (roles.group,) if roles.group else tuple(roles.key)
        joins = tuple(StoredJoin.of(join, store) for join in table.joins)
        return cls(table.source_schema, table.schema, stored, joins, dict(table.derive), unit, str(store))

    def token(self, settings: Mapping[str, Any]) -> str:
        """Hash of how every partition becomes a block."""
        decoding = {name: value for name, value in settings.items() if name not in ROLE_SETTINGS}
        parts = [FORMAT, decoding, sorted(self.unit), *(join.token for join in self.joins)]
        return digest([*parts, self.source.dump(), self.stored.dump(), list(self.derive.items())], 24)


def groups_of(table: Table, recipe: Recipe) -> list[Group]:
    """Which partitions become one block, and the keys of the blocks."""
    pieces = Counter(file_of(partition) for partition in table.partitions)
    copies: Counter[Fingerprint] = Counter()
    token = recipe.token(table.settings)
    keys: list[str] = []
    for partition in table.partitions:
        seen = partition.fingerprint
        keys.append(key_of(token, partition, copies[seen], pieces[file_of(partition)]))
        copies[seen] += 1
    return grouped(table.partitions, keys)


def without_block(table: Table, folder: Path) -> list[Partition]:
    """Return the partitions that a scan would read, but for blocks that turn out to be damaged; nothing is changed."""
    recipe = Recipe.of(table, folder)
    groups = groups_of(table, recipe)
    return [each for group in groups if record_there(folder, group) is None for each in group.partitions]


def record_there(store: Path, group: Group) -> dict[str, Any] | None:
    """What is known of a group's block when it is there and its origins look the same, else None."""
    record = read_record(store / f"{group.key}.json")
    seen = [partition.fingerprint for partition in group.partitions]
    if record is None or not all(each.modified_ns for each in seen):
        return None
    if [member[1:3] for member in record["members"]] != [[each.modified_ns, each.place] for each in seen]:
        return None
    return record if has_block(store, record) else None


def read_record(path: Path) -> dict[str, Any] | None:
    """A sidecar; None when it is not there or not whole, for then the block is made anew."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def has_block(store: Path, record: Mapping[str, Any]) -> bool:
    """Whether a record's block file is there, in the size it was written."""
    try:
        return bool(os.path.getsize(store / record["block"]) == record["n_bytes"])
    except OSError:
        return False
