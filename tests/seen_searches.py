"""Searches as a viewer of the page Search sees them, usual ones and rare ones."""

import math
from dataclasses import dataclass, field
from typing import Any

from daskflow.dashboard.screen_search import SearchScreen
from daskflow.dashboard.slots import Columns, Value
from daskflow.dashboard.state import RunState
from tests.told_runs import START, stage_moment, told_run


@dataclass
class Viewer:
    """Applies slots as a page does: rows of an epoch are only added at the end."""

    screen: SearchScreen = field(default_factory=SearchScreen)
    columns: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    epochs: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    looks: dict[str, Any] = field(default_factory=dict)

    def see(self, state: RunState, now: float) -> "Viewer":
        for slot in self.screen.slots(state, now):
            if isinstance(slot, Columns):
                new = {name: list(column) for name, column in slot.data.items()}
                assert len({len(column) for column in new.values()}) == 1, slot.name
                if self.epochs.get(slot.name) == slot.epoch:
                    for name, before in self.columns[slot.name].items():
                        assert new[name][: len(before)] == before, f"{slot.name}: rows of {name} changed in an epoch"
                self.columns[slot.name], self.epochs[slot.name] = new, slot.epoch
            elif isinstance(slot, Value):
                self.values[slot.name] = slot.value
            else:
                self.looks[slot.name] = slot.attributes
        return self

    def of(self, name: str) -> dict[str, list[Any]]:
        return self.columns[f"{name}_data"]

    def n_rows(self, name: str) -> int:
        return len(next(iter(self.of(name).values())))


def state_of(records: list[dict[str, Any]]) -> RunState:
    state = RunState()
    state.hear(records)
    return state


def searched(share: float = 1.0, **options: Any) -> list[dict[str, Any]]:
    return stage_moment(told_run(**options), "search", share)


def seen(records: list[dict[str, Any]]) -> tuple[RunState, Viewer]:
    state = state_of(records)
    return state, Viewer().see(state, records[-1]["at"])


def changed(records: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
    """Records of units with other scores, by a function of the trial's name and the score."""
    score = changes["score"]
    return [
        {**each, "metrics": {name: score(each["trial"], value) for name, value in each["metrics"].items()}}
        if each["record"] == "unit" and each.get("metrics")
        else each
        for each in records
    ]


def number_of(trial: str) -> int:
    return int(trial.split("-")[-1])


def without_brackets(records: list[dict[str, Any]], resources: set[int]) -> list[dict[str, Any]]:
    """The same search without brackets and plan, and with these resources only."""
    kept = []
    for each in records:
        if each["record"] == "plan" or each.get("resource", min(resources)) not in resources:
            continue
        if each["record"] == "candidates":
            each = {**each, "candidates": [{**one, "bracket": None} for one in each["candidates"]]}
        kept.append(each)
    return kept


def resumed(records: list[dict[str, Any]], pause: float) -> list[dict[str, Any]]:
    """The run is killed in the middle of the search, and goes on much later."""
    units = [place for place, each in enumerate(records) if each["record"] == "unit"]
    cut = units[len(units) // 2]
    at = records[cut]["at"]
    again = [{"record": "invocation", "at": at + pause, "id": "a1b2c3d4e5", "versions": {}}]
    rest = [{**each, "at": each["at"] + pause + 5} for each in records[cut + 1 :]]
    rest = [{**each, "began": each["began"] + pause + 5} if "began" in each else each for each in rest]
    return [*records[: cut + 1], *again, *rest]


def with_params(records: list[dict[str, Any]], params: Any) -> list[dict[str, Any]]:
    """The same search of other parameters, by a function of the candidate's place and its parameters."""
    return [
        {
            **each,
            "candidates": [
                {**one, "params": params(place, one["params"])} for place, one in enumerate(each["candidates"])
            ],
        }
        if each["record"] == "candidates"
        else each
        for each in records
    ]


def families(place: int, params: dict[str, Any]) -> dict[str, Any]:
    if place % 2:
        return {"model": "sgd", "sgd.alpha": params["alpha"]}
    return {"model": "tree", "tree.depth": place, "tree.split": [1, 2]}


def sixty(place: int, params: dict[str, Any]) -> dict[str, Any]:
    return {f"p{name}": (place * 7 + name) % 11 if name % 3 else (None, name * 0.1)[place % 2] for name in range(60)}


RARE = {
    "nothing heard": [],
    "no trial": stage_moment(told_run(), "scan", 0.5),
    "one candidate": [
        {"record": "invocation", "at": START, "id": "a"},
        {"record": "candidates", "at": START + 1, "metric": "accuracy", "greater_is_better": True, "n_folds": 1,
         "candidates": [{"trial": "0", "params": {}}]},
        {"record": "start", "at": START + 2, "trial": "0", "fold": 0, "resource": 1},
        {"record": "unit", "at": START + 9, "trial": "0", "fold": 0, "resource": 1, "seconds": 7.0, "cpu_seconds": 7.0,
         "metrics": {"accuracy": 0.5}, "worker": ""},
    ],
    "all failed": [
        {**each, "metrics": None, "error": "ValueError: no", "log_text": "..."} if each["record"] == "unit" else each
        for each in searched(0.5)
    ],
    "all equal": changed(searched(0.5), score=lambda trial, score: 0.5),
    "all zero": changed(searched(0.5), score=lambda trial, score: 0.0),
    "infinite": changed(
        searched(0.5), score=lambda trial, score: [math.inf, -math.inf, score, score][number_of(trial) % 4]
    ),
    "missing": changed(searched(0.5), score=lambda trial, score: None if number_of(trial) % 3 else score),
    "diverged": changed(searched(0.5), score=lambda trial, score: -1e30 if number_of(trial) % 3 == 0 else score),
    "lower is better": searched(0.5, metric="rmse"),
    "hostile": searched(0.5, hostile=True),
    "families": with_params(searched(0.6), families),
    "60 parameters": with_params(searched(0.6), sixty),
    "resumed twice": resumed(resumed(searched(0.9), 1000.0), 50.0),
    "over": told_run(),
    "failed run": told_run(status="failed"),
    "older run": [
        {name: value for name, value in each.items() if name not in ("began", "lasted", "worker")}
        for each in searched()
        if each["record"] in ("invocation", "data", "stage", "candidates", "start", "unit", "end")
    ],
}  # fmt: skip
