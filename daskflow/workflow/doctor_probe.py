"""What a node of a batch system says of itself: run there by whichever Python it has, with nothing but its library."""

# No import of daskflow at the top, and no syntax newer than Python 3.6: the file is copied to the shared folder and
# started on nodes that may have neither. What it is asked stands in the folder as JSON.

import json
import os
import platform
import resource
import socket
import sys
import time
from typing import Any


def look(folder: str) -> "dict[str, Any]":
    """Return what is known of this node, as plain values."""
    with open(os.path.join(folder, "asked.json")) as file:
        asked = json.load(file)
    found = {
        "token": asked["token"],
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "address_space": resource.getrlimit(resource.RLIMIT_AS)[0],
        "reached": called(asked),
        "scratch": written(asked["scratch"]),
        "folders": {folder: answered(place, asked["token"]) for folder, place in asked["folders"].items()},
    }
    found["versions"], found["failure"] = libraries(asked["libraries"])
    found["time"] = time.time()  # last: what importing took on a busy node is no difference of clocks
    return found


def called(asked: "dict[str, Any]") -> str:
    """Return an empty text when the other side is reached, else why not."""
    try:
        connection = socket.create_connection((asked["address"], asked["port"]), timeout=10)
        connection.sendall(asked["token"].encode())
        connection.close()
    except OSError as error:
        return str(error)
    return ""


def answered(place: str, token: str) -> str:
    """Return an empty text when the token can be read in a folder and an answer written, else why not."""
    try:
        with open(os.path.join(place, "token")) as file:
            if file.read() != token:
                return "it sees another folder of that name"
        with open(os.path.join(place, "answer"), "w") as file:
            file.write("yes")
    except OSError as error:
        return str(error.strerror)
    return ""


def written(folder: str) -> str:
    """Return an empty text when a folder can be made and written, else why not."""
    if not folder:
        return ""
    place = os.path.expanduser(os.path.expandvars(folder))
    mine = os.path.join(place, f".seen-{os.getpid()}")
    try:
        os.makedirs(place, exist_ok=True)
        with open(mine, "w") as file:
            file.write("x")
        os.unlink(mine)
    except OSError as error:
        return f"{place}: {error.strerror}"
    return ""


def libraries(names: "list[str]") -> "tuple[dict[str, str], str]":
    """Return the versions of packages, and why they cannot be used."""
    try:
        import importlib.metadata
        import importlib.util
    except ImportError:
        return {}, "this Python is too old"
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if importlib.util.find_spec("daskflow") is None:
        versions.pop("daskflow", None)
        return versions, ""
    try:
        import distributed  # noqa: F401
        import pyarrow  # noqa: F401

        import daskflow  # noqa: F401
    except Exception as error:  # whatever an import raises: it is told
        return versions, f"{type(error).__name__}: {error}"
    return versions, ""


if __name__ == "__main__":
    place = sys.argv[1]
    answer = json.dumps(look(place))
    with open(os.path.join(place, "found.part"), "w") as part:
        part.write(answer)
    os.rename(os.path.join(place, "found.part"), os.path.join(place, "found.json"))
