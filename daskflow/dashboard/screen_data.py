"""The page of the data: partitions as they are read, how fast, what is missing, what drifts and what was refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from daskflow.dashboard import quantities, words
from daskflow.dashboard.data_panels import MOST_COLUMNS, MOST_DOTS, MOST_MISSING, MOVED, MOVED_ROWS, panels
from daskflow.dashboard.rates import MOST_SECONDS, Rates
from daskflow.dashboard.slots import Columns, Look, Row, Slot, Value
from daskflow.dashboard.spans import Spans
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_data import DONE, READING, REJECTED, THERE, WAITING, DataState, Piece
from daskflow.dashboard.tables import table
from daskflow.figures import live_axes, live_data, style

MOST_CELLS = 1200
"""Cells of the strip of partitions."""


MOST_MOVED = 12
"""Columns that the map of drift shows."""

MANY_REFUSED = 0.05
"""Share of refused rows from which on they are called bad."""

MAP_SECONDS = 2.0
"""Maps are drawn anew so often: every one of their cells can change with each partition."""


LABELS = ("waiting", "reading", "done", "block was there", "rows refused")
"""Of the states of partitions."""

URGENCY = (DONE, THERE, WAITING, READING, REJECTED)
"""States from the one that needs least attention to the one that needs most."""

AFTER = ("scan", "split", "statistics", "matrices")
"""Stages that this page follows."""


class DataScreen:
    """What is known of the table while it is read."""

    key = "data"
    title = "Data"

    def __init__(self) -> None:
        self._heard: list[Piece] | None = None
        self._generation = 0
        self._forget(DataState())

    def _forget(self, data: DataState) -> None:
        """Begin anew with a table."""
        self._heard, self._n_heard = data.pieces, 0
        self._generation += 1
        self._spans = Spans(max(1, data.partitions), tuple(data.columns))
        self._rates: Rates | None = None
        self._rows_were_read = False
        self._dots: dict[str, list[Any]] = {
            name: [] for name in ("place", "seconds", "rows", "rejects", "worker", "state")
        }
        self._stride = 1
        self._maps: list[Slot] = []
        self._maps_at, self._maps_version = -math.inf, -1

    def rows(self) -> Sequence[Row]:
        """Return the panels from top to bottom."""
        return panels()

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is known of the table now."""
        data = state.data
        names = tuple(data.columns)
        if data.pieces is not self._heard or len(data.pieces) < self._n_heard or names != self._spans.names:
            self._forget(data)
        self._take(state)
        return [
            Value("data_tiles", self._tiles(state, now)),
            Value("partitions", strip(state)),
            *self._throughput(state),
            *self._seconds(data),
            *self._missing(data),
            *self._map_slots(state, now),
            Value("refused", refused(data)),
            Value("following", following(state, now)),
        ]

    def _take(self, state: RunState) -> None:
        """Take in the pieces that are new."""
        data = state.data
        new = data.pieces[self._n_heard :]
        if not new:
            return
        if self._rates is None:
            scan = state.stages.known.get("scan")
            lasted = [piece.seconds if 0 < piece.seconds < MOST_SECONDS else 0.0 for piece in new]
            first = min(piece.at - seconds for piece, seconds in zip(new, lasted, strict=True))
            began = scan.began if scan is not None and math.isfinite(scan.began) else first
            self._rates = Rates(min(began, first), 2)
        for piece in new:
            if data.states[piece.first] != THERE and piece.seconds > 0:
                self._rates.add(piece.at, piece.seconds, piece.rows, piece.bytes / 1e6)
                self._rows_were_read = True
        self._spans.take(new)
        self._n_heard += len(new)
        self._add_dots(data)

    def _add_dots(self, data: DataState) -> None:
        """Add a dot for every few pieces that ended after each other: the slowest of them."""
        stride = 1
        while len(data.pieces) > MOST_DOTS * stride:
            stride *= 2
        if stride != self._stride:
            self._stride = stride
            self._dots = {name: [] for name in self._dots}
        for first in range(len(self._dots["place"]) * stride, len(data.pieces) - stride + 1, stride):
            slowest = max(
                data.pieces[first : first + stride], key=lambda piece: (piece.seconds / piece.parts, piece.rejects)
            )
            self._dots["place"].append(slowest.first)
            self._dots["seconds"].append(quantities.plain(slowest.seconds / slowest.parts))
            self._dots["rows"].append(slowest.rows)
            self._dots["rejects"].append(slowest.rejects)
            self._dots["worker"].append(style.shown(slowest.worker, 60))
            self._dots["state"].append("rows refused" if slowest.rejects else "done")

    def _tiles(self, state: RunState, now: float) -> list[dict[str, Any]]:
        data = state.data
        if not data.partitions:
            return [{"label": "Data", "value": "not read yet", "note": "The scan has not begun."}]
        done = sum(data.states.count(code) for code in (DONE, THERE, REJECTED))
        scan = state.stages.known.get("scan")
        is_running = scan is not None and scan.state == "running" and not state.is_over
        _, rows_rate, bytes_rate = scan.pace(now) if scan is not None and is_running else (0.0, 0.0, 0.0)
        seconds = scan.elapsed(now) if scan is not None else math.nan
        if not is_running and math.isfinite(seconds) and seconds > 0 and self._rows_were_read:
            rows_rate, bytes_rate = data.rows / seconds, data.read_bytes / seconds
        reading = len(data.began) if is_running else 0
        when = "in the last 30 s" if is_running else "over the whole scan"
        beside = [f"{reading:,} being read"] if reading else []
        beside += [f"{words.plural(data.found, 'block')} there already, not read"] if data.found else []
        of_all = [f"of {words.size(data.bytes)}"] if data.bytes else []
        of_all += [f"{words.size(bytes_rate)}/s"] if bytes_rate else []
        pace = f"{quantities.count(rows_rate)} per second {when}" if rows_rate else ""
        state_word = "good" if done == data.partitions else ""
        n_columns = f"{data.n_columns:,}" if data.n_columns else quantities.UNKNOWN
        return [
            _tile("Partitions", f"{done:,}", "; ".join([f"of {data.partitions:,}", *beside]), state_word),
            _tile("Rows", quantities.count(data.rows), pace),
            *([_tile("Bytes read", words.size(data.read_bytes), ", ".join(of_all))] if of_all else []),
            _refused_tile(data),
            _tile("Columns", n_columns, _told(data)),
        ]

    def _throughput(self, state: RunState) -> list[Slot]:
        """Rows and bytes per second, without the last while: what is being read then is not known before it ends."""
        columns: list[list[float]] = [[], [], []]
        if self._rates is not None and self._rows_were_read:
            data, until = state.data, math.inf
            if data.began and not state.is_over:
                recent = sorted(piece.seconds for piece in data.pieces[-50:])
                until = self._rates.last - recent[len(recent) // 2]
            columns = self._rates.per_second(until)
        seconds, rows, megabytes = ([quantities.plain(one) for one in column] for column in columns)
        has_bytes = any(megabytes)
        were_there = state.data.found and state.data.found == state.data.partitions
        return [
            Columns(
                "throughput_data",
                {"seconds": seconds, "rows": rows, "megabytes": megabytes},
                str(hash((*seconds, *rows, *megabytes))),
            ),
            *(Look(f"{key}_x", live_axes.ends(seconds, 0.02)) for key in ("throughput_rows", "throughput_bytes")),
            Look("throughput_rows_y", live_axes.from_zero(rows)),
            Look("throughput_bytes_y", live_axes.from_zero(megabytes)),
            Value("throughput_rows.empty", not seconds),
            Value("throughput_bytes.empty", not has_bytes),
            Value("throughput_rows.hidden", bool(were_there)),
            Value("throughput_bytes.hidden", bool(were_there or (self._n_heard and not has_bytes))),
            Value("piece_seconds.hidden", bool(were_there)),
        ]

    def _seconds(self, data: DataState) -> list[Slot]:
        marks = [live_data.STATES[state] for state in self._dots["state"]]
        columns: dict[str, Sequence[Any]] = {
            **self._dots,
            "mark": [mark for mark, _ in marks],
            "fill": [colour for _, colour in marks],
        }
        return [
            Columns("piece_seconds_data", columns, f"{self._generation}-{self._stride}"),
            Look("piece_seconds_x", {"start": -0.5, "end": max(1, data.partitions) - 0.5}),
            Look("piece_seconds_y", live_axes.from_zero(self._dots["seconds"])),
            Value("piece_seconds.empty", not self._dots["place"]),
        ]

    def _missing(self, data: DataState) -> list[Slot]:
        having = [(name, look) for name, look in data.columns.items() if look.missing and look.rows]
        having.sort(key=lambda item: -item[1].missing / item[1].rows)
        some = having[:MOST_MISSING]
        labels = live_axes.labels_of([name for name, _ in some])
        columns: dict[str, list[Any]] = {
            "label": labels,
            "share": [quantities.plain(look.missing / look.rows) for _, look in some],
            "name": [style.shown(name, 80) for name, _ in some],
            "missing": [look.missing for _, look in some],
            "rows": [look.rows for _, look in some],
        }
        most = max((share or 0.0 for share in columns["share"]), default=0.0)
        return [
            Columns("missing_data", columns, f"{self._generation}-{data.version}"),
            Look("missing_rows", live_axes.rows(labels)),
            Look("missing", live_axes.height_of(len(labels))),
            Look("missing_share", {"start": 0.0, "end": quantities.plain(1.04 * most or 1.0)}),
            Value("missing.empty", not labels),
        ]

    def _map_slots(self, state: RunState, now: float) -> list[Slot]:
        """The maps, made anew after a while only, and at the end."""
        data = state.data
        is_read = data.partitions > 0 and not data.began
        is_due = not self._maps or abs(now - self._maps_at) >= MAP_SECONDS or is_read or state.is_over
        if data.version != self._maps_version and is_due:
            self._maps_at, self._maps_version = now, data.version
            shift = self._spans.shift(data)
            self._maps = [*self._missing_map(), *self._drift_map(shift), Value("moved", self._moved(data, shift))]
            # Of a table that came in one piece nothing can be said of how it moves.
            is_one = is_read and len(data.pieces) == 1
            self._maps += [Value("drift_map.hidden", is_one), Value("moved.hidden", is_one)]
        return self._maps

    def _missing_map(self) -> list[Slot]:
        share = self._spans.missing_share()
        total = self._spans.missing.sum(axis=0) / np.maximum(self._spans.rows.sum(axis=0), 1)
        order = [int(place) for place in np.argsort(-total, kind="stable")[:MOST_MISSING] if total[place] > 0]
        cells, labels = self._cells(share, order)
        most = max(0.1, float(np.nanmax(share[:, order]))) if order else 1.0
        columns = {"x": cells[0], "label": cells[1], "width": cells[2], "share": cells[3]}
        return [
            *self._map("missing_map", columns, labels),
            Look("missing_map_shade", {"high": quantities.plain(most)}),
        ]

    def _drift_map(self, shift: Any) -> list[Slot]:
        strongest = np.where(self._spans.n_pieces > 1, _strongest(shift), -1.0)
        order = [int(p) for p in np.argsort(-strongest, kind="stable")[:MOST_MOVED] if strongest[p] >= 0]
        cells, labels = self._cells(shift, order)
        signs = ["+" if one > MOVED else "−" if one < -MOVED else "" for one in cells[3]]
        columns = {"x": cells[0], "label": cells[1], "width": cells[2], "shift": cells[3], "sign": signs}
        most = max(1.0, float(strongest.max(initial=0.0)))
        ends = {"low": quantities.plain(-min(most, 3.0)), "high": quantities.plain(min(most, 3.0))}
        return [*self._map("drift_map", columns, labels), Look("drift_map_shade", ends)]

    def _cells(self, values: Any, order: list[int]) -> tuple[list[list[Any]], list[str]]:
        """Cells of some columns that have a value, and the columns' labels."""
        labels = live_axes.labels_of([self._spans.names[place] for place in order])
        spans, columns = np.nonzero(np.isfinite(values[:, order])) if order else (np.zeros(0, int), np.zeros(0, int))
        found = values[:, order][spans, columns] if order else np.zeros(0)
        x = self._spans.middles()[spans]
        width = [round(0.94 * self._spans.width, 4)] * len(found)
        return [np.round(x, 2).tolist(), [labels[c] for c in columns], width, np.round(found, 4).tolist()], labels

    def _map(self, key: str, columns: dict[str, list[Any]], labels: list[str]) -> list[Slot]:
        return [
            Columns(f"{key}_data", columns, f"{self._generation}-{self._maps_version}"),
            Look(f"{key}_rows", live_axes.rows(labels)),
            Look(f"{key}_places", {"start": -0.5, "end": self._spans.n_partitions - 0.5}),
            Look(key, live_axes.height_of(len(labels))),
            Value(f"{key}.empty", not labels),
        ]

    def _moved(self, data: DataState, shift: Any) -> dict[str, Any]:
        """Columns with a span whose mean is far from that of all."""
        strongest = _strongest(np.where(self._spans.n >= MOVED_ROWS, shift, np.nan))
        order = [int(p) for p in np.argsort(-strongest, kind="stable") if strongest[p] > MOVED]
        rows = []
        for place in order[:MOST_COLUMNS]:
            look = data.columns[self._spans.names[place]]
            span = int(np.nanargmax(np.abs(np.where(self._spans.n[:, place] >= MOVED_ROWS, shift[:, place], np.nan))))
            first, last = self._spans.bounds(span)
            rows.append({
                "column": self._spans.names[place],
                "shift": f"{shift[span, place]:+.2f}",
                "where": f"{first:,}" if first == last else f"{first:,} to {last:,}",
                "mean": quantities.plain(look.mean),
                "std": quantities.plain(look.std),
            })  # fmt: skip
        heads = [("column", "Column", "text"), ("shift", "Std away", "text"), ("where", "Partitions", "text")]
        heads += (("mean", "Mean", "number"), ("std", "Std", "number"))
        return table(heads, rows, len(order) - len(rows))


def strip(state: RunState) -> dict[str, Any]:
    """Return the state of each partition, or of each few, as the strip shows it."""
    data = state.data
    codes = np.frombuffer(bytes(data.states), dtype=np.uint8).copy()
    if state.is_over:
        codes[codes == READING] = WAITING  # nobody reads any more
    counts = np.bincount(codes, minlength=len(LABELS)).tolist()
    per_cell = max(1, -(-len(codes) // MOST_CELLS))
    if per_cell > 1:
        urgency, states = np.argsort(URGENCY).astype(np.uint8), np.array(URGENCY, dtype=np.uint8)
        padded = np.zeros(-(-len(codes) // per_cell) * per_cell, dtype=np.uint8)
        padded[: len(codes)] = urgency[codes]
        codes = states[padded.reshape(-1, per_cell).max(axis=1)]
    each = "One cell is one partition" if per_cell == 1 else f"One cell is {per_cell} partitions that follow each other"
    return {
        "states": (codes + ord("0")).astype(np.uint8).tobytes().decode("ascii"),
        "labels": list(LABELS),
        "title": f"{each}; {len(data.states):,} in all.",
        "per_cell": per_cell,
        "counts": counts,
        "total": len(data.states),
    }


def refused(data: DataState) -> dict[str, Any]:
    """Return the rows that were refused, as far as they are known, as a table."""
    known = [("file", "File", "text"), ("line", "Line", "number")]
    told = [head for head in known if any(getattr(one, head[0]) not in ("", None) for one in data.refused)]
    heads = [("place", "Partition", "text"), *told, ("reason", "Why", "text")]
    rows: list[dict[str, Any]] = [
        {"place": one.place, "file": one.file, "line": one.line, "reason": one.reason} for one in data.refused
    ]
    if not rows:  # only how many is known: of which partitions
        some = [piece for piece in data.pieces if piece.rejects][:MOST_COLUMNS] if data.rejects else []
        rows = [{"place": piece.first, "reason": f"{words.plural(piece.rejects, 'row')} refused"} for piece in some]
        return table(heads, rows, data.rejects - sum(piece.rejects for piece in some))
    return table(heads, rows, max(0, data.rejects - len(rows)))


def following(state: RunState, now: float) -> list[dict[str, Any]]:
    """Return how far the scan and the stages after it are, in words."""
    found = []
    for name in AFTER:
        stage = state.stages.known.get(name)
        if stage is None:
            continue
        left = stage.left(now)[0]
        counted = f"{stage.done:,} of {stage.total:,}" if stage.total else ""
        said = {
            "waiting": "waits",
            "running": counted or "goes on",
            "done": f"took {words.lasting(stage.seconds or stage.elapsed(now))}",
            "failed": "failed",
        }[stage.state]
        found.append({
            "name": name,
            "state": stage.state,
            "share": quantities.plain(stage.share),
            "words": said,
            "left": words.left(left, math.nan, math.nan),
        })  # fmt: skip
    return found


def _tile(label: str, value: str, note: str, state: str = "") -> dict[str, Any]:
    """What the page's script draws as a tile."""
    return {"label": label, "value": value, "note": note} | ({"state": state} if state else {})


def _refused_tile(data: DataState) -> dict[str, Any]:
    """How many rows were refused, and whether that is many."""
    if not data.rejects:
        return _tile("Rows refused", "0", "", "good" if data.pieces else "")
    whole = data.rows + data.rejects
    state = "bad" if data.rejects >= MANY_REFUSED * whole else "wait"
    return _tile("Rows refused", f"{data.rejects:,}", f"{quantities.share(data.rejects, whole)} of the rows", state)


def _strongest(shift: Any) -> Any:
    """By column the largest distance of a span, -1 where none is known."""
    return np.max(np.where(np.isfinite(shift), np.abs(shift), -1.0), axis=0, initial=-1.0)


def _told(data: DataState) -> str:
    """What the page does not show of the columns."""
    told = len(data.kinds)
    return f"the first {told:,} are followed here" if told < data.n_columns else ""
