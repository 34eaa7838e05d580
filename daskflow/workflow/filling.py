"""Filling: what the records of a run's folder leave out, made up from its other files and from what is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.errors import DaskflowError
from daskflow.core.folder import RunFolder, read_json
from daskflow.core.journal import Record
from daskflow.core.live import MOST_COLUMNS, time_of
from daskflow.search import REGISTRY
from daskflow.search.costs import Step
from daskflow.search.schedules import Rung, schedule
from daskflow.workflow.foresight import plan_of
from daskflow.workflow.history import earlier_runs
from daskflow.workflow.logs import with_log
from daskflow.workflow.standing import Standing, importance_record
from daskflow.workflow.toml import load

DAMAGES = (AttributeError, KeyError, TypeError, ValueError)
"""What records of another version, or written by somebody else, can lead to: they are shown as they are."""

ANY_SPACE = {"number": range(10**9)}
"""How many candidates a search has does not depend on what they are drawn from, if that is large enough."""


class Filling:
    """Fills in what is missing among the records of one run, in the order they come.

    Parameters
    ----------
    folder : RunFolder
        Of the run.

    Notes
    -----
    Failed units get the end of their log, and a run whose test is over the numbers of its ``metrics.json``. A run that
    wrote no events (an older version's) gets what it would have told: its plan, its table, the best trial's interval,
    the importance of its parameters.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Know of nothing."""
        self.folder = folder
        self._standing = Standing()
        self._told: set[str] = set()
        self._scan_seconds = 0.0
        self._is_judged = False
        self._at = 0.0

    def filled(self, records: Sequence[Record], *, is_live: bool) -> list[Record]:
        """Return records with what is missing among them; of a run that is not live, with what is known at its end."""
        self._told |= {str(record.get("record")) for record in records}
        tells = self.folder.events.exists()
        found: list[Record] = []
        for record in records:
            self._at = max(self._at, time_of(record))
            try:
                before, behind = self._beside(record, tells=tells)
            except DAMAGES:
                before, behind = [], []
            found += [*before, with_log(record, self.folder), *behind]
        try:
            if not tells:
                self._standing.hear(records)
            if records:
                found += self._now(is_live=is_live, tells=tells)
        except DAMAGES:
            self._standing = Standing()
        return found

    def _beside(self, record: Record, *, tells: bool) -> tuple[list[Record], list[Record]]:
        """What belongs before a record, and behind it."""
        kind = record.get("record")
        if kind == "invocation":
            self._is_judged = False
        elif kind == "stage" and not record.get("failed"):
            self._is_judged = self._is_judged or record.get("stage") == "evaluation"
            if record.get("stage") == "scan":
                self._scan_seconds = float(record.get("seconds") or 0.0)
        elif kind == "end":
            return self._final(record.get("at")), []
        elif kind == "data" and not tells:
            return [], self._dated(record, self._table(record))
        elif kind == "candidates" and "metric" in record and not tells:
            return [], self._dated(record, self._plan(record))
        return [], []

    def _dated(self, record: Record, made: Sequence[Record]) -> list[Record]:
        return [{**each, "at": record.get("at")} for each in made]

    def _now(self, *, is_live: bool, tells: bool) -> list[Record]:
        """What is known by now: standing and history."""
        made: list[Record] = []
        if not tells:
            made += self._standing.news() if is_live else [*self._standing.compared(), *self._importance()]
        if "history" not in self._told and not (tells and is_live):
            self._told.add("history")
            made.append({"record": "history", "runs": earlier_runs(self.folder)})
        return [{**each, "at": self._at} for each in made]

    def _importance(self) -> list[Record]:
        """The importance of parameters as the run found it at its end; else as it is found now."""
        known = self._metrics().get("details", {}).get("parameter_importance")
        if known:
            return [importance_record(known)]
        return self._standing.weighed() if self._standing.is_enough else []

    def _metrics(self) -> dict[str, Any]:
        try:
            return read_json(self.folder.metrics)
        except (OSError, ValueError):
            return {}

    def _final(self, at: Any) -> list[Record]:
        """The test's numbers as ``metrics.json`` has them, when the invocation that ends came so far."""
        saved = self._metrics() if self._is_judged else {}
        try:
            metrics = {name: [score["value"], score["low"], score["high"]] for name, score in saved["metrics"].items()}
            rows = int(saved["n_rows"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return []
        counts = {"rows": rows, "total": rows}
        return [
            {"record": "evaluated", **counts, "metrics": metrics, "details": saved.get("details") or {}, "final": True}
            | {"at": at}
        ]

    def _table(self, record: Record) -> list[Record]:
        """The table and its partitions, all of them done."""
        try:
            data = read_json(self.folder.data)
            partitions, columns = int(data["partitions"]), data["columns"][:MOST_COLUMNS]
            described = [{"name": str(each["name"]), "kind": str(each["kind"])} for each in columns]
            looks = {str(each["name"]): _look(each, record) for each in columns}
        except (OSError, KeyError, TypeError, ValueError):
            return []
        size = {"bytes": data.get("bytes") or 0}
        table = {"record": "table", "partitions": partitions, **size, "columns": described}
        done = {
            "record": "partitions",
            "places": list(range(partitions)),
            "state": "done",
            "rows": record.get("rows") or 0,
            "rejects": 0,  # which partitions had them is not known
            "seconds": self._scan_seconds,
            "worker": "",
            "columns": looks,
            **size,
        }
        return [{**table, "n_columns": len(data["columns"])}, done]

    def _plan(self, record: Record) -> list[Record]:
        """What the search means to do, by its settings; nothing where they cannot be read here.

        Nothing that a folder names is imported, so of a search that stops early any space is played.
        """
        try:
            flow = load(self.folder.workflow, environment={})
            search = REGISTRY.parse(flow["search"], where="search")
            n_folds, seed = int(record["n_folds"]), int(flow.get("seed") or 0)
            if search.draws_first and not search.stops_early:
                units = len(record["candidates"])
                rungs = [Rung(None, Step(0, search.resource), units, units)]
            else:
                rungs = schedule(search, ANY_SPACE, seed=seed)
                units = search.fits(ANY_SPACE, seed=seed)["units"]
            plan = plan_of(search, rungs, units * n_folds)
            head = {word: record[word] for word in ("metric", "greater_is_better", "n_folds")}
            return [{"record": "plan", **head, **plan}]
        except (DaskflowError, OSError, KeyError, TypeError, ValueError):
            return []


def _look(column: Mapping[str, Any], record: Record) -> list[Any]:
    rows = column.get("rows") or record.get("rows") or 0
    return [rows, column.get("missing") or 0, column.get("mean"), column.get("std")]
