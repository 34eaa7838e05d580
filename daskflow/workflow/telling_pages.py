"""Pages: the live pages of a run on its cluster's scheduler, and where they are found while it goes on."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from daskflow.core.access import new_token
from daskflow.core.events import Event
from daskflow.core.folder import RunFolder
from daskflow.core.protocols import Connection

if TYPE_CHECKING:
    from daskflow.dashboard.mounting import Mounted

SWITCH = "DASKFLOW_PAGES"
"""An environment variable: ``off`` leaves the scheduler without pages. The run's folder can be watched all the same."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the wish for pages.

    Attributes
    ----------
    mounted : Mounted or None
        None where there are none.
    token : str
        What lets a viewer in.
    why : str
        A sentence that says why there are none; empty where nobody asked for them.
    """

    mounted: Mounted | None = None
    token: str = ""
    why: str = ""


def mounted_on(connection: Connection, folder: RunFolder) -> Found:
    """Put the run's pages on the scheduler's web server, if it has one; never raises."""
    if connection.client is None or os.environ.get(SWITCH, "").strip().lower() in ("off", "0", "no", "false"):
        return Found()
    token = connection.token or new_token()
    try:
        from daskflow.dashboard.mounting import mount

        mounted = mount(connection.client, name=folder.name, id=folder.id, token=token)
    except Exception as error:
        return Found(why=f"The run has no live pages: {type(error).__name__}: {error}")
    if not mounted.address:
        return Found(why=mounted.why)
    return Found(mounted, token)


def write_live(path: Path, address: str, token: str) -> None:
    """Write where a run is watched, with the token, for the owner's eyes only."""
    known = {"address": address, "token": token, "host": socket.gethostname()}
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(known) + "\n")
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def tunnel(address: str, machine: str = "", environment: Mapping[str, str] = os.environ) -> str:
    """Return the command that brings a page to the machine a person sits at; empty where the browser is here.

    Parameters
    ----------
    address : str
        Of the page.
    machine : str
        Where it listens, as that machine calls itself; default this one.
    environment : mapping
        Says whether this session came over ssh.

    Examples
    --------
    >>> tunnel("http://127.0.0.1:8787/daskflow", environment={})
    ''
    >>> tunnel("http://127.0.0.1:8787/daskflow", "head-node", {"USER": "me"})
    'ssh -L 8787:127.0.0.1:8787 me@head-node'
    >>> tunnel("http://10.0.0.5:8787/daskflow", "head-node", {"USER": "me"})
    'ssh -L 8787:10.0.0.5:8787 me@head-node'

    Notes
    -----
    From a session that came over ssh to this machine, another one is reached by way of this one.
    """
    parts = urlsplit(address)
    try:
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return ""
    here = socket.gethostname()
    machine = machine or (here if host in LOOPBACK else host)
    over_ssh = environment.get("SSH_CONNECTION", "").split()
    is_remote = len(over_ssh) == 4
    if not port or not host or (machine == here and not is_remote):
        return ""
    user = environment.get("USER") or environment.get("LOGNAME") or ""
    door = ""
    if is_remote and machine == here and over_ssh[3] != "22":
        door = f"-p {over_ssh[3]} "
    elif is_remote and machine != here:
        way = f"{user}@{here}" if user else here
        door = f"-J {shlex.quote(way if over_ssh[3] == '22' else f'{way}:{over_ssh[3]}')} "
    target = "127.0.0.1" if host in LOOPBACK else f"[{host}]" if ":" in host else host
    return f"ssh {door}-L {port}:{target}:{port} {shlex.quote(f'{user}@{machine}' if user else machine)}"


def shown(path: Path) -> str:
    """Return a path as one would type it here.

    Examples
    --------
    >>> shown(Path.cwd() / "runs" / "flights" / "0a1b"), shown(Path("/elsewhere/runs"))
    ('runs/flights/0a1b', '/elsewhere/runs')
    """
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def address_words(fields: Mapping[str, Any]) -> str:
    """Return where a run can be watched, for logs, which others may read: without what lets one in."""
    return f"Watch it: {fields['url']} (daskflow watch {shown(Path(fields['run']))} prints the link that lets you in)"


def link_words(fields: Mapping[str, Any]) -> str:
    """Return the link by which whoever sits at the terminal watches a run, and how it works from elsewhere."""
    link = f"Watch it: {fields['url']}?token={fields['token']}"
    return f"{link}\n  from your own machine, after: {fields['ssh']}" if fields.get("ssh") else link


def say_where(event: Event) -> None:
    """Write on stderr where a run can be watched, and nothing else of it: how scripts listen by default.

    A terminal gets the link that lets one in; what is kept, as a log or a notebook is, gets the address alone.
    """
    if event.name != "address" or sys.stderr is None:
        return
    folder = RunFolder(Path(event.fields["run"]))
    with suppress(OSError, ValueError):  # stderr is closed: the run goes on
        words = link_words if sys.stderr.isatty() else address_words
        sys.stderr.write(f"Run {folder.name}/{folder.id}. {words(event.fields)}\n")
        sys.stderr.flush()
