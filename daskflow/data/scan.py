"""The scan: decodes each partition once and writes its block, or finds the block that is there already."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.core.seeds import digest
from daskflow.data.arriving import Feed, arriving, names_of, needs_of
from daskflow.data.blocks import (
    CONTENT,
    ORDER,
    TEXT,
    UNIT,
    BlockFile,
    Blocks,
    storing_in,
    write_block,
)
from daskflow.data.conforming import conform
from daskflow.data.derive import derive
from daskflow.data.execution import run_all
from daskflow.data.forecasts import block_bytes
from daskflow.data.grouping import Group, bundled, file_of
from daskflow.data.hashing import all_missing, order_of, row_hashes
from daskflow.data.heavy import frequent_contents, heavy_contents
from daskflow.data.joins import JoinCount, join_all, store_join, total_counts
from daskflow.data.narrowing import narrow, places_in_order, rearranged
from daskflow.data.profiles import SHOWN_LEVELS, ColumnProfile, Tally, merge, profile_of, tally
from daskflow.data.recipe import FORMAT, Recipe, groups_of, has_block, read_record, record_there
from daskflow.data.scan_events import ScanEvents, tell_table
from daskflow.data.schema import ColumnKind, Roles, Schema
from daskflow.data.store import BlockStore, damaged
from daskflow.data.table import Decoded, Partition, Reject, Table
from daskflow.data.targets import target_of

__all__ = ["Blocks", "scan", "target_of"]

AHEAD = 2
"""Partitions of a group that are read while another is waited for."""


def scan(table: Table, store: Path | BlockStore, executor: Executor, listener: Listener = nobody) -> Blocks:
    """Decode a table's partitions into block files; what is there already is not read again.

    A block is there when its partition's name, size and modification time, the schema, the derived columns, the
    columns of group or key, and the source's settings are what they were. Where only the time differs, the partition
    is read and its content hash decides. A partition that has no modification time is read on every scan. Blocks that
    are there are verified by their checksums; a damaged one is made anew.

    Parameters
    ----------
    table : Table
        Lazy; this reads it.
    store : Path or BlockStore
        Folder of block files, made when it is not there; every worker sees it under this path. A `BlockStore` keeps
        the blocks from being evicted while it is open.
    executor : Executor
        Runs one unit per partition.
    listener : callable
        Hears ``stage`` and ``progress`` events of the stage ``scan``, ``table`` and ``partitions``.

    Returns
    -------
    Blocks
        The files, and what the columns look like.

    Raises
    ------
    DataError
        For rows that do not fit the schema, wrong expressions, an unusable weight, a table without rows.
    StorageError
        When the store cannot be written.
    """
    store = store if isinstance(store, BlockStore) else BlockStore(store)
    recipe, groups, records = _looked_for(table, store, executor, listener)
    absent = [place for place, record in enumerate(records) if record is None]
    coming = arriving(groups, absent, executor)
    groups = groups if coming is None else coming
    bundles = bundled(groups, absent, executor.slots)
    units: dict[str, tuple[list[int], Unit]] = {}
    for number, places in enumerate(bundles):
        after = bundles[number + executor.slots] if number + executor.slots < len(bundles) else []
        own, following = [groups[place] for place in places], [groups[place] for place in after[:1]]
        unit = _unit(recipe, places[0], own, following)
        units[unit.key] = (places, unit)
    missing = [partition for places, _ in units.values() for place in places for partition in groups[place].partitions]
    if units:
        _make_ready(table, store, missing)

    total = len(table.partitions)
    tell(listener, "stage", stage="scan", state="started", total=total)
    events = ScanEvents(listener, table, recipe.stored, groups)
    events.there(records)
    events.begin(bundles, executor.slots)
    done, rows = total - len(missing), sum(record["n_rows"] for record in records if record)
    n_bytes = events.n_bytes([place for place, record in enumerate(records) if record])

    def hear(outcome: Outcome) -> None:
        nonlocal done, rows, n_bytes
        for record in outcome.value:
            store.wrote(record["n_bytes"])
            done, rows = done + len(record["members"]), rows + record["n_rows"]
        places = units[outcome.key][0]
        n_bytes += events.n_bytes(places)
        tell(listener, "progress", stage="scan", done=done, total=total, rows=rows, bytes=n_bytes)
        events.done(places, outcome, executor.slots)

    handed = [unit for _, unit in units.values()]
    if coming is None:
        answers = run_all(executor, handed, on_done=hear)
    else:
        needs = {key: needs_of([groups[place] for place in places]) for key, (places, _) in units.items()}
        with closing(Feed(handed, needs, executor.slots, listener, names_of(groups))) as feed:
            answers = run_all(executor, [], on_done=hear, arrivals=feed)
    for key, (places, _) in units.items():
        for place, record in zip(places, answers[key], strict=True):
            records[place] = record
    blocks = _assemble(table, recipe, [record for record in records if record], len(missing), executor)
    tell(listener, "stage", stage="scan", state="finished", total=total)
    return blocks


def first_units(table: Table, store: BlockStore, most: int, executor: Executor) -> list[Unit]:
    """Return units that scan the first partitions without a block, one block each: what they write, `scan` finds.

    Parameters
    ----------
    table : Table
        Lazy; the units read it.
    store : BlockStore
        Where blocks are; room is made for those of the units.
    most : int
        How many units at most.
    executor : Executor
        Verifies blocks that are there.
    """
    recipe, groups, records = _looked_for(table, store, executor, nobody)
    places = [place for place, record in enumerate(records) if record is None][:most]
    if places:
        _make_ready(table, store, [each for place in places for each in groups[place].partitions])
    return [_unit(recipe, place, [groups[place]], []) for place in places]


def _unit(recipe: Recipe, place: int, groups: Sequence[Group], following: Sequence[Group]) -> Unit:
    """The unit that scans some groups."""
    key = f"scan-{place}-{groups[0].key[:8]}"
    return Unit(key, _scan_bundle, (recipe, groups, following, groups[0].partitions[0].graph))


def _make_ready(table: Table, store: BlockStore, missing: Sequence[Partition]) -> None:
    """Make room for the blocks of some partitions, and put joined tables where units find them."""
    store.make_room(block_bytes(table, missing))
    for join in table.joins:
        store_join(join, store.folder)


def _looked_for(
    table: Table, store: BlockStore, executor: Executor, listener: Listener
) -> tuple[Recipe, list[Group], list[dict[str, Any] | None]]:
    """How partitions become blocks, which go together, and the records of blocks that are there and whole."""
    table.roles.check(table.schema)
    recipe = Recipe.of(table, store.folder)
    tell_table(listener, table, recipe.stored)
    groups = groups_of(table, recipe)
    store.hold([*(group.key for group in groups), *(join.token for join in recipe.joins)])
    there = [record_there(store.folder, group) for group in groups]
    known = [(record["block"], record["n_bytes"], record["checksum"]) for record in there if record]
    bad = damaged(store.folder, known, executor)
    if bad:
        tell(listener, "warning", text=f"{len(bad)} blocks were damaged; they are made anew from their source.")
    return recipe, groups, [None if record is None or record["block"] in bad else record for record in there]


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a sidecar whole or not at all, without waiting for the disk: a lost one costs a decode, no wrong row."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with storing_in(path.parent):
        try:
            temporary.write_text(json.dumps(record))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _scan_bundle(
    recipe: Recipe, groups: Sequence[Group], following: Sequence[Group], frame: Any
) -> list[dict[str, Any]]:
    """Scan groups in order, and ask for what comes next before working on each.

    Behind the last one `following` is asked for: what the next unit here is likely to be, where any process of the
    machine finds the bytes.
    """
    after = [*groups[1:], *(group for group in following if not group.is_far)]
    records = []
    for place, group in enumerate(groups):
        if place < len(after):
            after[place].expect()
        records.append(_scan_group(recipe, group, frame))
    return records


def _scan_group(recipe: Recipe, group: Group, frame: Any) -> dict[str, Any]:
    """Decode a group's partitions and write their block; return its record, which is also the sidecar."""
    store = Path(recipe.store)
    decoded_tables: list[pa.Table] = []
    rejects: list[Reject] = []
    hashes: list[str] = []
    n_filtered = 0
    for decoded in _decoded(group.partitions, frame):
        decoded_tables.append(decoded.rows)
        rejects += decoded.rejects
        n_filtered += decoded.n_filtered
        hashes.append(decoded.content_hash)
    tables = _alike(decoded_tables, group.partitions, recipe.source)
    rows = tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    rows = conform(rows, recipe.source, group.partitions[0].fingerprint.name, texts=TEXT)
    content = row_hashes(rows, recipe.source.names)
    members: list[list[Any]] = []
    start = 0
    for partition, table, content_hash in zip(group.partitions, tables, hashes, strict=True):
        own = content[start : start + len(table)]
        start += len(table)
        seen = partition.fingerprint
        content_hash = content_hash or digest([len(own), int(own.sum(dtype=np.uint64))], 24)
        members.append([seen.name, seen.modified_ns, seen.place, content_hash])
    content_hash = members[0][3] if len(members) == 1 else digest([member[3] for member in members], 24)
    record = read_record(store / f"{group.key}.json")
    if record is None or record["content_hash"] != content_hash or not has_block(store, record):
        rows, kept, joined = join_all(rows, [join.open() for join in recipe.joins], members[0][0])
        content = content if kept is None else content[kept.to_numpy()]
        record = _write(recipe, rejects, rows, content, f"{group.key}-{digest(content_hash)}.arrow")
        record |= {"joins": [asdict(count) for count in joined], "n_filtered": n_filtered}
        record |= {"content_hash": content_hash, "format": FORMAT}
    record |= {"members": members}
    _write_record(store / f"{group.key}.json", record)
    return record


