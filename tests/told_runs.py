"""Made-up runs as watchers hear them: the records of a whole run on a clock of their own, at any moment of it."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]

START = 1_790_000_000.0
"""When made-up runs begin."""

HOSTILE = "<img src=x onerror=alert(1)>\u202e$$x^2$$"
"""A name that a page must show as text."""


def told_run(
    *,
    base: int = 27,
    folds: int = 3,
    partitions: int = 40,
    workers: int = 4,
    fit_seconds: float = 0.4,
    seed: int = 0,
    status: str = "done",
    hostile: bool = False,
    metric: str = "roc_auc",
    stream: int = 0,
) -> list[Record]:
    """Return every record of a Hyperband-like run with three brackets, in the order of time.

    Parameters
    ----------
    base : int
        Candidates of the widest bracket; three brackets have base, base // 2 and base // 4 of them: with 5,800 there
        are about 10,000 trials.
    folds, partitions, workers : int
        Sizes.
    fit_seconds : float
        Of a fit on one resource unit.
    status : str
        How it ends.
    hostile : bool
        Whether names try to break the page.
    metric : str
        Of the search; ``rmse`` is better when lower.
    stream : int
        Seconds of a stream after the end.
    """
    draw = random.Random(seed)
    greater = metric != "rmse"
    records: list[Record] = []
    now = START
    evil = HOSTILE if hostile else ""

    def tell(at: float, record: str, **fields: Any) -> None:
        records.append({"record": record, "at": at, **fields})

    tell(now, "invocation", id="a1b2c3d4e5", versions={"python": "3.11.7"})
    tell(now + 0.1, "history", runs=_history(draw, metric, greater))
    tell(
        now + 2,
        "cluster",
        description=f"local: {workers} workers x 1 core, 4.00 GiB each{evil}",
        slots=workers,
        host="node17",
        dashboard="http://127.0.0.1:8787/status",
    )
    tell(now + 2, "note", text=f"Cluster local: {workers} workers x 1 core{evil}")
    names = [f"w-{place}{evil}" for place in range(workers)]
    columns = [*(f"x{place}" for place in range(18)), "income", "age", f"state{evil}", "when"]
    kinds = dict.fromkeys(columns, "numeric") | {columns[-2]: "categorical", columns[-1]: "datetime"}
    now = _scan(tell, draw, now + 2.5, partitions, workers, columns, kinds, names)
    for stage, seconds in (("split", 0.4), ("statistics", 3.0), ("matrices", 5.0)):
        tell(now, "begun", stage=stage, total=None)
        tell(now, "begun", stage=stage, total=16)
        for part in range(1, 17):
            tell(now + seconds * part / 16, "progress", stage=stage, done=part, total=16, rows=part * 3000, bytes=0)
        now += seconds
        tell(now, "stage", stage=stage, seconds=seconds, cpu_seconds=seconds * workers * 0.8, peak_memory_bytes=2**28)
    now = _search(tell, draw, now, base, folds, names, fit_seconds, metric, greater, evil)
    tell(now, "begun", stage="refit", total=None)
    now += 4
    tell(now, "stage", stage="refit", seconds=4.0, cpu_seconds=6.0, peak_memory_bytes=2**29)
    tell(now, "refitted", trial="2-0", sha256="0" * 64, decision={}, told={"decision": {}})
    now = _evaluation(tell, draw, now, metric, columns, greater)
    tell(now, "begun", stage="model", total=None)
    tell(now + 0.5, "stage", stage="model", seconds=0.5, cpu_seconds=0.4, peak_memory_bytes=2**29)
    tell(now + 0.6, "warning", text=f"Column 'x3' looks like a copy of the target{evil}")
    tell(now + 1, "end", status=status, **({"error": f"Disk full{evil}"} if status == "failed" else {}))
    for second in range(stream):
        load = 400 + 300 * math.sin(second / 60) + draw.uniform(-30, 30)
        tell(
            now + 2 + second,
            "stream",
            requests=int(load),
            rows=int(load * 3),
            seconds=1.0,
            latency={"p50": 0.002 + load * 2e-6, "p95": 0.005 + load * 9e-6, "p99": 0.009 + load * 2e-5},
            queue=int(max(0, load - 600) / 10),
            queue_limit=256,
            batches={1: int(load * 0.5), 4: int(load * 0.3), 16: int(load * 0.2)},
            errors={"unseen column": 1} if second % 40 == 7 else {},
            drift={"x0": [0.02 + second / 9000, 0.1], "income": [0.05, 0.1]},
            score={"metric": metric, "value": 0.78, "low": 0.77, "high": 0.79, "rows": 1000 * (second + 1)},
        )
    records.sort(key=lambda each: each["at"])
    return records


def until(records: Sequence[Record], share: float) -> list[Record]:
    """Return the records up to a share of the run's time."""
    first, last = records[0]["at"], records[-1]["at"]
    return [each for each in records if each["at"] <= first + share * (last - first)]


