"""A run as a picture of text: the same state as the pages, for a terminal of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from rich.text import Text

from daskflow.cli.verb import between, duration, number
from daskflow.cli.watching_words import Ink, bar, clean, counted, cut, fitted, share, shortened, size, wrapped
from daskflow.cli.watching_words import left as time_left
from daskflow.core.estimates import about, amount, is_vague
from daskflow.core.space import told
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_stages import Stage
from daskflow.dashboard.state_stream import StreamState
from daskflow.dashboard.words import NOT_KNOWN

WIDE = 68
"""Columns from which on workers have bars, and one line holds what a stage is about."""

COUNTED = {"scan": "partitions", "search": "fits", "scoring": "partitions"}
"""What a stage counts, where there is a word for it."""

MARKS = {"done": "+", "running": ">", "failed": "!", "waiting": " "}
"""Marks of stages; told apart without colour."""

STYLES = {
    "done": "green",
    "running": "bold cyan",
    "failed": "bold red",
    "interrupted": "yellow",
    "paused": "bold yellow",
    "stopping": "bold yellow",
    "waiting": "dim",
}


@dataclass(frozen=True, slots=True)
class Section:
    """Some lines of a picture.

    Attributes
    ----------
    least : int
        How many lines it is worth at least, before others get more than that.
    rank : int
        The lower, the sooner it gets more, and the later it is left out.
    lines : callable
        Of a number to so many lines at most.
    """

    least: int
    rank: int
    lines: Callable[[int], list[Text]]


def picture(
    state: RunState, now: float, *, width: int, height: int, is_running: bool = True, ink: Ink | None = None
) -> list[Text]:
    """Return a run's state as lines, none wider than `width` cells and no more than `height` of them.

    Parameters
    ----------
    state : RunState
        What is known of the run.
    now : float
        Seconds since 1970; of a replay its own clock.
    width, height : int
        Of the terminal.
    is_running : bool
        Whether a process works on the run; of one that ended without saying so, it is said.
    ink : Ink
        What bars are drawn with; default for terminals that know UTF-8.
    """
    ink = ink or Ink()
    sections = [
        Section(1, 0, lambda most: _head(state, now, width, is_running)[:most]),
        Section(4, 2, lambda most: _stages(state, now, most, width, ink)),
        Section(1, 1, lambda most: cut(_best(state, width), most)),
        Section(1, 3, lambda most: _test(state)[:most]),
        Section(1, 4, lambda most: cut(_stream(state, width), most)),
        Section(1, 5, lambda most: cut(_search(state, width), most)),
        Section(1, 8, lambda most: _rungs(state, most, width)),
        Section(1, 6, lambda most: cut(_cost(state, now, width), most)),
        Section(1, 7, lambda most: _workers(state, most, width, ink)),
        Section(1, 9, lambda most: _notes(state, most)),
    ]
    lines = [line for part in dealt(sections, height) for line in part]
    return [fitted(line, width, ink.more) for line in lines]


def dealt(sections: Sequence[Section], height: int) -> list[list[Text]]:
    """Return each section's lines so that all together are `height` at most.

    First each gets the lines it is worth at least, those of low rank first; what is left goes to the same order.
    """
    wanted = [len(section.lines(height)) for section in sections]
    given = [0] * len(sections)
    free = height
    order = sorted(range(len(sections)), key=lambda place: sections[place].rank)
    for most in ([section.least for section in sections], wanted):
        for place in order:
            more = max(0, min(wanted[place], most[place]) - given[place])
            given[place] += min(more, free)
            free -= min(more, free)
    return [section.lines(lines) if lines else [] for section, lines in zip(sections, given, strict=True)]


def status_of(state: RunState, is_running: bool) -> str:
    """Return a run's status; one that no process works on any more was interrupted, whatever it said last."""
    return state.status if is_running or state.is_over else "interrupted"


