"""A scheduler that runs already: joined, never closed."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

from distributed import Client
from distributed.security import Security
from distributed.utils import silence_logging_cmgr
from distributed.versions import VersionMismatchWarning
from pydantic import Field, field_validator, model_validator

from daskflow.clusters import Cluster
from daskflow.core.errors import ClusterError, StorageError
from daskflow.core.held import Held
from daskflow.core.protocols import Connection, Executor, Unit
from daskflow.core.warned import ignored_anywhere
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import run_all

LIBRARIES = ("daskflow", "dask", "distributed", "scikit-learn", "dask-ml", "numpy", "scipy", "pandas", "pyarrow")
"""What decides the numbers, or is pickled from here to there: the versions must be equal on both sides."""

CLOSE_SECONDS = 10

SILENT = Held(lambda: silence_logging_cmgr(logging.CRITICAL))
"""Dask's log is kept quiet while clusters are open, for the whole process."""


class Address(Cluster):
    """A scheduler that runs already, at an address; it and its workers are left as they are.

    Every worker and the scheduler need daskflow in the same version, and must see the run's folder by the same path.
    Whoever reaches a ``tcp://`` scheduler can run code on it; use ``tls://`` beyond this machine.

    Attributes
    ----------
    address : str
        Such as ``"tcp://127.0.0.1:8786"`` or ``"tls://head-node:8786"``.
    tls_ca, tls_cert, tls_key : str or None
        PEM files for ``tls://``: all three, or none of them for what Dask's own configuration says.
    timeout_seconds : float
        How long to wait for an answer of the scheduler, and then for its first worker.
    """

    kind: Literal["address"] = "address"
    address: str
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    timeout_seconds: float = Field(default=30.0, gt=0)

    @field_validator("address")
    @classmethod
    def _address_has_a_protocol(cls, value: str) -> str:
        """Refuse what Dask would take for something else."""
        protocol, _, place = value.partition("://")
        host, _, port = place.rpartition(":")
        if protocol not in ("tcp", "tls") or not host or not port.isdigit():
            raise ValueError("should be an address such as 'tcp://127.0.0.1:8786' or 'tls://head-node:8786'")
        return value

    @model_validator(mode="after")
    def _tls_files_come_together(self) -> Self:
        """Refuse half of a set, and files for a protocol that does not use them."""
        given = [self.tls_ca, self.tls_cert, self.tls_key]
        if any(given) and not all(given):
            raise ValueError("tls_ca, tls_cert and tls_key belong together: give all three")
        if any(given) and not self.address.startswith("tls://"):
            raise ValueError("tls_ca, tls_cert and tls_key need an address that begins with tls://")
        return self

    def open(self) -> AbstractContextManager[Connection]:
        """Join the cluster.

        Raises
        ------
        ClusterError
            When nothing answers, no worker comes in time, or a process there lacks daskflow or has other versions.
        """
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        with SILENT:  # what goes wrong is raised, as a sentence
            yield from self._joined()

    def _joined(self) -> Iterator[Connection]:
        client = self._connect()
        try:
            self._wait_for_a_worker(client)
            compare_versions(client, self.address)
            threads = client.nthreads()
            workers = f"{len(threads)} worker{'s' if len(threads) > 1 else ''}"
            yield Connection(
                ClientExecutor(client),
                client,
                client.dashboard_link or None,
                f"address: {self.address}, {workers}, {sum(threads.values())} threads",
            )
        finally:
            with suppress(TimeoutError, OSError):
                client.close(timeout=CLOSE_SECONDS)

    def _security(self) -> Security:
        """The files given, or Dask's own configuration; ClusterError where neither has any."""
        if not self.address.startswith("tls://"):
            return Security(require_encryption=False)
        given = {"tls_ca_file": self.tls_ca, "tls_client_cert": self.tls_cert, "tls_client_key": self.tls_key}
        absent = [file for file in given.values() if file and not Path(file).is_file()]
        if absent:
            raise ClusterError(f"There is no file {', '.join(absent)}; look at cluster.tls_ca, tls_cert and tls_key.")
        security = Security(require_encryption=True, **{name: file for name, file in given.items() if file})
        if not security.tls_ca_file or not security.tls_client_cert:
            raise ClusterError(
                f"{self.address} needs certificates: set cluster.tls_ca, tls_cert and tls_key, "
                "or distributed.comm.tls in Dask's own configuration."
            )
        return security

    def _connect(self) -> Client:
        """Open the client; its sentence instead of Dask's."""
        security = self._security()
        try:
            # Dask's table of versions; ours are compared below, and they end the run.
            with ignored_anywhere(VersionMismatchWarning):
                return Client(self.address, security=security, timeout=self.timeout_seconds, set_as_default=False)
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            # The half-made client must go now: at the end of the process its close would wait for a stopped loop.
            traceback.clear_frames(error.__traceback__)
            raise ClusterError(
                f"No scheduler answers at {self.address} within {self.timeout_seconds:g} s ({error}). "
                "Is it running, is the address right, and does it use the same protocol (tcp or tls)?"
            ) from error

    def _wait_for_a_worker(self, client: Client) -> None:
        try:
            client.wait_for_workers(1, timeout=self.timeout_seconds)
        except TimeoutError as error:
            raise ClusterError(
                f"The scheduler at {self.address} has no worker, {self.timeout_seconds:g} s after it answered. "
                "Start workers, or wait longer with cluster.timeout_seconds."
            ) from error


