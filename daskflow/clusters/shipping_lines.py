"""Lines of a job's script that bring a shipped environment to its node, and the command that starts Python in it."""

from __future__ import annotations

import platform
import shlex
import socket
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass

from daskflow.clusters.shipped_start import LOCK
from daskflow.clusters.shipping_archive import ARCHIVE, COPY, Archive

UNFIT = 78
"""Exit code of a job whose node cannot give it the environment of its run."""


@dataclass(frozen=True, slots=True)
class Maker:
    """The machine and the Python that an environment is of.

    Attributes
    ----------
    host, machine : str
        Its name and its kind, such as ``"x86_64"``.
    version, abi : str
        Of Python: ``"3.11"``, and what compiled modules are made for, such as ``"cpython-311-x86_64-linux-gnu"``.
    """

    host: str
    machine: str
    version: str
    abi: str


HERE = Maker(
    socket.gethostname(),
    platform.machine(),
    f"{sys.version_info.major}.{sys.version_info.minor}",
    str(sysconfig.get_config_var("SOABI")),
)

ABI = "import sys, sysconfig; print(sysconfig.get_config_var('SOABI'), '%d.%d.%d' % sys.version_info[:3])"

START = '"$daskflow_python" -S -P "$daskflow_copy/start.py"'
"""What stands for ``python`` before ``-m MODULE``: packages of the node are not looked for (``-S``)."""


def beginning() -> list[str]:
    """Return the lines that the others need; they see whether the node is a machine of the same kind."""
    return [
        f"daskflow_host={shlex.quote(HERE.host)} daskflow_machine={shlex.quote(HERE.machine)}",
        "daskflow_unfit() {",
        '    echo "daskflow: node $(hostname) $*" >&2',
        f"    exit {UNFIT}",
        "}",
        'if [ "$(uname -m)" != "$daskflow_machine" ]; then',
        '    daskflow_unfit "is a machine of another kind, $(uname -m): the environment is of $daskflow_host,'
        ' $daskflow_machine. Ask for such nodes with cluster.queue or cluster.directives."',
        "fi",
        "unset PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH",
    ]


def unpacking(archive: Archive, scratch: str | None) -> list[str]:
    """Return the lines that unpack an archive once on a node, for all jobs that come to it.

    A job holds a shared lock on the copy as long as it lives, however it ends, for its process has inherited it. The
    copy is used when it is ready under that lock; else it is unpacked under an exclusive one. Copies that nobody holds
    are removed: those of jobs that were killed.

    Parameters
    ----------
    archive : Archive
        As it was packed.
    scratch : str or None
        Local folder as a shell line has it; default ``$TMPDIR``, else ``/tmp``.
    """
    needed = archive.size_bytes * 5 // 4 // 1024  # files fill whole blocks
    scratch = scratch or '"${TMPDIR:-/tmp}"'
    is_ours = f'[ /dev/fd/{LOCK} -ef "$daskflow_copy.lock" ]'
    return [
        f"daskflow_archive={shlex.quote(str(archive.path))}",
        f"daskflow_sum={archive.sha256}",
        f"daskflow_place={scratch}",
        'daskflow_place="$daskflow_place/daskflow-$(id -u)"',
        'daskflow_copy="$daskflow_place/$(echo "$daskflow_sum" | cut -c1-16)"',
        "for daskflow_tool in flock tar gzip sha256sum; do",
        '    if ! command -v "$daskflow_tool" > /dev/null; then',
        '        daskflow_unfit "has no $daskflow_tool, which unpacks the environment: install it there, or install'
        ' daskflow there and leave cluster.ship out."',
        "    fi",
        "done",
        'if [ ! -r "$daskflow_archive" ]; then',
        '    daskflow_unfit "does not see the environment $daskflow_archive: the run is over, or the folder is not'
        ' shared. Name one that all nodes see with cluster.shared."',
        "fi",
        'if ! mkdir -p -m 700 "$daskflow_place" || [ ! -O "$daskflow_place" ] || [ -L "$daskflow_place" ]; then',
        '    daskflow_unfit "cannot make $daskflow_place: name another local folder with cluster.scratch."',
        "fi",
        'for daskflow_old in "$daskflow_place"/*.lock; do',
        '    if [ -e "$daskflow_old" ] && [ "$daskflow_old" != "$daskflow_copy.lock" ]; then',
        '        flock -n "$daskflow_old" rm -rf "${daskflow_old%.lock}" "$daskflow_old"',
        "    fi",
        "done",
        'rm -rf "$daskflow_place"/*.gone-*',
        "daskflow_gives_up() {",
        '    rm -rf "$daskflow_copy" "$daskflow_copy.lock"',
        '    rmdir "$daskflow_place"',
        '    daskflow_unfit "$*"',
        "}",
        "while true; do",
        f'    mkdir -p -m 700 "$daskflow_place" && exec {LOCK}>> "$daskflow_copy.lock"',
        f"    flock -s {LOCK}",
        f'    if {is_ours} && [ -e "$daskflow_copy/ready" ]; then',
        "        break",
        "    fi",
        f"    flock {LOCK}",
        f'    if {is_ours} && [ ! -e "$daskflow_copy/ready" ]; then',
        '        rm -rf "$daskflow_copy"',
        '        daskflow_free=$(df -Pk "$daskflow_place" | tail -n 1 | tr -s " " | cut -d " " -f 4)',
        f'        if [ "$daskflow_free" -lt {needed} ]; then',
        f'            daskflow_gives_up "has $daskflow_free kB free in $daskflow_place, and the environment needs'
        f' {needed}: name another local folder with cluster.scratch."',
        "        fi",
        '        if [ "$(sha256sum < "$daskflow_archive" | cut -c1-64)" != "$daskflow_sum" ]; then',
        '            daskflow_gives_up "finds the environment $daskflow_archive damaged: run again, which packs it'
        ' anew."',
        "        fi",
        '        if ! mkdir "$daskflow_copy" || ! tar -xzf "$daskflow_archive" -C "$daskflow_copy"; then',
        '            daskflow_gives_up "cannot unpack $daskflow_archive into $daskflow_copy."',
        "        fi",
        '        : > "$daskflow_copy/ready"',
        "    fi",
        "done",
        f'export {COPY}="$daskflow_copy" {ARCHIVE}={shlex.quote(archive.text())}',
        'export PYTHONPATH="$daskflow_copy/site"',
    ]


