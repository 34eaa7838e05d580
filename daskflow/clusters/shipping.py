"""Shipping: which files are the environment of a run, so that nodes which lack it can be given it.

That is the packages that daskflow needs, as they are installed here, and the modules that this process has imported
from elsewhere: an editable installation, a folder of ``PYTHONPATH``, the workflow's own. pip, tests and what else is
installed beside them stay here. pex packs such a closure, too, but brings 13 MB of its own, and the copies on nodes
(one for all jobs, checked, removed) would still be ours to look after; conda-pack packs whole environments of conda.
"""

from __future__ import annotations

import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import cache_from_source, find_spec
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from daskflow.core.errors import ClusterError

SMALL_EXTRAS = ("optuna", "sql", "shap", "http")
"""Extras whose packages come along where they are installed: they are imported late, and weigh little."""

LARGE_EXTRAS = {"xgboost", "lightgbm", "catboost", "onnx", "mlflow"}
"""Extras whose packages come along where they are imported: the check of a workflow imports what its model needs."""

UNTESTED = frozenset(
    {"numpy", "scipy", "pandas", "scikit-learn", "pyarrow", "numba", "dask", "distributed", "dask-ml", "llvmlite"}
)
"""Packages whose folders called ``tests`` stay here: they are a third of the files, and nothing imports them."""

OWN_BYTES = 200 * 2**20
"""A module from elsewhere may weigh so much: a folder with data is not packed by mistake."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of an environment.

    Attributes
    ----------
    files : dict of str to Path
        Files here by their place in the environment, such as ``site/numpy/__init__.py``; in order.
    packages : dict of str to str
        Version of each package; of a module from elsewhere the folder that it comes from.
    digest : str
        Of names, versions, records and sizes; of modules from elsewhere of every byte.
    """

    files: dict[str, Path]
    packages: dict[str, str]
    digest: str

    @property
    def size_bytes(self) -> int:
        """Of all files, unpacked."""
        return sum(file.stat().st_size for file in self.files.values())


def contents(more: Sequence[str] = (), python: Path | None = None) -> Contents:
    """Return what is shipped.

    Parameters
    ----------
    more : sequence of str
        Further packages by the names that pip knows, or modules by the names that ``import`` does.
    python : Path, optional
        Prefix of an interpreter that comes along; see `shipping_python`.

    Raises
    ------
    ClusterError
        When a package is not installed here, or a module is no file.
    """
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    parts = Parts()
    for distribution_ in closure(more, loaded):
        parts.add_distribution(distribution_)
    for name in sorted(loaded | _modules_among(more)):
        if is_own(name) and not parts.has_module(name):
            parts.add_module(name)
    if python is not None:
        parts.add_python(python)
    return parts.contents()


