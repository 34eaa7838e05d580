"""Whether an interpreter can be shipped: it is started from another folder, and must load nothing of this system."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from daskflow.core.errors import ClusterError

SYSTEM = re.compile(
    r"(ld-linux.*|ld-musl.*|lib(c|m|dl|rt|util|pthread|nss_\w+|resolv|anl|gcc_s|stdc\+\+))(-[\d.]+)?\.so"
)
"""Libraries that every Linux has, and that no one ships."""

LOADED = """
import json, sys
import _ctypes, _hashlib, _socket, _ssl, bz2, lzma, math, sqlite3, uuid, zlib
maps = open("/proc/self/maps").read().splitlines()
print(json.dumps([sys.prefix, sorted({line.split(None, 5)[5] for line in maps if ".so" in line})]))
"""


def relocatable(executable: str) -> Path:
    """Return the prefix of an interpreter that runs from any folder.

    Parameters
    ----------
    executable : str
        The interpreter; that of a virtual environment stands for the one which it was made from.

    Raises
    ------
    ClusterError
        When it runs only where it is installed, or needs libraries of this system.
    """
    asked = "import sys; print(sys.base_prefix)"
    prefix = Path(subprocess.run([executable, "-c", asked], capture_output=True, text=True, check=True).stdout.strip())
    program = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory(prefix="daskflow-python-") as folder:
        there = Path(folder) / "elsewhere"
        try:
            (there / "bin").mkdir(parents=True)
            (there / "lib").mkdir()
            shutil.copy(prefix / "bin" / program, there / "bin" / program)
            for library in (prefix / "lib").glob("*.so*"):
                shutil.copy(library, there / "lib" / library.name)
            (there / "lib" / program).mkdir()
            for entry in (prefix / "lib" / program).iterdir():
                target = there / "lib" / program / entry.name
                if entry.name == "lib-dynload":
                    shutil.copytree(entry, target)
                elif entry.name != "site-packages":
                    target.symlink_to(entry)
        except OSError as error:
            raise refusal(executable, f"it is not complete in {prefix} ({error})") from error
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_"))}
        done = subprocess.run(
            [there / "bin" / program, "-I", "-S", "-c", LOADED], capture_output=True, text=True, env=bare, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise refusal(executable, f"started from another folder it says: {last}")
        found, libraries = json.loads(done.stdout)
        if wrong := tied(Path(found), there, libraries):
            raise refusal(executable, wrong)
    return prefix


def tied(prefix: Path, folder: Path, libraries: Iterable[str]) -> str:
    """Return what ties an interpreter to this machine, as part of a sentence; empty when nothing does.

    Examples
    --------
    >>> tied(Path("/t/x"), Path("/t/x"), ["/t/x/lib/libssl.so.3", "/lib/x86_64-linux-gnu/libc.so.6"])
    ''
    >>> tied(Path("/t/x"), Path("/t/x"), ["/usr/lib/libssl.so.3", "/lib/libc.so.6"])
    'it needs libraries of this system: libssl.so.3'
    >>> tied(Path("/usr"), Path("/t/x"), [])
    'started from another folder it takes its modules from /usr'
    """
    folder = folder.resolve()
    if prefix.resolve() != folder:
        return f"started from another folder it takes its modules from {prefix}"
    outside = [Path(path) for path in libraries if not Path(path).resolve().is_relative_to(folder)]
    needed = sorted({path.name for path in outside if not SYSTEM.match(path.name)})
    return f"it needs libraries of this system: {', '.join(needed)}" if needed else ""


def refusal(executable: str, why: str) -> ClusterError:
    """Return the error of an interpreter that cannot be shipped, with what can be done."""
    return ClusterError(
        f"The Python {executable} cannot be shipped: {why}. Use one that is made to be moved, such as conda's or "
        "one that `uv python install` brings, or set cluster.ship = 'packages' and name a Python of the nodes with "
        "cluster.python."
    )
