"""Worker processes on this machine: the default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Literal

from dask.system import CPU_COUNT
from dask.utils import format_bytes, parse_bytes
from distributed.system import MEMORY_LIMIT
from pydantic import Field, field_validator

from daskflow.clusters import Cluster
from daskflow.clusters.loopback import dashboard_of, in_processes
from daskflow.core.protocols import Connection
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.seats import MEMORY_SHARE


class Local(Cluster):
    """Worker processes on this machine, on the loopback address only.

    A worker that dies is started again and its units go to the others; all of them end with this process.

    Attributes
    ----------
    workers : int
        Processes; default: the processors this process may use.
    cores : int
        Threads per worker, each running one unit at a time.
    layout : {"processes", "threads", "auto"}
        Whether workers are processes, or threads of one process, which starts sooner and holds the libraries once, and
        is as quick where decoding releases the interpreter's lock. ``"auto"`` measures both on the first partitions of
        the table, and the run says what was found. Fits run in processes of their own beside the workers either way.
    memory : str
        Limit per worker such as ``"4 GiB"``: at 60 % a worker writes to disk, at 95 % it is ended. ``"auto"`` is an
        equal share of this machine's (or container's) memory, at most; ``"none"`` (in Python also None) is no limit.
    """

    is_one_machine: ClassVar[bool] = True

    kind: Literal["local"] = "local"
    workers: int = Field(default=CPU_COUNT, ge=1)
    cores: int = Field(default=1, ge=1)
    layout: Literal["processes", "threads", "auto"] = "processes"
    memory: str = "auto"

    @field_validator("memory", mode="before")
    @classmethod
    def _memory_is_a_size(cls, value: Any) -> Any:
        """Take sizes in words or in bytes."""
        if value is None:
            return "none"
        text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        if text in ("auto", "none"):
            return text
        try:
            size = parse_bytes(text) if text else 0
        except ValueError:
            size = 0
        if size < 2**20:
            raise ValueError("should be a size of at least 1 MiB such as '4 GiB', or 'auto', or 'none'")
        return text

    @property
    def memory_bytes(self) -> int:
        """Limit per worker; 0 for none."""
        if self.memory == "none":
            return 0
        share = MEMORY_LIMIT // self.workers
        return int(share) if self.memory == "auto" else int(parse_bytes(self.memory))

    @property
    def threads(self) -> int:
        """Units at once."""
        return self.workers * self.cores

    def laid_out(self, layout: Literal["processes", "threads"]) -> Local:
        """Return the same cluster in another layout: as many units at once, and as much memory in all."""
        return self.model_copy(update={"layout": layout})

    @property
    def fit_bytes(self) -> int:
        """An equal share of the limit for each core; without a limit, of this machine's memory."""
        return int(MEMORY_SHARE * (self.memory_bytes or MEMORY_LIMIT // self.workers) / self.cores)

    def open(self) -> AbstractContextManager[Connection]:
        """Start the processes and wait for all of them; ClusterError when they do not come."""
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        workers, cores, memory_bytes = self.workers, self.cores, self.memory_bytes
        if self.layout == "threads":
            workers, cores, memory_bytes = 1, self.threads, memory_bytes * workers
        with in_processes(workers=workers, cores=cores, memory_bytes=memory_bytes) as client:
            yield Connection(
                ClientExecutor(client), client, dashboard_of(client.cluster), self._describe(), client.cluster.token
            )

    def _describe(self) -> str:
        """Such as ``local: 2 workers x 1 core, 4.00 GiB each``."""
        if self.layout == "threads":
            memory = f"{format_bytes(self.memory_bytes * self.workers)}" if self.memory_bytes else "memory not limited"
            return f"local: one process of {self.threads} threads, {memory}"
        memory = f"{format_bytes(self.memory_bytes)} each" if self.memory_bytes else "memory not limited"
        workers, cores = "workers" if self.workers > 1 else "worker", "cores" if self.cores > 1 else "core"
        return f"local: {self.workers} {workers} x {self.cores} {cores}, {memory}"
