"""Starter: a commented workflow file for a table that was looked at, ready to run."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tomli_w

import daskflow.sources
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest
from daskflow.data.profiles import ColumnProfile, profile_of, tally
from daskflow.data.schema import Column, ColumnKind, Task
from daskflow.data.table import Table
from daskflow.data.targets import task_of
from daskflow.metrics import default_for_ranking, defaults
from daskflow.sources.files import PACKED
from daskflow.sources.guess import guess

SAMPLED_PARTITIONS = 12
SAMPLED_BYTES = 512 * 2**20
"""As many partitions are looked into as are no larger than this in memory, together."""
SAMPLED_ROWS = 200_000

WHOLE_BYTES = 2**30
"""Up to this size of the table in memory, families that fit on the whole table at once are proposed."""

FEW_PATHS = 3
MANY_LEVELS = 0.5
"""Share of rows with a value of their own above which text is no category."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A sample of a table.

    Attributes
    ----------
    rows : int
        Rows looked at; 0 when every partition is too large.
    is_whole : bool
        Whether they are all rows.
    profiles : mapping of str to ColumnProfile
        By column; empty without rows.
    distinct : mapping of str to int
        Different values by column, missing ones aside.
    """

    rows: int
    is_whole: bool
    profiles: Mapping[str, ColumnProfile]
    distinct: Mapping[str, int]


def starter(
    paths: Sequence[str], target: str, base: Path, options: Mapping[str, Any] | None = None, *, name: str | None = None
) -> str:
    """Look at a table's files and return a workflow file for it.

    Parameters
    ----------
    paths : sequence of str
        Files, folders and globs; relative ones start from the current folder.
    target : str
        The column to be predicted.
    base : Path
        The folder that the workflow file will stand in: paths below it are written relative to it.
    options : mapping, optional
        Options of the source that are known already, such as ``{"header": False}``.
    name : str, optional
        The workflow's name; default from the paths.

    Returns
    -------
    str
        TOML that runs as it is, with what was seen as comments.

    Raises
    ------
    DataError
        For files that are missing or cannot be read.
    SettingsError
        When there is no such target, with the nearest column's name; and for options that are wrong.
    """
    absolute = _compact([path if "://" in path else os.path.abspath(os.path.expanduser(path)) for path in paths])
    kind, found, notes = guess(absolute, base, (options or {}).get("storage_options"))
    given = {**found, **(options or {})}
    source = daskflow.sources.REGISTRY.parse({"kind": kind, "path": absolute, **given}, where="data")
    table = source.table(base)
    if target not in table.schema:
        hint = "" if found.get("header", True) else ". Without a header, say --set names=[...]"
        known = nearest(target, table.schema.names)
        raise SettingsError([Problem("target", f"there is no column '{target}'{known}{hint}")])
    seen = look_at(table)
    task, is_sure = _task(table, target, seen)
    written = [_written(path, base) for path in absolute]
    blocks = [
        _head(table, seen, notes, name or _name(absolute), task if is_sure else None),
        _data(kind, written[0] if len(written) == 1 else written, given, table, target, task, is_sure, seen),
        _split(task),
        PREPROCESS,
        _model(table, task),
        CLUSTER,
    ]
    return "\n".join(blocks)


def look_at(table: Table) -> Seen:
    """Decode the first partition, the last and some between, as far as memory allows, and count what is in them."""
    largest = max(partition.n_bytes for partition in table.partitions)
    n_parts = min(len(table.partitions), SAMPLED_PARTITIONS, SAMPLED_BYTES // max(1, largest))
    step = (len(table.partitions) - 1) / max(1, n_parts - 1)
    parts = [table.partitions[round(place * step)].read().plain for place in range(n_parts)]
    if not parts:
        return Seen(0, False, {}, {})
    share = SAMPLED_ROWS // len(parts)
    whole = pa.concat_tables(part.slice(0, share) for part in parts)
    columns = {name: whole.column(name).combine_chunks() for name in table.source_schema.names}
    return Seen(
        rows=whole.num_rows,
        is_whole=len(parts) == len(table.partitions) and whole.num_rows == sum(part.num_rows for part in parts),
        profiles={name: _profile(values, table.source_schema[name]) for name, values in columns.items()},
        distinct={name: pc.count_distinct(values).as_py() for name, values in columns.items()},
    )


def _profile(values: pa.Array, column: Column) -> ColumnProfile:
    if column.kind is ColumnKind.CATEGORICAL:
        values = values.cast(pa.string()).dictionary_encode()
    return profile_of(tally(values, column.kind), column)


def _task(table: Table, target: str, seen: Seen) -> tuple[Task, bool]:
    """The task that the sample shows, and whether rows not looked at cannot show another."""
    column = table.schema[target]
    if not seen.rows:
        is_number = column.kind is ColumnKind.NUMERIC and not pa.types.is_integer(column.arrow_type)
        return (Task.REGRESSION, is_number) if is_number else (Task.BINARY, column.kind is ColumnKind.BOOLEAN)
    task = task_of(column, seen.profiles[target])
    is_text = column.kind is ColumnKind.CATEGORICAL
    return task, seen.is_whole or task is Task.REGRESSION or (is_text and task is Task.MULTICLASS)


def candidates_to_drop(table: Table, target: str, seen: Seen) -> dict[str, str]:
    """Columns that a model can hardly use, with the reason; to be decided by a person."""
    found: dict[str, str] = {}
    for column in table.source_schema.columns if seen.rows > 1 else ():
        if column.name == target:
            continue
        distinct, profile = seen.distinct[column.name], seen.profiles[column.name]
        present = seen.rows - profile.missing
        is_text = column.kind is ColumnKind.CATEGORICAL
        is_discrete = is_text or pa.types.is_integer(column.arrow_type)
        if distinct == 0:
            found[column.name] = "has no value in any row looked at"
        elif distinct == 1 and not profile.missing:
            found[column.name] = "has the same value in every row looked at"
        elif is_discrete and distinct == present and present > 20:
            found[column.name] = "is different in every row: an identifier?"
        elif is_text and distinct > MANY_LEVELS * present and present > 20:
            found[column.name] = "is text that hardly repeats: an identifier, or free text?"
    return found


def _head(table: Table, seen: Seen, notes: Sequence[str], name: str, task: Task | None) -> str:
    files = len({partition.fingerprint.name.partition("#")[0] for partition in table.partitions})
    looked = f"all {seen.rows:,} rows" if seen.is_whole else f"{seen.rows:,} rows of them" if seen.rows else "no row"
    lines = [
        "# A workflow, written by `daskflow init` from what it saw; it runs as it is.",
        "#",
        "#   daskflow check FILE    every mistake at once      daskflow plan FILE    what a run will do",
        "#   daskflow run FILE      runs it, or continues      daskflow kinds        what else can be named",
        "#",
        f"# Looked at: {files} file{'s' if files > 1 else ''}, {len(table.schema.columns)} columns, {looked}.",
        *(line for note in notes for line in wrap(_comment(note), 116, initial_indent="# ", subsequent_indent="#   ")),
        "",
        _pair("name", name),
        "seed = 0",
    ]
    if task is not None:
        lines.append(_pair("metrics", list(defaults(str(task)))))
    else:
        lines.append("# metrics = [...]               # default: by the task")
    return "\n".join(lines) + "\n"


def _data(
    kind: str,
    path: Any,
    options: Mapping[str, Any],
    table: Table,
    target: str,
    task: Task,
    is_sure: bool,
    seen: Seen,
) -> str:
    lines = ["[data]", _pair("kind", kind), _pair("path", path), _pair("target", target)]
    if is_sure:
        lines.append(_pair("task", str(task)))
    else:
        lines.append("# " + _pair("task", str(task), "as it looks; found for certain when all values were read"))
    if target in seen.profiles:
        lines += _target_remarks(seen.profiles[target], task)
    lines += [_pair(word, value) for word, value in options.items()]
    drop = candidates_to_drop(table, target, seen)
    lines.append("drop = [                        # columns no model sees" if drop else "drop = []")
    if drop:
        lines += [f"    # {_text(column)},   # {reason}" for column, reason in drop.items()]
        lines.append("]")
    lines += [
        "# group = COLUMN                # rows of one group never stand on both sides of a split",
        "# time = COLUMN                 # with split.kind = 'time': learn on the past, test on what came last",
        "# fold = COLUMN                 # with split.kind = 'predefined': names the part, or the fold",
        "# weight = COLUMN",
        '# derive = { ratio = "a / b" }  # new columns as pandas expressions, row by row',
        "#",
        "# Columns:",
        *_columns(table, target, seen),
    ]
    return "\n".join(lines) + "\n"


def _target_remarks(profile: ColumnProfile, task: Task) -> list[str]:
    """What is to be decided about the target."""
    lines = []
    if profile.missing:
        lines.append(
            f"# The target has no value in {profile.missing:,} of the {profile.rows:,} rows looked at; a run refuses "
            "that. Drop them, or fill them."
        )
    labels = sorted(value for value, _ in profile.top)
    if task is Task.BINARY and labels:
        lines.append("# " + _pair("positive", labels[-1], "the label that counts as positive"))
    return lines


def _columns(table: Table, target: str, seen: Seen) -> list[str]:
    """A line for each column: name, kind, type, and what was seen."""
    rows = [
        (_text(column.name), str(column.kind), column.type, _saw(column, target, seen))
        for column in table.schema.columns
    ]
    widths = [min(40, max(len(row[place]) for row in rows)) for place in range(3)]
    return [
        "#   " + "  ".join([*(text.ljust(width) for text, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()
        for row in rows
    ]


def _saw(column: Column, target: str, seen: Seen) -> str:
    profile = seen.profiles.get(column.name)
    parts = ["the target"] if column.name == target else []
    if profile is not None and profile.rows:
        if profile.missing:
            share = 100 * profile.missing / profile.rows
            parts.append("all missing" if share == 100 else f"{max(share, 0.1):.1f} % missing")
        if profile.min is not None and column.kind is not ColumnKind.BOOLEAN:
            low, high = _short(profile.min), _short(profile.max)
            parts.append(f"{low} to {high}" if low != high else f"always {low}")
        distinct = seen.distinct[column.name]
        if column.kind is ColumnKind.CATEGORICAL and profile.top:
            few = ", ".join(_short(value) for value, _ in profile.top[:3])
            parts.append(f"{distinct} levels: {few}{', ...' if distinct > 3 else ''}")
        elif column.kind is ColumnKind.NUMERIC and 1 < distinct <= 10:
            parts.append(f"{distinct} values")
    return _comment("; ".join(parts))


def _split(task: Task) -> str:
    kind = "stratified" if task.is_classification else "random"
    return (
        "[split]\n"
        + _pair("kind", kind, "random | stratified | group | time | predefined\n")
        + "test = 0.2                      # scored once, at the end; nothing is chosen by it\n"
        "# folds = 3                     # or validation = 0.1; default: by the search and the number of rows\n"
    )


PREPROCESS = """\
[preprocess]                    # lists of steps by column type; these are the defaults
# numeric = ["impute", "scale"]
# categorical = [{ kind = "rare", min_frequency = 0.001 }, "onehot"]
# datetime = ["dates"]
"""

CLUSTER = """\
[cluster]
kind = "local"                  # inline | threads | local | address; `daskflow run FILE --on KIND` replaces it
# workers = 2                   # default: the processors there are
# memory = "4 GiB"              # per worker; default: an equal share
"""


def _model(table: Table, task: Task) -> str:
    """Boosted trees where the table fits into memory; else linear models by stochastic gradient, block by block."""
    metric = _pair("metric", default_for_ranking(str(task)), "what ranks candidates")
    size = sum(partition.n_bytes for partition in table.partitions)
    if size <= WHOLE_BYTES:
        return "\n".join(
            [
                "[model]",
                'kind = "hist_gradient_boosting" # or sgd for tables larger than memory; `daskflow kinds models`',
                "",
                "[search]",
                'kind = "random"                 # none | grid | random | hyperband',
                metric,
                "trials = 10",
                "# [search.space]                # default: the family's own, such as",
                "# learning_rate = { loguniform = [0.02, 0.3] }",
                "",
            ]
        )
    return "\n".join(
        [
            "[model]",
            'kind = "sgd"                    # learns block by block: memory stays flat; `daskflow kinds models`',
            "",
            "[search]",
            'kind = "hyperband"              # none | grid | random | hyperband',
            metric,
            "max_iter = 27                   # training blocks that the best candidates see",
            "# [search.space]                # default: the family's own, such as",
            "# alpha = { loguniform = [1e-6, 1e-1] }",
            "",
        ]
    )


def _compact(paths: Sequence[str]) -> list[str]:
    """One glob for a long list of files that is what a shell made of it; else the paths as they are."""
    folders = {os.path.dirname(path) for path in paths}
    if len(paths) <= FEW_PATHS or len(folders) > 1:
        return list(paths)
    suffixes = Path(paths[0]).suffixes
    pattern = "*" + "".join(suffixes[-2:] if suffixes[-1:] and suffixes[-1] in PACKED else suffixes[-1:])
    whole = os.path.join(glob.escape(folders.pop()), pattern)
    if sorted(glob.glob(whole)) == sorted(paths):
        return [whole]
    return list(paths)


def _written(path: str, base: Path) -> str:
    """A path as the file says it: relative when it lies below the file's folder."""
    try:
        return Path(path).relative_to(base.absolute()).as_posix()
    except ValueError:
        return path


def _name(paths: Sequence[str]) -> str:
    """A name for the workflow: the file's, or for several their folder's."""
    first = Path(paths[0])
    are_many = len(paths) > 1 or glob.has_magic(first.name)
    word = first.parent.name if are_many else first.name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-._") or "workflow"


def _pair(word: str, value: Any, remark: str = "") -> str:
    """One ``word = value`` of TOML, with a remark beside it."""
    pair = f"{word} = {_text(value)}"
    return f"{pair:<31} # {remark}" if remark else pair


def _text(value: Any) -> str:
    """A value of TOML on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_text(word)} = {_text(item)}" for word, item in value.items()) + " }"
    return tomli_w.dumps({"x": value}).strip().removeprefix("x = ")


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."


def _comment(text: str) -> str:
    """Text that stays on its line."""
    return re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+", " ", text)
