"""Files that pages load: bokeh's own scripts as installed, and ours; nothing comes from the network."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from bokeh.util.paths import bokehjs_path

BOKEH = ("bokeh.min.js", "bokeh-gl.min.js")
ROOMS = ("daskflow.dashboard", "daskflow.figures")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent.

    Attributes
    ----------
    content, packed : bytes
        As it is, and compressed.
    version : str
        Changes with the content; a page names it, so that browsers may keep the file.
    kind : str
        Its content type.
    """

    content: bytes
    packed: bytes
    version: str
    kind: str


@cache
def static_file(name: str) -> StaticFile | None:
    """Return a file by its name; None when there is none of it."""
    suffix = Path(name).suffix
    if suffix not in TYPES or Path(name).name != name:
        return None
    if name in BOKEH:
        content = (Path(bokehjs_path()) / "js" / name).read_bytes()
    else:
        found = [place for room in ROOMS if (place := files(room).joinpath(name)).is_file()]
        if not found:
            return None
        content = found[0].read_bytes()
    return StaticFile(
        content, gzip.compress(content, 6, mtime=0), hashlib.sha256(content).hexdigest()[:16], TYPES[suffix]
    )


def version_of(name: str) -> str:
    """Return a file's version, for the address by which a page loads it; KeyError when there is no such file."""
    found = static_file(name)
    if found is None:
        raise KeyError(name)
    return found.version