def _alike(tables: list[pa.Table], partitions: Sequence[Partition], source: Schema) -> list[pa.Table]:
    """Tables of one schema as they are, to be brought into form together; of several each by itself, under its name."""
    if all(table.schema.equals(tables[0].schema) for table in tables[1:]):
        return tables
    named = zip(tables, partitions, strict=True)
    return [conform(table, source, partition.fingerprint.name, texts=TEXT) for table, partition in named]


def _decoded(partitions: Sequence[Partition], frame: Any) -> Iterator[Decoded]:
    """Decode partitions in order, the next few while the one before is worked on; no more than a group is held."""
    if len(partitions) == 1:
        yield partitions[0].read(frame)
        return
    with ThreadPoolExecutor(AHEAD) as pool:
        yield from pool.map(lambda partition: partition.read(), partitions)


def _write(recipe: Recipe, rejects: Sequence[Reject], rows: pa.Table, content: Any, file_name: str) -> dict[str, Any]:
    """Derive, hash, narrow, sort, write, and describe what was written."""
    whole = derive(rows, recipe.derive, recipe.schema)
    unit = content
    if recipe.unit:
        unit = np.where(all_missing(whole, recipe.unit), content, row_hashes(whole, recipe.unit))
    order = order_of(content)
    columns = {name: narrow(whole.column(name)) for name in recipe.stored.names}
    tallies = {column.name: tally(columns[column.name], column.kind).dump() for column in recipe.stored.columns}
    hidden = {CONTENT: pa.array(content), UNIT: pa.array(unit), ORDER: pa.array(order)}
    rows_in_order = places_in_order(order)  # rows of equal order are equal
    block = pa.table({name: rearranged(values, rows_in_order) for name, values in {**columns, **hidden}.items()})
    n_bytes, checksum = write_block(block, Path(recipe.store) / file_name)
    written = {"block": file_name, "n_bytes": n_bytes, "checksum": checksum, "n_rows": len(content)}
    written |= {"frequent": frequent_contents(content[rows_in_order])}
    return {**written, "rejects": [asdict(reject) for reject in rejects], "tallies": tallies}


