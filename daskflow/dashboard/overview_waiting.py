"""What a run waits for, in sentences."""

from __future__ import annotations

from daskflow.dashboard import words
from daskflow.dashboard.state import RunState

DOES = {
    "layout": "It is measured how the table's files are laid out",
    "scan": "The table is read",
    "split": "Rows are dealt out to training, validation and test",
    "statistics": "Columns are counted and measured",
    "matrices": "Training rows are written as matrices",
    "search": "Candidates are fitted",
    "refit": "The best candidate is fitted on all rows but the test's",
    "evaluation": "The test rows are judged",
    "explanation": "It is measured what the model goes by",
    "model": "The model and the report are written",
}
"""Of each stage."""

OVER = {
    "done": "Nothing: the run is complete.",
    "failed": "Nothing: the run failed. What has been done is kept, and the same command goes on from there.",
    "interrupted": "Nothing goes on: the run was interrupted. The same command goes on where it was.",
    "waiting": "",
}


def awaited(state: RunState, now: float) -> list[str]:
    """Return what is being waited for, the most important first; empty before anything is known."""
    if state.is_over:
        said = [OVER[state.status]] if OVER[state.status] else []
        return [*said, *([f"Why: {words.shortened(state.error, 300)}"] if state.error else [])]
    stage = state.stages.now_running()
    found = _troubles(state)
    if state.status == "paused":
        running = min(len(state.search.running), _slots(state) or len(state.search.running))
        rest = f"; {words.plural(running, 'fit')} that had begun may still end" if running else ""
        return [f"Somebody: the search was paused by hand and holds back new fits{rest}.", *found]
    if words.is_in_queue(state):
        return found
    if stage is None:
        if not state.cluster:
            return ["The cluster: it is being opened.", *found]
        return ["The next stage: it begins in a moment.", *found]
    if stage.name == "search" and (state.search.running or state.search.fits):
        if state.status == "stopping":
            by = "by max_core_hours" if state.jobs.accounts.stopped_because else "by hand"
            text = f"The search was stopped {by}: fits that run come to their end, then the best is refitted."
            found.insert(0, text)
        return [*_fits(state, now), *found]
    counted = words.counted(state, stage)
    elapsed = words.lasting(stage.elapsed(now))
    return [f"{DOES.get(stage.name, stage.name)}: {f'{counted}, ' if counted else ''}for {elapsed} now.", *found]


def _fits(state: RunState, now: float) -> list[str]:
    """Return what the cluster works on, and the oldest of it."""
    search = state.search
    if not search.running:
        return ["The search thinks: no fit runs at the moment, the next ones are being chosen."]
    slots = _slots(state)
    oldest = sorted(search.running.items(), key=lambda item: item[1])
    n_running = min(len(oldest), slots) if slots else len(oldest)
    (trial, fold, resource), since = oldest[0]
    workers = _well(state)
    where = f" on {words.plural(workers, 'worker')}" if workers else ""
    fold_text = f", fold {fold}" if search.n_folds > 1 else ""
    has_rungs = len({step.resource for step in search.plan}) > 1 or not search.plan
    how_far = f", to resource {resource}" if has_rungs else ""
    verb = "runs" if n_running == 1 else "run"
    age = words.lasting(max(0.0, now - since))
    which = "it has run" if n_running == 1 else "the oldest"
    who = f"{words.plural(n_running, 'fit')} {verb}{where}"
    said = [f"{who}, {which} for {age}: trial {trial}{fold_text}{how_far}."]
    more = len(oldest) - n_running
    if more > 0:
        said.append(f"{words.plural(more, 'more fit')} {'waits' if more == 1 else 'wait'} for a free slot.")
    return said


def _troubles(state: RunState) -> list[str]:
    """Return what holds the run up that is no work."""
    counts = {str(word): int(count) for word, count in (state.workers.get("counts") or {}).items()}
    said = _queue(state)
    if counts and not counts.get("running") and not words.is_in_queue(state):
        said.append("No worker is well: work waits for one.")
    if state.workers and not counts and not state.workers.get("workers") and not words.is_in_queue(state):
        said.append("No worker: work waits for one.")
    said += [
        f"{words.plural(counts[word], 'worker')} {text}"
        for word, text in (
            ("silent", "did not answer lately; what it works on may be done again elsewhere."),
            ("paused", "holds back new work because its memory is nearly full."),
        )
        if counts.get(word)
    ]
    return said


def _queue(state: RunState) -> list[str]:
    """Return what waits in a batch queue, and why; nothing on none."""
    n_jobs = words.queued(state)
    if not n_jobs:
        return []
    told = next((str(each.get("reason") or "") for each in state.jobs.told if each.get("state") == "pending"), "")
    why = f" ({words.shortened(told, 120)})" if told else ""
    verb = "waits" if n_jobs == 1 else "wait"
    if words.is_in_queue(state):
        return [f"The queue: no worker runs, {words.plural(n_jobs, 'job')} {verb} in it{why}."]
    return [f"{words.plural(n_jobs, 'more job')} {verb} in the queue{why}."]


def _slots(state: RunState) -> int:
    return int(state.cluster.get("slots") or 0)


def _well(state: RunState) -> int:
    counts = state.workers.get("counts") or {}
    found = counts.get("running")
    return int(found) if found else 0 if counts else _slots(state)
