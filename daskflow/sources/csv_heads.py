"""Headers of CSV files: each is read and compared before anything else, and columns are renamed to agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.sources.csv_coding import as_text, coding_of
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_text import HEAD_BYTES, Head, head_of, records, text_of
from daskflow.sources.csv_unpacking import Packing, beginning, check_beginning, packing_of
from daskflow.sources.opening import listed
from daskflow.sources.reading import FoundFile, open_file

FIRST_BYTES = 1 << 16
"""What is read of every file to see its header; more only where that is not enough."""

SHOWN_FILES = 5


@dataclass(frozen=True, slots=True)
class FoundText:
    """A file, how it is compressed, and how its text begins.

    Attributes
    ----------
    file : FoundFile
        The file.
    packing : str
        How it is compressed.
    head : Head
        Its columns.
    is_ended : bool
        Whether its last line has an end, as far as that can be seen without unpacking the file.
    """

    file: FoundFile
    packing: Packing
    head: Head
    is_ended: bool = True


def heads_of(
    files: Sequence[FoundFile], dialect: Dialect, encoding: str | None = None, compression: str = "infer"
) -> list[FoundText]:
    """Read every header.

    Parameters
    ----------
    files : sequence of FoundFile
        In order.
    dialect : Dialect
        How cells are written.
    encoding, compression : str or None
        As the user said.

    Raises
    ------
    DataError
        With all the files that have none, and those that are no CSV at all.
    """
    found: list[FoundText] = []
    problems: list[str] = []
    known: dict[bytes, Head] = {}
    for file in files:
        try:
            found.append(_head_from(file, dialect, encoding, packing_of(file, compression), known))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join([*problems[:SHOWN_FILES], *more(len(problems))]))
    return found


def _head_from(
    file: FoundFile, dialect: Dialect, encoding: str | None, packing: Packing, known: dict[bytes, Head]
) -> FoundText:
    """Read a file's header; one that begins with the very bytes of a header seen before has that one."""
    data = beginning(file, FIRST_BYTES, packing)
    is_whole = len(data) < FIRST_BYTES
    for begins, head in known.items():
        if data.startswith(begins):
            return FoundText(file, packing, head, _is_ended(file, data, packing, is_whole=is_whole))
    check_beginning(file, data, packing)
    coding = coding_of(data, encoding, file.name)
    text = as_text(data, coding, file.name, is_whole=is_whole)
    if not is_whole and next(records(text_of(text), dialect, file.name, is_whole=False), None) is None:
        data = beginning(file, HEAD_BYTES, packing)
        is_whole = len(data) < HEAD_BYTES
        text = as_text(data, coding, file.name, is_whole=is_whole)
    head = head_of(text, coding, dialect, file.name, is_whole=is_whole)
    begins = data[: coding.mark_bytes + head.skip]
    if dialect.header and coding.keeps_ascii and begins.endswith(b"\n") and not known:
        known[begins] = head
    return FoundText(file, packing, head, _is_ended(file, data, packing, is_whole=is_whole))


def _is_ended(file: FoundFile, data: bytes, packing: Packing, *, is_whole: bool) -> bool:
    """Whether the last line has an end."""
    if packing == "none" and not is_whole:
        with open_file(file) as opened:
            opened.seek(max(0, file.size_bytes - 2))
            data = opened.read(2)
    elif not is_whole:
        return True
    return data.endswith((b"\n", b"\r", b"\n\0", b"\r\0"))


def more(count: int) -> list[str]:
    """Return a sentence for the files that are not shown."""
    return [f"{count - SHOWN_FILES} more files have such problems."] if count > SHOWN_FILES else []


