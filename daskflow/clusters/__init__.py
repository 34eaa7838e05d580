"""Clusters: where the work runs; each opens safely (loopback, or TLS) and closes what it started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from daskflow.core.events import Listener, nobody
from daskflow.core.protocols import Connection
from daskflow.core.registry import Registry
from daskflow.core.settings import Settings


class Cluster(Settings):
    """Where the work runs."""

    is_one_machine: ClassVar[bool] = False
    """Whether all workers are on this machine, and see what is in its memory."""

    kind: str

    @classmethod
    def own_name(cls, word: str) -> str:
        """Return the name of the option that a word means; the word itself where there is no other."""
        return word

    @classmethod
    def knows(cls, word: str) -> bool:
        """Whether a word of a workflow's table is an option of this kind."""
        return cls.own_name(word) in cls.model_fields

    @classmethod
    def takes_over(cls, word: str) -> bool:
        """Whether a word that was said of another kind means the same here."""
        return cls.knows(word)

    @property
    def threads(self) -> int:
        """Units at once, where that is known before the cluster is open; 1 elsewhere."""
        return 1

    @property
    def fit_bytes(self) -> int:
        """Memory that one fit can have; 0 where that is not known before the cluster is open."""
        return 0

    def within(self, folder: Path, run: str, listener: Listener = nobody) -> Self:
        """Return this cluster for a run: one that takes long to come keeps what it needs there, and says what it does.

        Parameters
        ----------
        folder : Path
            Of the run; absolute.
        run : str
            Its ID.
        listener : callable
            Hears notes and warnings, in the thread that opens the cluster.
        """
        return self

    def open(self) -> AbstractContextManager[Connection]:
        """Start or join the cluster; close on leaving what was started.

        Raises
        ------
        ClusterError
            When none can be had.
        """
        raise NotImplementedError

    def with_client(self) -> AbstractContextManager[Connection]:
        """Open the cluster so that there is a client, also where `open` has none."""
        return self.open()

    def client(self) -> AbstractContextManager[Any]:
        """Yield a ``distributed.Client`` of the open cluster, on which workflows can run, too."""
        return self._client()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from daskflow.clusters.given import remember

        with self.with_client() as connection:
            remember(connection.client, self, connection)
            yield connection.client


REGISTRY: Registry[Cluster] = Registry(__name__, Cluster, "cluster")


def connect(kind: str | Cluster = "local", *, asynchronous: bool = False, **settings: Any) -> Any:
    """Open a cluster and yield its ``distributed.Client``.

    Parameters
    ----------
    kind : str or Cluster
        A kind's name, or its settings.
    asynchronous : bool, default False
        For ``async with``: the cluster is opened and closed in a thread, and the client is an asynchronous one of the
        running loop, whose methods are awaited. It is the current client of the task and of those that it makes.
    **settings
        The kind's options.

    Returns
    -------
    context manager, or asynchronous context manager
        Of the client. Several workflows, searches and predictions may use it at once: ``Workflow.run(cluster=client)``.

    Raises
    ------
    ClusterError
        When none can be had.

    Notes
    -----
    All that a cluster which is started here serves over HTTP is behind a token: ``client.dashboard_link`` has it, and
    tools send ``Authorization: Bearer TOKEN``.
    """
    chosen = kind if isinstance(kind, Cluster) else REGISTRY.parse({"kind": kind, **settings}, where="cluster")
    if asynchronous:
        from daskflow.clusters.asynchronous import Connecting

        return Connecting(chosen)
    return chosen.client()


def __getattr__(name: str) -> Any:
    """Find a kind's class on first use."""
    return REGISTRY.attribute(name)
