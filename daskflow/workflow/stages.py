"""Stages: what each of them took is recorded, and what a user should know is told and recorded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daskflow.core import interruption
from daskflow.core.control import Control
from daskflow.core.events import Event, Listener, tell
from daskflow.core.folder import RunFolder
from daskflow.core.overlap import merged
from daskflow.core.protocols import Connection
from daskflow.core.warned import gathered
from daskflow.data.execution import peak_memory_bytes
from daskflow.workflow.recording import Meter, Recorder
from daskflow.workflow.side_by_side import RUNS
from daskflow.workflow.workflow import Workflow

MOVE_DATA = frozenset({"scan", "statistics", "matrices"})
"""Stages whose units wait for bytes when they are blocked: from the source or a disk, or to it."""

BESIDE_UNITS = frozenset({"refit"})
"""Stages that can give workers work without units, as boosting over all of them does; that has no account."""


@dataclass
class Stages:
    """One invocation of a run: where it runs, and who hears of it.

    Attributes
    ----------
    workflow : Workflow
        What is done.
    folder : RunFolder
        The run's own.
    runs : Path
        The folder of runs.
    recorder : Recorder
        The journal.
    connection : Connection
        The open cluster.
    listener : callable
        Hears of stages and warnings.
    control : Control
        What people ask of the run while it goes on.
    early : callable
        Gives, once each, the fields of the events ``span`` of files that came before the scan asked for them.
    executor : Meter
        The cluster's executor, which counts what units cost.
    """

    workflow: Workflow
    folder: RunFolder
    runs: Path
    recorder: Recorder
    connection: Connection
    listener: Listener
    control: Control = field(default_factory=Control)
    early: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    executor: Meter = field(init=False)

    def __post_init__(self) -> None:
        """Count what units cost."""
        asked = int(getattr(self.workflow.cluster, "threads", 0))
        self.executor = Meter(self.connection.executor, self.warn, asked)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Tell and record a stage; what the body puts into the mapping is recorded with it."""
        interruption.check()
        tell(self.listener, "stage", stage=name, state="started")
        wall, cpu, units = time.perf_counter(), time.process_time(), self.executor.cpu_seconds
        own = time.thread_time()
        answers, reads = self.executor.n_answers, self.executor.reads
        self.executor.reads = name in MOVE_DATA
        self.executor.occupancy.open(wall)
        found: dict[str, Any] = {"failed": True}
        try:
            yield found
            del found["failed"]
        finally:
            here, now = time.process_time() - cpu, time.perf_counter()
            is_shared = RUNS.were_several_since(wall)
            if is_shared:  # the process's time is that of all runs in it
                here = time.thread_time() - own
            self.executor.reads = reads
            account = self.executor.occupancy.close(wall, now).awaiting(found.pop("awaited", 0.0))
            if name not in BESIDE_UNITS or self.executor.n_answers > answers:
                found["utilisation"] = account.dump()
            record = {
                "record": "stage",
                "stage": name,
                "seconds": now - wall,
                "cpu_seconds": here + self.cost_elsewhere(name, self.executor.cpu_seconds - units, is_shared=is_shared),
                "peak_memory_bytes": max(peak_memory_bytes(), self.executor.peak_memory_bytes),
                **found,
            }
            self.recorder.append(record)
        tell(self.listener, "stage", stage=name, state="finished", seconds=record["seconds"])

    @contextmanager
    def downloading(self, found: dict[str, Any]) -> Iterator[Listener]:
        """Yield a listener for a stage whose files come beside it; their coming is recorded as a stage of its own.

        Slots that had nothing to do because files were on their way waited for data; ``awaited`` says how long.
        """
        spans: dict[str, tuple[float, float]] = {}
        counts = Counter[str]()
        ended: dict[str, Any] = {}

        def count(fields: Mapping[str, Any]) -> None:
            if fields["part"] not in spans:
                spans[fields["part"]] = fields["began"], fields["began"] + fields["seconds"]
                counts.update(files=1, bytes=fields["bytes"])

        def count_early() -> None:
            for fields in self.early():
                if fields["part"] not in spans:
                    count(fields)
                    tell(self.listener, "span", **fields)

        count_early()

        def hear(event: Event) -> None:
            fields = event.fields
            if event.name == "span":
                count(fields)
            elif event.name == "stage" and fields["stage"] == "download" and fields["state"] == "finished":
                ended.update(fields)
            self.listener(event)

        try:
            yield hear
        finally:
            found["awaited"] = ended.get("idle_slot_seconds", 0.0)
            count_early()  # those that came while the scan began, too
            if spans:
                seconds = sum(end - begin for begin, end in merged(spans.values()))
                cost = {"seconds": seconds, "cpu_seconds": 0.0, "peak_memory_bytes": 0}  # this process's: the scan's
                self.recorder.append({"record": "stage", "stage": "download", **cost, **counts})

    @property
    def is_waiting(self) -> bool:
        """Whether this process has nothing to do while units run: they run in others."""
        client = self.connection.client
        return client is not None and not client.scheduler.address.startswith("inproc")

    def cost_elsewhere(self, stage: str, units: float, *, is_shared: bool) -> float:
        """What a stage's units add to this process's own time; those of the search record theirs themselves.

        Where the process is shared with other runs that time is this thread's alone.
        """
        client = self.connection.client
        is_here = client is None or (client.scheduler.address.startswith("inproc") and not is_shared)
        if stage == "search":
            return -units if is_here else 0.0
        return 0.0 if is_here else units

    def turn_down(self) -> None:
        """Say of what was asked too late that nothing can be done about it."""
        for command in self.control.take():
            text = f"The search is over: {command.word} comes too late."
            self.recorder.append({"record": "refused", **command.dump(), "text": text}, durable=False)
            tell(self.listener, "note", text=text)

    def warn(self, text: str) -> None:
        """Tell and record a warning."""
        self.recorder.append({"record": "warning", "text": text}, durable=False)
        tell(self.listener, "warning", text=text)

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Tell and record Python's warnings for users as the run's own."""
        with gathered(UserWarning) as said:
            yield
        for warning in said:
            self.warn(str(warning.message))
