"""What a server is asked for: the words of ``daskflow serve``, checked before anything is opened."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from dask.utils import parse_bytes
from pydantic import BeforeValidator, Field

from daskflow.bundle import files
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings
from daskflow.streams.serve_limits import Limits
from daskflow.streams.stream_folder import StreamFolder
from daskflow.workflow.streaming_settings import Seconds

LEAST_TOKEN = 16
"""Characters of a token that is not guessed in a while."""


def bytes_of(value: Any) -> int:
    """Return bytes of a number, or of a text such as ``8MiB``.

    Examples
    --------
    >>> bytes_of("8MiB"), bytes_of(100)
    (8388608, 100)
    """
    try:
        found = int(parse_bytes(value))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("should be a size, such as 8MiB") from error
    if not 0 < found < 2**40:
        raise ValueError("should be a size from 1 byte to 1 TiB")
    return found


Bytes = Annotated[int, BeforeValidator(bytes_of)]


class ServeSettings(Settings):
    """A server.

    Attributes
    ----------
    model : str
        A model folder, a run's folder, or ``runs/NAME`` for its latest run.
    host : str
        To listen on. The default is seen by this machine only; any other needs a token and TLS.
    port : int
        0 for one that is free.
    workers : int
        Processes that answer.
    batch : int
        Rows of several requests that the model is asked for at once, at most.
    delay : float
        Seconds that a batch waits for more though the model is free; default 0.
    queue : int
        Requests that may wait in each process.
    timeout : float
        Seconds for a request to arrive, and for its answer.
    stuck : float or None
        Seconds that the model may compute at one batch before its process is replaced; default twice `timeout`, so
        that those who wait have been told by then.
    max_bytes : int
        Of a request's body.
    drain : float
        Seconds that what is in flight may take when the server is to end.
    token_file : str or None
        File that holds the token which clients must show, in its first line; beyond this machine and without it a new
        token is made.
    tls_cert, tls_key : str or None
        PEM files.
    insecure_behind_proxy : bool
        Whether to listen beyond this machine without TLS: a proxy in front has it.
    watch : str or None
        A model folder, ``runs/NAME``, or a folder of model folders, in which a newer model may appear.
    folder : str or None
        Where the server tells what it does; default ``RUN/streams/serve-PORT`` for a model of a run, else
        ``streams/serve-PORT``.
    strict : bool
        Whether rows with names that are no columns are refused.
    proba : bool
        Whether answers have probabilities.
    trust : tuple of str
        Types in the model that are not scikit-learn's own.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    batch: int = Field(default=64, ge=1, le=65_536)
    delay: Seconds = 0.0
    queue: int = Field(default=1024, ge=1, le=1_000_000)
    timeout: Annotated[Seconds, Field(gt=0)] = 10.0
    stuck: Annotated[Seconds, Field(gt=0)] | None = None
    max_bytes: Bytes = 8 * 2**20
    drain: Seconds = 30.0
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure_behind_proxy: bool = False
    watch: str | None = None
    folder: str | None = None
    strict: bool = False
    proba: bool = True
    trust: tuple[str, ...] = ()

    @property
    def limits(self) -> Limits:
        """Of each process."""
        return Limits(self.batch, self.delay, self.queue, self.timeout, self.max_bytes)

    @property
    def stuck_seconds(self) -> float:
        """Seconds until a process whose model does not answer is replaced."""
        return 2 * self.timeout if self.stuck is None else self.stuck

    @property
    def tls(self) -> tuple[str, str] | None:
        """Paths of certificate and key."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return os.path.abspath(self.tls_cert), os.path.abspath(self.tls_key)

    @property
    def is_beyond(self) -> bool:
        """Whether other machines can reach it."""
        return not is_loopback(self.host)

    def check(self) -> None:
        """Raise SettingsError with everything that does not go together, before anything is opened."""
        problems = []
        if (self.tls_cert is None) != (self.tls_key is None):
            problems.append(Problem("--tls-cert", "certificate and key go together: give --tls-cert and --tls-key"))
        if self.stuck_seconds <= self.timeout:
            words = f"it should be longer than --timeout ({self.timeout:g} s), so that those who wait are told first"
            problems.append(Problem("--stuck", words))
        for word, path in (
            ("--tls-cert", self.tls_cert),
            ("--tls-key", self.tls_key),
            ("--token-file", self.token_file),
        ):
            if path is not None and not Path(path).is_file():
                problems.append(Problem(word, f"there is no file {path}"))
        if self.is_beyond and self.tls_cert is None and not self.insecure_behind_proxy:
            problems.append(
                Problem(
                    "--host",
                    f"{self.host} is seen by other machines, and rows and tokens would travel in the clear: give "
                    "--tls-cert and --tls-key, or --insecure-behind-proxy where a proxy in front has TLS",
                )
            )
        if problems:
            raise SettingsError(problems)

    def token(self, make: Callable[[], str]) -> str | None:
        """Return the token that clients must show; None on this machine where none was asked for.

        Raises
        ------
        SettingsError
            For a file that cannot be read, is readable by others, or holds no good token.
        """
        if self.token_file is None:
            return make() if self.is_beyond else None
        path = Path(self.token_file)
        try:
            text = path.read_text(encoding="utf-8")
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([Problem("--token-file", f"{path} cannot be read: {error}")]) from error
        if mode & 0o077:
            words = f"{path} can be read by others: chmod 600 {path}, and make a new token if somebody has read it"
            raise SettingsError([Problem("--token-file", words)])
        lines = text.strip().splitlines()
        token = lines[0].strip() if lines else ""
        if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            words = f"the first line of {path} is the token: {LEAST_TOKEN} letters and digits or more, without blanks"
            raise SettingsError([Problem("--token-file", words)])
        return token

    def place(self, port: int) -> StreamFolder:
        """Return the server's folder."""
        if self.folder is not None:
            return StreamFolder(Path(os.path.abspath(os.path.expanduser(self.folder))))
        found = files.find(Path(os.path.expanduser(self.model))).absolute()
        above = found.parent if (found.parent / "journal.jsonl").is_file() else Path.cwd()
        return StreamFolder(above / "streams" / f"serve-{port}")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host's address.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host or None, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return False
    return bool(host) and all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_loopback for each in found)


def listener_of(host: str, port: int, backlog: int) -> socket.socket:
    """Return a socket that listens; SettingsError when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError([Problem("--host", f"{host} is no address of this machine: {error.strerror}")]) from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(backlog)
    except (OSError, OverflowError) as error:
        made.close()
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        words = f"{host}:{port} cannot be listened on: {why}. Choose another port; 0 takes one that is free"
        raise SettingsError([Problem("--port", words)]) from error
    return made
