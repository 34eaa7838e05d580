"""Files of a model folder and their checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from daskflow.core.errors import BundleError

MODEL = "model.skops"
PREPROCESSOR = "preprocessor.json"
SCHEMA = "schema.json"
DECISION = "decision.json"
CARD = "card.json"
CARD_TEXT = "card.md"
REQUIREMENTS = "requirements.txt"
CHECKSUMS = "SHA256SUMS"

CURRENT = "current"
"""In the folder of a stream that learns: the model folder of the one that answers, by its path from there."""

ESTIMATOR = "estimator.json"
"""What a boosting library's own file does not say of the estimator around it."""

NATIVE = ("model.xgboost.json", "model.lightgbm.txt", "model.catboost.cbm")
"""Estimators in their libraries' own formats, each beside an `ESTIMATOR`."""

COMMON = (CARD, CARD_TEXT, DECISION, PREPROCESSOR, REQUIREMENTS, SCHEMA)
"""What every model folder holds besides its estimator and its checksums."""

PARTS = tuple(sorted((*COMMON, MODEL)))
"""What the folder of a scikit-learn estimator holds besides its checksums."""

FIRST_PARTS = (CARD, MODEL, PREPROCESSOR, SCHEMA)
"""The same in format 1."""

LAYOUTS = (PARTS, *(tuple(sorted((*COMMON, ESTIMATOR, name))) for name in NATIVE), FIRST_PARTS)
"""Sets of files that make a model."""

JOIN = re.compile(r"join-\d+\.arrow")
"""Small tables, if any, that rows were joined to in training, and new ones are joined to in scoring."""

FORMAT = 2
"""Number of the layout; a later daskflow that changes it counts on."""

READ = (1, 2)
"""Layouts that this daskflow reads. Format 1 had one model file, and no decision."""

LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
"""A line of ``sha256sum``."""


def checksums(contents: Mapping[str, bytes]) -> bytes:
    """Return the text that ``sha256sum -c`` reads.

    Examples
    --------
    >>> checksums({"a": b""})[:12]
    b'e3b0c44298fc'
    """
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(contents.items())]
    return "".join(lines).encode()


def find(path: Path) -> Path:
    """Return the model folder that a user means: itself, a run's, that of the latest run of a name, or a stream's.

    The folder of a stream that learns names the model that answers in its file ``current``.

    Raises
    ------
    BundleError
        When there is none.
    """
    if not path.exists():
        raise BundleError(f"There is no {path}. Give a model folder or the folder of a finished run.")
    latest = path / "latest"
    run = path / latest.read_text().strip() if latest.is_file() else path
    current = path / CURRENT
    of_stream = [path / current.read_text().strip()] if current.is_file() else []
    for folder in (path, run / "model", *of_stream):
        if (folder / CHECKSUMS).is_file():
            return folder
    if any((path / name).exists() for name in (MODEL, *NATIVE)):
        raise BundleError(
            f"{path} has no {CHECKSUMS}, so nothing says that its files are whole. Write the model again."
        )
    raise BundleError(
        f"{path} holds no model: there is no {CHECKSUMS} in it, nor in model/ below it. "
        "Give a model folder or the folder of a finished run."
    )


def read(folder: Path) -> dict[str, bytes]:
    """Read every file of a model folder once, and check it against its sum; what is checked is what is used.

    Raises
    ------
    BundleError
        Naming every file that is changed, missing, or not one of the model's.
    """
    expected = _expected(folder)
    found = sorted(item.name for item in folder.iterdir() if item.name != CHECKSUMS)
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is not one of the model's files" for name in found if name not in expected]
    contents: dict[str, bytes] = {}
    for name, digest in expected.items():
        path = folder / name
        if name not in found:
            continue
        if path.is_symlink() or not path.is_file():
            wrong.append(f"{name} is not a plain file")
            continue
        contents[name] = path.read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            wrong.append(f"{name} was changed after it was written")
    if wrong:
        raise BundleError(f"{folder} is not the model that was written: {'; '.join(wrong)}. Copy or write it again.")
    return contents


def _expected(folder: Path) -> dict[str, str]:
    """File names and their sums, from the folder's SHA256SUMS."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise BundleError(f"{folder / CHECKSUMS} is not text; the model folder is damaged.") from None
    expected: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = LINE.fullmatch(line)
        if match is None or match[2] in expected:
            raise BundleError(f"{folder / CHECKSUMS}, line {number} is not a checksum: {line[:80]!r}.")
        expected[match[2]] = match[1]
    if tuple(sorted(name for name in expected if not JOIN.fullmatch(name))) not in LAYOUTS:
        raise BundleError(
            f"{folder / CHECKSUMS} lists {', '.join(sorted(expected)) or 'nothing'}; "
            f"a model is {', '.join(COMMON)} and {MODEL}, or {ESTIMATOR} and one of {', '.join(NATIVE)}. "
            "Write the model again."
        )
    return expected


def model_of(names: Iterable[str]) -> str:
    """Return which of a folder's files is the estimator.

    Examples
    --------
    >>> model_of(["card.json", "model.lightgbm.txt"])
    'model.lightgbm.txt'
    """
    return next(name for name in (MODEL, *NATIVE) if name in set(names))