def _assemble(
    table: Table, recipe: Recipe, records: Sequence[Mapping[str, Any]], reads: int, executor: Executor
) -> Blocks:
    """Put the partitions' records together."""
    files = tuple(
        BlockFile(
            path=str(Path(recipe.store) / record["block"]),
            n_rows=record["n_rows"],
            n_bytes=record["n_bytes"],
            name=record["members"][0][0],
            content_hash=record["content_hash"],
        )
        for record in records
    )
    n_rows = sum(file.n_rows for file in files)
    rejects = tuple(Reject(**reject) for record in records for reject in record["rejects"])
    joined = total_counts([JoinCount(**count) for count in record["joins"]] for record in records)
    if n_rows == 0:
        raise DataError(
            f"The table has no rows: {len(files)} partitions were read, {len(rejects)} rows were refused"
            + "".join(f", the join '{count.name}' found no match for {count.unmatched}" for count in joined)
            + ". Check the path, the reasons of the refused rows, and the keys of joins."
        )
    members = [[member[0], member[3]] for record in records for member in record["members"]]
    profile: dict[str, ColumnProfile] = {}
    for column in recipe.stored.columns:
        whole = merge((Tally.load(record["tallies"][column.name]) for record in records), column.kind)
        shown = None if column.name == table.roles.target else SHOWN_LEVELS
        profile[column.name] = profile_of(whole, column, shown=shown)
    _check_weight(table.roles, recipe.stored, profile)
    return Blocks(
        files=files,
        schema=recipe.stored,
        features=table.features,
        roles=table.roles,
        n_rows=n_rows,
        source_bytes=sum({file_of(part): part.fingerprint.size_bytes for part in table.partitions}.values()),
        n_partitions=sum(len(record["members"]) for record in records),
        partition_reads=reads,
        rejects=rejects,
        profile=profile,
        fingerprint=digest([*sorted(members), *(join.token for join in recipe.joins)], 24),
        joins=joined,
        n_filtered=sum(record.get("n_filtered", 0) for record in records),
        heavy=heavy_contents(files, [content for record in records for content in record["frequent"]], executor),
    )


def _check_weight(roles: Roles, schema: Schema, profile: Mapping[str, ColumnProfile]) -> None:
    """Refuse weights that cannot weigh."""
    if roles.weight is None:
        return
    seen, kind = profile[roles.weight], schema[roles.weight].kind
    found = None
    if kind not in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN):
        found = f"is {kind}"
    elif seen.missing or seen.infinite:
        found = f"has {seen.missing} missing and {seen.infinite} infinite values"
    elif seen.min < 0:
        found = f"goes down to {seen.min}"
    elif seen.max == 0:
        found = "is zero in every row"
    if found:
        raise DataError(
            f"weight = '{roles.weight}': the column {found}. Weights are finite numbers of at least 0, some above it."
        )