def _head(state: RunState, now: float, width: int, is_running: bool) -> list[Text]:
    """Name, status and time; below it what it cost, where it runs, and why it failed."""
    status = status_of(state, is_running)
    name = clean(f"{state.name}/{state.id}" if state.name else state.id) or "run"
    line = Text.assemble((name, "bold"), "  ", (status, STYLES.get(status, "")))
    if math.isnan(state.started):
        return [line, Text("Nothing has been heard of the run yet.", "dim")]
    line.append(f"  {duration(state.seconds(now if is_running else state.last))}")
    lines = [line]
    if status == "interrupted" and state.status != "interrupted":
        lines.append(Text("Its process is gone; the command that began it continues it.", "yellow"))
    if status == "paused":
        lines.append(Text("New fits are held back until it is told to go on.", "yellow"))
    if state.error:
        lines += wrapped("", clean(state.error).split(" "), width, parted=" ", style="red")
    if state.cluster and not state.is_over:
        lines.append(Text(clean(str(state.cluster.get("description", ""))), "dim"))
    return lines


def _stages(state: RunState, now: float, most: int, width: int, ink: Ink) -> list[Text]:
    """A line per stage that has begun, what the one that runs is about, and those to come; the newest where few fit."""
    known = list(state.stages.known.values())
    begun = [line for stage in known if stage.state != "waiting" for line in _stage(stage, now, width, ink)]
    waiting = [clean(stage.name) for stage in known if stage.state == "waiting"]
    has_more = not (state.is_over or state.is_stream)
    to_come = cut(wrapped("  then ", waiting, width, style="dim"), 2 if most > 6 else 1) if has_more else []
    if len(begun) + len(to_come) > most:
        to_come = to_come if most > 3 else []
        begun = begun[-(most - len(to_come)) :] if most > len(to_come) else []
    return [*begun, *to_come]


def _stage(stage: Stage, now: float, width: int, ink: Ink) -> list[Text]:
    style = STYLES.get(stage.state, "")
    line = Text.assemble((f"{MARKS.get(stage.state, ' ')} {clean(stage.name):<11.11} ", style))
    words = _stage_words(stage, now)
    if stage.state != "running":
        line.append(f"{duration(stage.elapsed(now)):>10}")
        said = "failed" if stage.state == "failed" else ", ".join(words)
        line.append(f"  {said}" if said else "", style if stage.state == "failed" else "dim")
        return [line]
    line.append(f"{duration(stage.elapsed(now)):>10}  ")
    if stage.total:
        line.append_text(bar(stage.share, max(8, min(40, width - 32)), ink, "cyan"))
        line.append(f" {share(stage.share):>4}", "bold")
    return [line, *cut(wrapped(" " * (14 if width >= WIDE else 2), words, width, style="cyan"), 2)]


def _stage_words(stage: Stage, now: float) -> list[str]:
    """What a stage does or did: time left first, for it is what is looked for."""
    unit = COUNTED.get(stage.name, "")
    if stage.state != "running":
        rows = [f"{stage.rows:,} rows"] if stage.rows else []
        return ([f"{stage.done:,} {unit}"] if stage.done and unit else []) + rows
    words = [NOT_KNOWN if stage.is_vague else time_left(stage.left(now))]
    if stage.total:
        words.append(f"{stage.done:,} of {stage.total:,} {unit}".rstrip())
    elif stage.done:
        words.append(f"{stage.done:,} {unit}".rstrip())
    _, rows_per_second, bytes_per_second = stage.pace(now)
    words += [f"{counted(rows_per_second)} rows/s"] if rows_per_second else []
    words += [f"{size(bytes_per_second)}/s"] if bytes_per_second else []
    return [word for word in words if word]