def stage_moment(records: Sequence[Record], stage: str, share: float) -> list[Record]:
    """Return the records up to a share of one stage's time."""
    begun = next(each["at"] for each in records if each["record"] == "begun" and each["stage"] == stage)
    ended = next(each["at"] for each in records if each["record"] == "stage" and each["stage"] == stage)
    return [each for each in records if each["at"] <= begun + share * (ended - begun)]


def _history(draw: random.Random, metric: str, greater: bool) -> list[Record]:
    runs = []
    for number in range(6):
        low, best = (0.6, 0.70 + 0.015 * number) if greater else (90.0, 60.0 - 2 * number)
        curve = [
            [20 * (step + 1), 60 * (step + 1), low + (best - low) * (1 - math.exp(-step / 6))] for step in range(30)
        ]
        runs.append(
            {
                "id": f"{number:010x}",
                "name": "late-flights",
                "started": START - 86_400 * (6 - number),
                "status": "done" if number != 2 else "interrupted",
                "seconds": 620.0,
                "cpu_seconds": 1800.0,
                "metric": metric,
                "greater_is_better": greater,
                "score": best,
                "low": best - 0.01 * abs(best),
                "high": best + 0.01 * abs(best),
                "trials": 40 + number,
                "test": {metric: [best - 0.004, best - 0.02, best + 0.012]} if number != 2 else {},
                "curve": curve,
            }
        )
    return runs


def _scan(
    tell: Any,
    draw: random.Random,
    now: float,
    partitions: int,
    workers: int,
    columns: Sequence[str],
    kinds: dict[str, str],
    names: Sequence[str],
) -> float:
    tell(now, "begun", stage="scan", total=partitions)
    described = [{"name": name, "kind": kinds[name]} for name in columns]
    tell(now, "table", partitions=partitions, bytes=partitions * 30_000_000, columns=described, n_columns=len(columns))
    free = [(now, place) for place in range(workers)]
    heapq.heapify(free)
    ends = []
    for place in range(partitions):
        at, worker = heapq.heappop(free)
        seconds = draw.uniform(0.5, 1.5)
        tell(at, "partitions", places=[place], state="reading")
        late = place > 0.7 * partitions
        looks = {
            name: [5000, 150 + 400 * (name == "income" and late), *_moments(draw, name, kinds[name], late)]
            for name in columns
        }
        tell(
            at + seconds,
            "partitions",
            places=[place],
            state="done",
            rows=5000,
            rejects=3 if place % 11 == 4 else 0,
            bytes=30_000_000,
            seconds=seconds,
            worker=names[worker],
            columns=looks,
        )
        ends.append(at + seconds)
        heapq.heappush(free, (at + seconds, worker))
    for number, end in enumerate(sorted(ends), start=1):
        tell(
            end, "progress", stage="scan", done=number, total=partitions, rows=5000 * number, bytes=30_000_000 * number
        )
    end = max(ends)
    _workers(tell, draw, now, end, names)
    tell(end, "stage", stage="scan", seconds=end - now, cpu_seconds=(end - now) * workers, peak_memory_bytes=2**28)
    tell(end, "data", fingerprint="f" * 24, origin="o" * 24, rows=5000 * partitions)
    return end


def _moments(draw: random.Random, name: str, kind: str, late: bool) -> tuple[float | None, float | None]:
    if kind != "numeric":
        return None, None
    return draw.gauss(1.4 if name == "age" and late else 0.0, 0.02), 1.0


