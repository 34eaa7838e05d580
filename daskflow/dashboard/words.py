"""Words of the live pages: durations, sizes and counts as people say them, and the run in one line; without bokeh."""

from __future__ import annotations

import math

from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_stages import Stage
from daskflow.dashboard.state_stream import StreamState

COUNTED = {
    "download": "file",
    "scan": "partition",
    "search": "fit",
    "evaluation": "block",
    "statistics": "part",
    "matrices": "part",
}
"""What a stage's progress counts."""

LONG = 160
"""Characters of somebody else's sentence that are shown in one line."""


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "fit"), plural(1200, "fit")
    ('1 fit', '1,200 fits')
    """
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def lasting(seconds: float) -> str:
    """Return a duration.

    Examples
    --------
    >>> lasting(0.42), lasting(75.2), lasting(7300), lasting(200_000)
    ('0.4 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def left(middle: float, low: float, high: float) -> str:
    """Return how long something will still last, with its band; empty when it is not known.

    Examples
    --------
    >>> left(130, 70, 250), left(31, 20, 44), left(9000, 7000, 20000), left(4, 2, 7)
    ('about 2 min left (1 to 4)', 'about 30 s left (20 to 45)', 'about 2.5 h left (1.9 to 5.6)', 'a few seconds left')
    >>> left(float("nan"), 1, 2)
    ''
    """
    if not math.isfinite(middle):
        return ""
    if middle < 7:
        return "a few seconds left"
    unit, seconds, step = ("s", 1, 5) if middle < 90 else ("min", 60, 1) if middle < 5400 else ("h", 3600, 0.1)
    digits = 1 if unit == "h" else 0

    def rounded(value: float) -> str:
        return f"{round(value / seconds / step) * step:.{digits}f}"

    band = f" ({rounded(low)} to {rounded(high)})" if math.isfinite(low) and math.isfinite(high) else ""
    return f"about {rounded(middle)} {unit} left{band}"


NOT_KNOWN = "time left not known yet"


def still(stage: Stage, now: float) -> str:
    """Return how long a stage will still last; empty when nothing is forecast.

    Examples
    --------
    >>> still(Stage("search", state="running", forecast={"at": 0.0, "seconds": 60, "low": 1, "high": 9000}), 1.0)
    'time left not known yet'
    """
    return NOT_KNOWN if stage.state == "running" and stage.is_vague else left(*stage.left(now))


def size(n_bytes: float) -> str:
    """Return a number of bytes with its unit.

    Examples
    --------
    >>> size(981_067), size(3 * 2**30), size(12)
    ('958 KiB', '3.0 GiB', '12 bytes')
    """
    value, unit = float(n_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if value < 10 and unit != "bytes" else f"{value:,.0f} {unit}"


def part_of(part: float, whole: float) -> str:
    """Return how many bytes of how many, in the unit of the whole.

    Examples
    --------
    >>> part_of(2**29, 2**32), part_of(0, 2**20)
    ('0.5 of 4.0 GiB', '0.0 of 1.0 MiB')
    """
    unit, factor = "KiB", 1024.0
    for larger in ("MiB", "GiB", "TiB"):
        if whole < 1024 * factor:
            break
        unit, factor = larger, factor * 1024
    return f"{part / factor:.1f} of {whole / factor:.1f} {unit}"


def score(value: float) -> str:
    """Return a metric's value with four decimals, so that values below each other can be compared.

    Examples
    --------
    >>> score(0.771), score(0.00123456), score(2203.218)
    ('0.7710', '0.001235', '2,203.2')
    """
    if 0.01 <= abs(value) < 100:
        return f"{value:.4f}"
    return f"{value:,.1f}" if 100 <= abs(value) < 1e15 else f"{value:.4g}"


def cpu_unit(seconds: float) -> tuple[int, str]:
    """Return the unit that so much processor time is told in: its seconds, and its name.

    Examples
    --------
    >>> cpu_unit(90), cpu_unit(1200), cpu_unit(360_000)
    ((1, 'CPU-s'), (60, 'CPU-min'), (3600, 'CPU-h'))
    """
    if seconds < 180:
        return 1, "CPU-s"
    return (60, "CPU-min") if seconds < 7200 else (3600, "CPU-h")


def bounds(low: float, high: float) -> str:
    """Return an interval; empty where an end is not known.

    Examples
    --------
    >>> bounds(0.71, 0.733), bounds(float("nan"), 1.0)
    ('0.7100 to 0.7330', '')
    """
    return f"{score(low)} to {score(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def shortened(text: str, length: int = LONG) -> str:
    """Return the first line of a text, cut when it is long.

    Examples
    --------
    >>> shortened("one\\ntwo"), shortened("abcdef", 4)
    ('one', 'abc…')
    """
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= length else f"{line[: length - 1]}…"


def counted(state: RunState, stage: Stage) -> str:
    """Return how far a stage is; empty when nothing is counted.

    Examples
    --------
    >>> counted(RunState(), Stage("scan", state="running", done=31, total=40))
    '31 of 40 partitions'
    """
    done, total = done_of(state, stage), total_of(state, stage)
    noun = COUNTED.get(stage.name, "part")
    if total:
        return f"{min(done, total) if stage.name != 'search' else done:,} of {plural(total, noun)}"
    return plural(done, noun) if done else ""


def done_of(state: RunState, stage: Stage) -> int:
    """Return how much of a stage is done; of runs that tell no progress, the fits that have ended."""
    return stage.done or (len(state.search.fits) if stage.name == "search" else 0)


def total_of(state: RunState, stage: Stage) -> int:
    """Return how much there is to do; 0 while not known."""
    return stage.total or (state.search.units if stage.name == "search" else 0)


def share_of(state: RunState, stage: Stage) -> float:
    """Return how much of a stage is done, 0 to 1; nan while it is not known. Only what has ended is whole."""
    if stage.state == "done":
        return 1.0
    total = total_of(state, stage)
    return min(0.99, done_of(state, stage) / total) if total else math.nan


def in_one_line(state: RunState, now: float) -> str:
    """Return how far a run is, in one line.

    Examples
    --------
    >>> in_one_line(RunState(), 0.0)
    'nothing has been told yet'
    """
    if state.status == "waiting":
        return "nothing has been told yet"
    if state.is_stream:
        return _streaming(state.stream)
    if state.status == "failed":
        return f"failed: {shortened(state.error) or 'no reason was told'}"
    if state.status == "interrupted":
        return "interrupted; the same command goes on where it was"
    if state.status == "done":
        return f"done in {lasting(state.seconds(now))}{_best(state)}"
    stage = state.stages.now_running()
    if stage is None:
        return between(state)
    far = [f"{stage.name}: {counted(state, stage)}" if counted(state, stage) else stage.name]
    if state.status == "paused":
        return f"paused by hand; {far[0]}"
    if state.status == "stopping":
        by = "by max_core_hours" if state.jobs.accounts.stopped_because else "by hand"
        return f"stopped {by}, the best so far is kept; {far[0]}"
    far += [text for text in (still(stage, now),) if text]
    return ", ".join(far)


def queued(state: RunState) -> int:
    """Return how many of a run's jobs wait in a batch queue; 0 on none.

    Examples
    --------
    >>> state = RunState(status="running")
    >>> state.hear([{"record": "jobs", "counts": {"pending": 3}, "at": 0.0}])
    >>> queued(state), is_in_queue(state), between(state)
    (3, True, 'waiting in the queue')
    """
    return 0 if state.is_over else int(state.jobs.counts.get("pending") or 0)


def is_in_queue(state: RunState) -> bool:
    """Return whether a run has no worker because all of their jobs wait in a batch queue."""
    counts = state.workers.get("counts") or {}
    has_workers = any(count for word, count in counts.items() if word != "gone")
    return queued(state) > 0 and not state.jobs.counts.get("running") and not has_workers


def between(state: RunState) -> str:
    """Return what a run does while no stage goes on.

    Examples
    --------
    >>> between(RunState()), between(RunState(cluster={"slots": 4}))
    ('opening the cluster', 'about to begin')
    """
    if is_in_queue(state):
        return "waiting in the queue"
    if not state.cluster:
        return "opening the cluster"
    has_begun = any(each.state == "done" for each in state.stages.known.values())
    return "between two stages" if has_begun else "about to begin"


def _streaming(stream: StreamState) -> str:
    """How a stream is that is looked at alone."""
    counts = f"{stream.requests:,} {stream.unit} in all"
    if stream.is_running:
        return f"{stream.per_second()['requests']:,.0f} {stream.unit} per second, {counts}"
    words = {"done": "has ended", "interrupted": "its process is gone without a word"}
    return f"{words.get(stream.status, stream.status)}, {counts}"


def _best(state: RunState) -> str:
    best = state.search.best
    if best is None or math.isnan(best.score):
        return ""
    return f", best {state.search.metric} {score(best.score)}"
