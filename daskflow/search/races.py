"""A bracket of an incremental search: dask-ml's rule, told of scores; histories, and who is still in."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.search.jobs import unit_key
from daskflow.search.policies import Candidate

logger = logging.getLogger("dask_ml.model_selection")
"""dask-ml's own, so that what is set up to show its progress shows ours."""


@dataclass
class Ledger:
    """The engine's recorder: every finished unit, until a race takes it into its history."""

    finished: list[dict[str, Any]] = field(default_factory=list)

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        """Keep the records of finished units."""
        self.finished += [dict(record) for record in records if record["record"] == "unit"]

    def take(self, trials: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Remove and return the records of these trials."""
        taken = [record for record in self.finished if record["trial"] in trials]
        self.finished = [record for record in self.finished if record["trial"] not in trials]
        return taken


@dataclass
class Race:
    """One bracket.

    Parameters
    ----------
    searcher : dask-ml search
        Its ``_additional_calls`` decides.
    candidates : list of Candidate
        In dask-ml's order.
    ledger : Ledger
        Where finished units appear.
    release : callable
        Forgets the models of these unit keys.
    started : float
        ``time.perf_counter()`` at the start of the search.
    log_every : int
        Log each so many rounds; 0 for none.
    """

    searcher: Any
    candidates: list[Candidate]
    ledger: Ledger
    release: Callable[[list[str]], None]
    started: float
    log_every: int
    history: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    rounds: int = 0

    def __post_init__(self) -> None:
        """Number the candidates; everyone is in."""
        self.numbers = {candidate.trial: number for number, candidate in enumerate(self.candidates)}
        self.survivors = set(self.numbers)
        logger.info("[CV%s] creating %d models", self.searcher.prefix, len(self.candidates))

    def add(self, candidate: Candidate) -> None:
        """Let another candidate in."""
        self.numbers[candidate.trial] = len(self.candidates)
        self.survivors.add(candidate.trial)
        self.candidates.append(candidate)

    def additional_calls(self, info: dict[int, list[dict[str, Any]]]) -> Mapping[int, int]:
        """dask-ml's answer after a round; models it drops are forgotten."""
        self.log(self.collect())
        calls: Mapping[int, int] = self.searcher._additional_calls(info)
        out = [self.candidates[number].trial for number in info if number not in calls]
        self.survivors -= set(out)
        self.released |= set(out)
        self.release([unit_key(trial, 0, self.resources[trial]) for trial in out if trial in self.resources])
        return calls

    def collect(self) -> list[dict[str, Any]]:
        """Take finished units into the history, by model; return the new entries."""
        records = sorted(self.ledger.take(self.numbers), key=lambda record: self.numbers[record["trial"]])
        new = [self._entry(record) for record in records]
        self.history += new
        return new

    def _entry(self, record: Mapping[str, Any]) -> dict[str, Any]:
        trial, others = record["trial"], {}
        candidate = self.candidates[self.numbers[trial]]
        if "error" in record:
            self.errors[trial] = str(record["error"])
            score, details = math.nan, {"partial_fit_time": record["seconds"], "score_time": 0.0}
        else:
            self.resources[trial] = int(record["resource"])
            score, details = float(record["metrics"]["score"]), record["details"]
            others = {f"test_{name}": value for name, value in record["metrics"].items() if name != "score"}
        entry = {
            "model_id": self.model_id(trial),
            "params": dict(candidate.params),
            "partial_fit_calls": self.resources.get(trial, 0),
            "partial_fit_time": details["partial_fit_time"],
            "score": score,
            **others,
            "score_time": details["score_time"],
            "elapsed_wall_time": time.perf_counter() - self.started,
        }
        return entry if candidate.bracket is None else {**entry, "bracket": candidate.bracket}

    def model_id(self, trial: str) -> Any:
        """dask-ml's name of a model: its number, or ``bracket=B-NUMBER``."""
        number, bracket = self.numbers[trial], self.candidates[self.numbers[trial]].bracket
        return number if bracket is None else f"bracket={bracket}-{number}"

    def log(self, new: list[dict[str, Any]]) -> None:
        """Tell the best score of a round."""
        scores = [entry for entry in new if not math.isnan(entry["score"])]
        if scores and self.log_every and self.rounds % self.log_every == 0:
            best = max(scores, key=lambda entry: float(entry["score"]))
            logger.info(
                "[CV%s] validation score of %0.4f received after %d partial_fit calls",
                self.searcher.prefix,
                best["score"],
                best["partial_fit_calls"],
            )
        self.rounds += 1

    def best(self) -> tuple[float, str] | None:
        """Score and trial of the best model: of those dask-ml still had in at the end, else of all.

        An earlier score of a model that was dropped may be higher: it was taken after less training.
        """
        scores = {entry["model_id"]: float(entry["score"]) for entry in self.history}
        for trials in (self.survivors, set(self.numbers)):
            known = [
                (scores[self.model_id(trial)], trial)
                for trial in self.numbers
                if trial in trials and not math.isnan(scores.get(self.model_id(trial), math.nan))
            ]
            if known:
                return max(known, key=lambda item: item[0])
        return None