def _workers(tell: Any, draw: random.Random, begin: float, end: float, names: Sequence[str]) -> None:
    at = begin
    while at < end:
        told = [
            {
                "name": name,
                "status": "running",
                "threads": 1,
                "executing": 1,
                "memory": int(draw.uniform(0.8, 1.6) * 2**30),
                "memory_limit": 4 * 2**30,
                "cpu": draw.uniform(60, 100),
            }
            for name in names
        ]
        tell(at, "workers", workers=told, counts={"running": len(names)})
        at += max(2.0, (end - begin) / 200)


def _search(
    tell: Any,
    draw: random.Random,
    now: float,
    base: int,
    folds: int,
    names: Sequence[str],
    fit_seconds: float,
    metric: str,
    greater: bool,
    evil: str,
) -> float:
    brackets = {2: (base, [1, 3, 9]), 1: (base // 2, [3, 9]), 0: (max(1, base // 4), [9])}
    candidates, rungs = [], []
    for bracket, (number, steps) in brackets.items():
        candidates += [
            {
                "trial": f"{bracket}-{place}",
                "bracket": bracket,
                "params": {
                    "alpha": 10 ** draw.uniform(-6, -1),
                    "penalty": draw.choice(["l2", "l1", "elasticnet"]),
                    "l1_ratio": draw.uniform(0, 1),
                    f"class_weight{evil}": draw.choice([None, "balanced"]),
                },
            }
            for place in range(number)
        ]
        for step, resource in enumerate(steps):
            start = steps[step - 1] if step else 0
            rungs.append(
                {
                    "bracket": bracket,
                    "start": start,
                    "resource": resource,
                    "trials": max(1, number // 3**step),
                }
            )
    units = sum(rung["trials"] for rung in rungs) * folds
    tell(now, "begun", stage="search", total=None)
    tell(
        now,
        "candidates",
        candidates=candidates,
        metric=metric,
        greater_is_better=greater,
        n_folds=folds,
        validation_ratio=0.5,
    )
    tell(
        now,
        "plan",
        metric=metric,
        greater_is_better=greater,
        n_folds=folds,
        units=units,
        ends={"wall_seconds": 3600.0, "cpu_hours": None, "trials": None},
        rungs=rungs,
    )
    tell(now, "begun", stage="search", total=units)
    free = [(now, place) for place in range(len(names))]
    heapq.heapify(free)
    quality = {each["trial"]: _quality(draw, each["params"], greater) for each in candidates}
    done, cpu, last, best = 0, 0.0, now, None
    bad = {candidates[place]["trial"] for place in range(5, len(candidates), 23)}
    told_best = now
    begin = now
    for bracket, (_, steps) in brackets.items():
        living = [each["trial"] for each in candidates if each["bracket"] == bracket]
        ready = min(free)[0]
        for step, resource in enumerate(steps):
            if step:
                kept = max(1, len(living) // 3)
                living = sorted(
                    (trial for trial in living if trial not in bad), key=lambda trial: quality[trial], reverse=greater
                )[:kept]
            ends = []
            before = steps[step - 1] if step else 0
            for trial in living:
                for fold in range(folds):
                    at, worker = heapq.heappop(free)
                    at = max(at, ready)
                    seconds = fit_seconds * (resource - before) * draw.uniform(0.7, 1.4)
                    tell(at, "start", trial=trial, fold=fold, resource=resource)
                    end = at + seconds
                    record: Record = {
                        "trial": trial,
                        "fold": fold,
                        "resource": resource,
                        "seconds": seconds,
                        "cpu_seconds": seconds * 0.95,
                        "peak_memory_bytes": 2**28,
                        "worker": names[worker],
                        "began": at,
                        "lasted": seconds,
                    }
                    if trial in bad:
                        record |= {
                            "error": f"ValueError: Solver did not converge{evil}",
                            "log_text": f"Traceback (most recent call last):\n  ...\nValueError: not converged{evil}",
                        }
                    else:
                        score = quality[trial] * (1 - (0.25 if greater else -0.25) / (1 + resource)) + draw.gauss(
                            0, 0.004 * abs(quality[trial])
                        )
                        record |= {"metrics": {metric: score, "log_loss": 0.5 + 0.1 * draw.random()}, "details": {}}
                        ends_better = best is None or (score > best[1] if greater else score < best[1])
                        if ends_better and resource == steps[-1]:
                            best = (trial, score)
                    tell(end, "unit", **record)
                    done, cpu, last = done + 1, cpu + seconds * 0.95, max(last, end)
                    tell(end, "progress", stage="search", done=done, total=units, rows=0, bytes=0)
                    ends.append(end)
                    heapq.heappush(free, (end, worker))
                    if end - told_best > (max(5.0, units * fit_seconds / 400)):
                        told_best = end
                        left = (units - done) * fit_seconds * 2 / len(names)
                        tell(
                            end,
                            "forecast",
                            stage="search",
                            seconds=left,
                            low=0.7 * left,
                            high=1.5 * left,
                            cpu_hours=left * len(names) / 3600,
                            cpu_low=0.7 * left * len(names) / 3600,
                            cpu_high=1.5 * left * len(names) / 3600,
                            cpu_hours_spent=cpu / 3600,
                            level=0.8,
                        )
                        if best:
                            value = best[1]
                            tell(
                                end,
                                "best",
                                trial=best[0],
                                metric=metric,
                                score=value,
                                low=value - 0.012 * abs(value),
                                high=value + 0.012 * abs(value),
                                tied=3,
                            )
                        if done > 60:
                            shares = {"alpha": 0.55, "penalty": 0.2, "l1_ratio": 0.05, f"class_weight{evil}": 0.02}
                            tell(
                                end,
                                "importance",
                                trials=min(len(candidates), done // folds),
                                method="share of the scores' variance that one parameter alone explains (fANOVA)",
                                parameters=[
                                    {"name": name, "value": share, "low": share * 0.7, "high": min(1.0, share * 1.3)}
                                    for name, share in shares.items()
                                ],
                            )
            ready = max(ends) if ends else ready
    _workers(tell, draw, begin, last, names)
    tell(last, "stage", stage="search", seconds=last - begin, cpu_seconds=3.0, peak_memory_bytes=2**28)
    return last


def _quality(draw: random.Random, params: Record, greater: bool) -> float:
    """What a candidate will come to: an optimum of alpha, a little of the rest."""
    good = 0.80 - 0.02 * abs(math.log10(params["alpha"]) + 3.5) - 0.02 * (params["penalty"] == "l1")
    good += draw.gauss(0, 0.006)
    return good if greater else 100 * (1 - good)


def _evaluation(
    tell: Any, draw: random.Random, now: float, metric: str, columns: Sequence[str], greater: bool
) -> float:
    tell(now, "begun", stage="evaluation", total=32)
    total = 64_000
    middle = 0.79 if greater else 24.0
    for part in range(1, 33):
        tell(now + part * 0.25, "progress", stage="evaluation", done=part, total=32, rows=part * 2000, bytes=0)
        if part & (part - 1) == 0:
            half = 0.1 * middle / math.sqrt(part)
            value = middle + draw.gauss(0, half / 3)
            rate = [place / 50 for place in range(51)]
            tell(
                now + part * 0.25,
                "evaluated",
                rows=part * total // 32,
                total=total,
                metrics={
                    metric: [value, value - half, value + half],
                    "log_loss": [0.45, 0.45 - half / 3, 0.45 + half / 3],
                    "average_precision": [0.55, 0.55 - half, 0.55 + half],
                },
                details={
                    "roc": {"fpr": rate, "tpr": [x**0.35 for x in rate]},
                    "precision_recall": {"recall": rate, "precision": [1 - 0.6 * x**2 for x in rate]},
                },
                final=part == 32,
            )
    tell(now + 8, "stage", stage="evaluation", seconds=8.0, cpu_seconds=20.0, peak_memory_bytes=2**29)
    tell(now + 8, "begun", stage="explanation", total=None)
    for place, column in enumerate(columns):
        tell(now + 8 + 0.2 * place, "explained", what="importance", column=column, model="0" * 12)
    end = now + 8 + 0.2 * len(columns)
    tell(end, "stage", stage="explanation", seconds=end - now - 8, cpu_seconds=9.0, peak_memory_bytes=2**29)
    return end