def _best(state: RunState, width: int) -> list[Text]:
    """The best trial so far with its interval, and its parameters."""
    search, best = state.search, state.search.best
    if best is None or math.isnan(best.score):
        is_due = search.trials and not state.is_over
        return [Text("best    no score yet", "dim")] if is_due else []
    score = f"{clean(search.metric)} {number(best.score)}{between(*search.interval())[1:]}"
    words = [score, f"trial {clean(best.id)}"]
    tied = search.best_said.get("tied") if search.best_said.get("trial") == best.id else None
    words += [f"{tied} more cannot be told apart"] if tied else []
    lines = wrapped("best    ", words, width)
    lines[0].stylize("bold", 8, 8 + len(score.partition(" [")[0]))
    params = [clean(f"{name}={_value(value)}") for name, value in told(best.params).items()]
    return [*lines, *cut(wrapped(" " * 8, params, width, style="dim"), 2)]


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _test(state: RunState) -> list[Text]:
    """Metrics on the test rows, as far as they are judged."""
    found = state.evaluation
    lines = []
    for place, (name, value) in enumerate(found.metrics.items()):
        head = "test    " if place == 0 else "        "
        line = Text.assemble(head, (f"{clean(name)} {number(value[0])}", "bold"), between(value[1], value[2]))
        if place == 0 and not found.is_final:
            line.append(f"  after {found.rows:,} of {found.total:,} rows", "dim")
        lines.append(line)
    return lines


def _stream(state: RunState, width: int) -> list[Text]:
    """What a model that answers a stream did last; of others that go on, that they do."""
    lines = [line for stream in _shown_streams(state) for line in _one_stream(stream, width)]
    left = len(state.streams) - len(_shown_streams(state))
    return [*lines, *([Text(f"        {left} more streams; `daskflow status` lists them", "dim")] if left else [])]


def _shown_streams(state: RunState) -> list[StreamState]:
    """Those that go on; else the newest."""
    running = [stream for stream in state.streams.values() if stream.is_running]
    return running[:4] if running else [state.stream] if state.streams else []


def _one_stream(stream: StreamState, width: int) -> list[Text]:
    """Rates, latency, queue and lag by its last word; below it errors, drift, score and what happened last."""
    last = stream.seen[-1][1] if stream.seen else {}
    name = [clean(stream.id)] if stream.id else []
    words = [*name, *([stream.status] if stream.status not in ("", "running") else [])]
    paces = {stream.unit: "requests", "rows": "rows"}
    words += [f"{number(stream.per_second()[word])} {unit}/s" for unit, word in paces.items()]
    words += [f"{word} {number(1000 * given)} ms" for word, given in stream.latency().items() if given is not None]
    words += [f"queue {last.get('queue', 0):,} of {last.get('queue_limit', 0):,}"] if last.get("queue_limit") else []
    words += [f"{stream.lag:,} wait at the source"] if stream.lag is not None else []
    lines = wrapped("stream  ", words, width)
    more = [f"{stream.requests:,} {stream.unit}, {stream.rows:,} rows in all"]
    more += [f"{count:,} {clean(reason)}" for reason, count in stream.errors.most_common(3)]
    moved = [name for name, pair in stream.drift.items() if None not in pair and pair[0] > pair[1]]
    more += [f"{len(moved)} of {len(stream.drift)} columns drift: {clean(', '.join(moved[:3]))}"] if moved else []
    score = stream.score
    if isinstance(score.get("value"), int | float):
        interval = between(score.get("low"), score.get("high"))
        more.append(f"{clean(str(score.get('metric', 'score')))} {number(score['value'])}{interval}")
    more += [f"{stream.swaps} swaps"] * bool(stream.swaps) + [f"{stream.alarms} alarms"] * bool(stream.alarms)
    return [*lines, *cut(wrapped(" " * 8, more, width, style="dim"), 2)]


def _cost(state: RunState, now: float, width: int) -> list[Text]:
    """Processor time spent, and what the search still takes by its forecast."""
    if state.cpu_seconds < 0.05:
        return []
    words = [amount(state.cpu_seconds, of="CPU-") + " spent"]
    stage = state.stages.known.get("search")
    said = stage.forecast if stage is not None and stage.state == "running" else {}
    band = [3600 * float(said.get(word) or math.nan) for word in ("cpu_hours", "cpu_low", "cpu_high")]
    words += [] if any(map(math.isnan, band)) or is_vague(*band[1:]) else [about(*band, of="CPU-", then=" to come")]
    return wrapped("cost    ", words, width)