def renamed(found: Sequence[FoundText], rename: Mapping[str, str]) -> list[FoundText]:
    """Return the files with columns renamed: by their name, or by the first pattern such as ``"*_MW"`` that fits.

    Raises
    ------
    DataError
        For a name or pattern that no file has.
    """
    unused, new_heads = set(rename), dict[tuple[str, ...], tuple[str, ...]]()
    for names in dict.fromkeys(one.head.names for one in found):
        new_names = []
        for name in names:
            word = name if name in rename else next((word for word in rename if fnmatchcase(name, word)), None)
            unused.discard(word or "")
            new_names.append(name if word is None else rename[word])
        new_heads[names] = tuple(new_names)
    if unused:
        word, known = min(unused), {name for names in new_heads for name in names}
        raise DataError(f"rename names '{word}': no file has such a column{nearest(word, known)}")
    return _with_names(found, new_heads)


def named(found: Sequence[FoundText], names: Sequence[str]) -> list[FoundText]:
    """Return the files with names in place of those of their headers."""
    return _with_names(found, {one.head.names: tuple(names) for one in found})


def _with_names(found: Sequence[FoundText], names: Mapping[tuple[str, ...], tuple[str, ...]]) -> list[FoundText]:
    """The files under other names; files that share a head go on sharing one."""
    heads: dict[int, Head] = {}
    for one in found:
        if id(one.head) not in heads:
            heads[id(one.head)] = replace(one.head, names=names[one.head.names])
    return [replace(one, head=heads[id(one.head)]) for one in found]


def check_headers(found: Sequence[FoundText]) -> None:
    """Refuse names that stand twice, and headers with other names than the first; the order may differ.

    Raises
    ------
    DataError
        By file and line, with what is lacking and what is not expected.
    """
    problems: list[str] = []
    for one in {id(one.head): one for one in reversed(found)}.values():
        own, where = one.head, f"{one.file.name}, line {one.head.line}"
        nameless = sum(name.startswith("Unnamed: ") for name in own.names)
        if nameless > 1 and nameless > len(own.names) / 2:
            problems.append(
                f"{where}: {nameless} of {len(own.names)} columns have no name. Set skip_rows to the number of lines "
                "before the header, or names = [...] for all columns."
            )
        repeated = [name for name, count in Counter(own.names).items() if count > 1]
        if repeated:
            problems.append(
                f"{where}: these columns stand twice: {listed(repeated)}. Rename them in the file, or give "
                "names = [...] with header = true; if the row is data, set header = false."
            )
    if problems:
        raise DataError("\n".join([*problems[:SHOWN_FILES], *more(len(problems))]))
    first = found[0]
    known = set(first.head.names)
    differing = [one for one in found if one.head is not first.head and set(one.head.names) != known]
    if differing:
        raise DataError(
            "\n".join(
                [
                    f"The headers differ. {first.file.name} has {listed(first.head.names)}.",
                    *(_difference(one, first.head) for one in differing[:SHOWN_FILES]),
                    *more(len(differing)),
                    "Give all files the same header; rename what is one column under several names, as in "
                    f"rename = {{ {_example(first.head, differing)} }}; replace the headers with header = true and "
                    "names = [...]; or read the files apart.",
                ]
            )
        )


def _example(head: Head, differing: Sequence[FoundText]) -> str:
    """What could stand in ``rename``."""
    own = differing[0].head.names
    lacking = [name for name in head.names if name not in own] or ["NAME"]
    extra = [name for name in own if name not in head.names] or ["OTHER"]
    return f'"{extra[0]}" = "{lacking[0]}"'


def _difference(one: FoundText, head: Head) -> str:
    """What a file's header lacks and has, beside the first one."""
    lacking = [name for name in head.names if name not in one.head.names]
    extra = [name for name in one.head.names if name not in head.names]
    parts = [f"lacks {listed(lacking)}" if lacking else "", f"has {listed(extra)}" if extra else ""]
    return f"{one.file.name}, line {one.head.line}: {'; '.join(part for part in parts if part)}."


def note_on_ends(found: Sequence[FoundText]) -> list[str]:
    """Say which files may have been cut in their last line."""
    cut = [one.file.name for one in found if not one.is_ended]
    if not cut:
        return []
    return [
        f"the last line of {listed(cut, 3)} has no end; it is read as it is, but a file that was cut while it was "
        "copied looks like this, and 999000 may have become 9990. Compare its size with the original's"
    ]