def compare_versions(client: Client, address: str) -> None:
    """Ask the scheduler and each worker what they have, by a function that needs nothing there.

    Raises
    ------
    ClusterError
        When one lacks daskflow or has other versions than this process.
    """
    versions = probe()
    here = versions(LIBRARIES)
    try:
        answers = {"the scheduler": client.run_on_scheduler(versions, LIBRARIES)}
        answers |= {f"worker {name}": answer for name, answer in client.run(versions, LIBRARIES).items()}
    except Exception as error:
        raise ClusterError(
            f"The processes at {address} cannot be asked for their versions "
            f"({type(error).__name__}: {error}). Use the same Python and Dask there as here."
        ) from error
    for process, there in answers.items():
        sentence = difference(here, there)
        if sentence:
            raise ClusterError(f"{process} at {address} {sentence}")


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Return what a process lacks to work with this one, as the end of a sentence; empty when it lacks nothing.

    Examples
    --------
    >>> difference({"python": "3.11", "daskflow": "1"}, {"python": "3.11"})
    'has no daskflow. Install daskflow 1 there.'
    >>> difference({"python": "3.11", "numpy": "2.1"}, {"python": "3.11", "numpy": "2.2"})
    'has other versions than this process: numpy 2.2 (here 2.1). Make them equal.'
    """
    if "daskflow" in here and "daskflow" not in there:
        return f"has no daskflow. Install daskflow {here['daskflow']} there."
    other = [
        f"{name} {there.get(name, 'missing')} (here {here[name]})" for name in here if there.get(name) != here[name]
    ]
    return f"has other versions than this process: {', '.join(other)}. Make them equal." if other else ""


def probe() -> Callable[[tuple[str, ...]], dict[str, str]]:
    """Return a function that tells versions, and is pickled by its code: it also works where there is no daskflow."""

    def versions(names: tuple[str, ...]) -> dict[str, str]:
        import importlib.metadata
        import importlib.util
        import platform

        found = {"python": ".".join(platform.python_version_tuple()[:2])}
        for name in names:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        if "daskflow" in found and importlib.util.find_spec("daskflow") is None:
            del found["daskflow"]
        return found

    return versions


def check_folder(executor: Executor, folder: Path, *, option: str = "--runs") -> None:
    """See that whoever runs units sees a folder: units read a token from it and leave an answer in it.

    Parameters
    ----------
    executor : Executor
        With nothing pending.
    folder : Path
        Absolute; exists here.
    option : str
        What names another folder, for the message.

    Raises
    ------
    StorageError
        When a worker does not see the folder, sees another one of that name, or may not write to it.
    """
    place = folder / f".seen-{os.getpid()}-{secrets.token_hex(4)}"  # several runs of a process may share the folder
    token = os.urandom(16).hex()
    try:
        place.mkdir()
        (place / "token").write_text(token)
        # Twice the slots: the scheduler spreads units over idle workers, so that each gets one.
        units = [Unit(f"folder-{token[:8]}-{n}", answer, (place, token, n, option)) for n in range(2 * executor.slots)]
        for unit, host in run_all(executor, units).items():
            if not (place / unit.rpartition("-")[2]).exists():
                raise StorageError(
                    f"What the worker on {host} writes to {folder} does not arrive here: it has a folder of that name "
                    f"of its own. Use a folder that all workers share, with {option}."
                )
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}. Choose another one with {option}."
        ) from error
    finally:
        for file in place.glob("*"):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            place.rmdir()


def answer(place: Path, token: str, number: int, option: str) -> str:
    """Read the token, leave an answer, and return this machine's name; StorageError when that cannot be done."""
    host = socket.gethostname()
    folder = place.parent
    try:
        found = (place / "token").read_text()
        (place / str(number)).write_text(hashlib.sha256(found.encode()).hexdigest())
    except OSError as error:
        raise StorageError(
            f"The worker on {host} cannot read and write {folder}: {error.strerror}. "
            f"Use a folder that all workers share and may write, with {option}."
        ) from error
    if found != token:
        raise StorageError(
            f"The worker on {host} sees another {folder} than this process. Use a shared one, with {option}."
        )
    return host