def _search(state: RunState, width: int) -> list[Text]:
    """How many trials there are and how they are."""
    search = state.search
    if not search.trials:
        return []
    states = [trial.state for trial in search.trials.values()]
    running, cancelled = states.count("running"), states.count("cancelled")
    scored = sum(not math.isnan(trial.score) for trial in search.trials.values())
    words = [f"{scored:,} of {len(states):,} have a score"]
    words += [f"{running:,} handed in"] if running and not state.is_over else []
    words += [f"{search.failed - cancelled:,} failed"] if search.failed > cancelled else []
    words += [f"{cancelled:,} cancelled"] if cancelled else []
    lines = wrapped("trials  ", words, width)
    for line in lines:
        line.highlight_regex(r"[\d,]+ failed", "red")
    return lines


def _rungs(state: RunState, most: int, width: int) -> list[Text]:
    """A line per bracket: of each rung how many trials came to it, of how many that shall."""
    search = state.search
    if not search.plan:
        return []
    came: dict[tuple[int | None, int], int] = {}
    for trial in search.trials.values():
        steps = {resource for resource, _ in trial.curve}
        if trial.state in ("failed", "cancelled") and trial.folds:
            steps.add(max(trial.folds)[0])
        for resource in steps:
            came[trial.bracket, resource] = came.get((trial.bracket, resource), 0) + 1
    lines: list[Text] = []
    for bracket in dict.fromkeys(step.bracket for step in search.plan):
        line = Text("        " if lines else "rungs   ")
        line.append(f"bracket {bracket}  " if bracket is not None else "")
        for step in (step for step in search.plan if step.bracket == bracket):
            done = came.get((bracket, step.resource), 0)
            style = "green" if done >= step.trials else "cyan" if done else "dim"
            line.append(f"{step.resource}:", "dim").append(f"{done:,}/{step.trials:,}  ", style)
        lines.append(line)
    return shortened(lines, most, "bracket", width)


def _workers(state: RunState, most: int, width: int, ink: Ink) -> list[Text]:
    """How many workers are in which state; those that are not well first."""
    told_of = [worker for worker in state.workers.get("workers") or () if isinstance(worker, dict)]
    counts = {str(name): int(count) for name, count in (state.workers.get("counts") or {}).items() if count}
    if state.is_over or not (told_of or counts):
        return []
    used, limit = (sum(int(worker.get(word) or 0) for worker in told_of) for word in ("memory", "memory_limit"))
    words = [f"{count:,} {clean(name)}" for name, count in counts.items()] or [f"{len(told_of):,}"]
    words += [f"memory {size(used)}" + (f" of {size(limit)}" if limit else "")] if used else []
    head = cut(wrapped("workers ", words, width, style="yellow" if set(counts) - {"running"} else ""), most)
    told_of.sort(key=lambda worker: worker.get("status") == "running")
    rows = [_worker(worker, width >= WIDE, ink) for worker in told_of]
    return [*head, *shortened(rows, most - len(head), "worker", width)][:most]


def _worker(worker: Mapping[str, Any], is_wide: bool, ink: Ink) -> Text:
    limit, used, cpu = (float(worker.get(word) or 0.0) for word in ("memory_limit", "memory", "cpu"))
    status = str(worker.get("status") or "")
    line = Text(f"        {clean(str(worker.get('name', '')))[-14:]:<14} ")  # names differ at their ends
    if is_wide and limit:
        line.append_text(bar(used / limit, 10, ink, "red" if used > 0.8 * limit else "green"))
        line.append(" ")
    line.append(f"{size(used)}" + (f" of {size(limit)}" if limit and is_wide else ""))
    line.append(f"  {cpu:.0f} %")
    return line if status in ("running", "") else line.append(f"  {clean(status)}", "yellow")


def _notes(state: RunState, most: int) -> list[Text]:
    """What was said last, the newest at the bottom; what was said twice in a row is said once."""
    notes = [b for a, b in pairwise([None, *state.notes[-4 * most :]]) if b and (a is None or a.text != b.text)]
    lines = []
    for note in notes[-most:] if most else ():
        style = {"warning": "yellow", "failure": "red", "control": "bold"}.get(note.kind, "dim")
        lines.append(Text.assemble((f"{datetime.fromtimestamp(note.at):%H:%M:%S} ", "dim"), (clean(note.text), style)))
    return lines