def closure(more: Sequence[str], loaded: set[str]) -> list[Distribution]:
    """Return the installed packages that daskflow and further ones need, in the order of their names.

    Parameters
    ----------
    more : sequence of str
        Names of packages, with extras where they are wanted (``"fsspec[s3]"``); names of modules are left to others.
    loaded : set of str
        Names of modules that are imported: an extra of daskflow that is among them is needed.
    """
    extras = {*SMALL_EXTRAS, *(LARGE_EXTRAS & loaded)}
    waiting = [Requirement(f"daskflow[{','.join(sorted(extras))}]")]
    waiting += [Requirement(name) for name in more if name not in _modules_among(more)]
    asked = {canonicalize_name(each.name) for each in waiting}
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        try:
            found.setdefault(name, distribution(need.name))
        except PackageNotFoundError as error:
            if name in asked:
                raise ClusterError(
                    f"The package '{need.name}' cannot be shipped, since it is not installed in {sys.prefix}. "
                    f"Install it here, or correct cluster.ship_packages."
                ) from error
            continue  # an extra that is not installed, or a need that this environment does without
        for extra in {"", *need.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in found[name].requires or ():
                child = Requirement(text)
                if child.marker is None or child.marker.evaluate({"extra": extra}):
                    waiting.append(child)
    return [found[name] for name in sorted(found)]


def _modules_among(more: Sequence[str]) -> set[str]:
    """Those of further names that are no package of pip's but can be imported."""
    modules = set()
    for name in more:
        if name.isidentifier():
            try:
                distribution(name)
            except PackageNotFoundError:
                if is_own(name):
                    modules.add(name)
    return modules


def is_own(name: str) -> bool:
    """Whether a module at the top is neither Python's own nor installed: it comes from a folder of somebody's."""
    if name in ("__main__", "__mp_main__") or name in sys.stdlib_module_names:
        return False
    installed = _installed()
    return any(not _is_under(place, installed) for place in places_of(name))


def places_of(name: str) -> list[Path]:
    """Return the folders of a package, or the file of a module; empty for one that has neither."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(place).resolve() for place in spec.submodule_search_locations if Path(place).is_dir()]
    file = Path(spec.origin or "")
    return [file.resolve()] if file.is_file() and file.suffix in (".py", ".so") else []


@cache
def _installed() -> list[Path]:
    """Folders of what is installed, and of Python's own modules."""
    paths = [*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()]
    shipped = os.environ.get("DASKFLOW_COPY")
    known = {Path(path).resolve() for path in paths if path} - {Path(sys.prefix), Path(sys.base_prefix)}
    return [*known, *([Path(shipped).resolve()] if shipped else [])]


def _is_under(place: Path, folders: Sequence[Path]) -> bool:
    return any(place.is_relative_to(folder) for folder in folders)


class Parts:
    """Collects files, and what tells this collection from another."""

    def __init__(self) -> None:
        """Begin with nothing but what every environment has: the file that starts a module in it."""
        self._files: dict[str, Path] = {"start.py": Path(__file__).with_name("shipped_start.py")}
        self._packages: dict[str, str] = {}
        self._hash = hashlib.sha256(f"1 {sysconfig.get_config_var('SOABI')}\n".encode())
        self._note_bytes("start.py")

    def add_distribution(self, found: Distribution) -> None:
        """Add an installed package: its record says which files, unless it is only a link to a folder."""
        name, version = found.metadata["Name"], found.version
        self._packages[name] = version
        root = Path(str(found.locate_file(""))).resolve()
        recorded = [PurePosixPath(str(file)) for file in found.files or ()]
        self._hash.update(f"{name} {version}\n{found.read_text('RECORD') or ''}".encode())
        for module in _modules_of(found, recorded):
            if (places := places_of(module)) and not _is_under(places[0], [root]):
                # Editable, or another copy stands before it in PYTHONPATH: what is imported is what is shipped.
                self.add_module(module)
                recorded = [file for file in recorded if file.parts[0] not in (module, f"{module}.py")]
        skipped = {"tests"} if canonicalize_name(name) in UNTESTED else set()
        for file in recorded:
            is_inside = ".." not in file.parts and not file.is_absolute()
            if not is_inside or skipped & set(file.parts) or file.suffix in (".pth", ".pyc") or _is_finder(file):
                continue
            self._add(f"site/{file}", root / file, by_bytes=False)

    def has_module(self, name: str) -> bool:
        """Whether a module at the top is there."""
        return any(f"site/{name}{end}" in self._files for end in ("/__init__.py", ".py", *EXTENSION_SUFFIXES))

    def add_module(self, name: str) -> None:
        """Add a module from elsewhere: its file, or all of its folder."""
        for place in places_of(name):
            self._packages[name] = str(place)
            files = [place] if place.is_file() else list(_files_below(place))
            if sum(file.stat().st_size for file in files) > OWN_BYTES:
                raise ClusterError(
                    f"The module '{name}' in {place} is over {OWN_BYTES // 2**20} MiB, so it is not shipped to the "
                    "nodes: keep data in another folder than code."
                )
            for file in files:
                inner = file.name if place.is_file() else f"{name}/{file.relative_to(place).as_posix()}"
                self._add(f"site/{inner}", file, by_bytes=True)

    def add_python(self, prefix: Path) -> None:
        """Add an interpreter: its program, its library, its own modules without tests."""
        self._packages["python"] = str(prefix)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self._add(f"python/bin/{version}", prefix / "bin" / version, by_bytes=False)
        for file in sorted((prefix / "lib").glob("*.so*")):
            self._add(f"python/lib/{file.name}", file, by_bytes=False)
        library = prefix / "lib" / version
        unused = ("site-packages", "test", "idlelib", "ensurepip", "turtledemo", "tkinter", "lib2to3")
        for file in _files_below(library):
            inner = file.relative_to(library)
            if inner.parts[0] not in unused and not inner.parts[0].startswith("config-"):
                self._add(f"python/lib/{version}/{inner.as_posix()}", file, by_bytes=False)

    def contents(self) -> Contents:
        """Return what was collected."""
        ordered = {place: self._files[place] for place in sorted(self._files)}
        return Contents(ordered, self._packages, self._hash.hexdigest())

    def _add(self, place: str, file: Path, *, by_bytes: bool) -> None:
        """Add a file once, and its compiled form, which spares every node the compiling."""
        if place in self._files or not file.is_file():
            return
        self._files[place] = file
        if by_bytes:
            self._note_bytes(place)
        else:
            known = file.stat()
            self._hash.update(f"{place} {known.st_size} {known.st_mtime_ns}\n".encode())
        if file.suffix == ".py":
            compiled = Path(cache_from_source(str(file)))
            if compiled.is_file():
                inner = PurePosixPath(place).parent / "__pycache__" / compiled.name
                self._files[str(inner)] = compiled

    def _note_bytes(self, place: str) -> None:
        self._hash.update(place.encode() + hashlib.sha256(self._files[place].read_bytes()).digest())


def _modules_of(found: Distribution, recorded: Sequence[PurePosixPath]) -> set[str]:
    """Names that can be imported of a package: by its own list, or by its record."""
    said = (found.read_text("top_level.txt") or "").split()
    by_record = {
        file.parts[0].removesuffix(".py") for file in recorded if file.suffix == ".py" and not _is_finder(file)
    }
    names = {name for name in {*said, *by_record} if name.isidentifier()}
    if names:
        return names
    name = found.metadata["Name"]
    listed = {module for module, owners in packages_distributions().items() if name in owners}
    return {module for module in listed if module.isidentifier()} or {name.replace("-", "_")}


def _is_finder(file: PurePosixPath) -> bool:
    """Whether a file only leads to an editable installation."""
    return len(file.parts) == 1 and file.name.startswith(("__editable__", "_editable_"))


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file of a package's folder, in order; none that is hidden or compiled."""
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (Path(path) / name for name in sorted(files) if not name.startswith(".") and name[-4:] != ".pyc")