def checking(python: str) -> list[str]:
    """Return the lines that see whether the node's Python can use packages of this one.

    Parameters
    ----------
    python : str
        As a shell line has it.
    """
    return [
        f"daskflow_python={python}",
        'daskflow_help="name another with cluster.python or lines of cluster.prologue, or ship that of $daskflow_host,'
        " too: cluster.ship = 'python'.\"",
        f'if ! daskflow_found=$("$daskflow_python" -S -c {shlex.quote(ABI)} 2>&1); then',
        '    daskflow_unfit "does not run $daskflow_python ($(echo "$daskflow_found" | tail -n 1)), and the run needs'
        f' Python {HERE.version}: $daskflow_help"',
        "fi",
        f'if [ "${{daskflow_found% *}}" != {shlex.quote(HERE.abi)} ]; then',
        '    daskflow_unfit "has another Python: $daskflow_python is ${daskflow_found##* } (${daskflow_found% *}), and'
        f" the run's on $daskflow_host is {HERE.version} ({HERE.abi}): $daskflow_help\"",
        "fi",
    ]


def checking_shipped() -> list[str]:
    """Return the lines that see whether an interpreter that came along runs on the node."""
    return [
        f'daskflow_python="$daskflow_copy/python/bin/python{HERE.version}"',
        'if ! daskflow_found=$("$daskflow_python" -S -c "import ssl, ctypes" 2>&1); then',
        '    daskflow_unfit "does not run the Python of $daskflow_host: $(echo "$daskflow_found" | tail -n 1). Its'
        " system may be too old: name another Python with cluster.python, and set cluster.ship = 'packages'.\"",
        "fi",
    ]


def shipped_command(command: Sequence[str]) -> str:
    """Return a command of a Python with ``-m MODULE`` as a shell line that starts it in the copy.

    Examples
    --------
    >>> shipped_command(["/opt/python", "-u", "-m", "daskflow", "run", "my cars.toml"])
    '"$daskflow_python" -u -S -P "$daskflow_copy/start.py" -m daskflow run \\'my cars.toml\\''
    >>> shipped_command(["sh", "-c", "date"])
    'sh -c date'
    """
    if "-m" not in command:
        return shlex.join(command)
    at = command.index("-m")
    options = "".join(f" {shlex.quote(word)}" for word in command[1:at])
    return START.replace(" -S", f"{options} -S", 1) + f" {shlex.join(command[at:])}"
