"""Groups: partitions that become one block, by its key, and groups that one unit scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daskflow.core.seeds import digest
from daskflow.data.table import Expecting, Partition

GROUP_BYTES, GROUP_FILES = 16 << 20, 64
"""Small partitions that follow each other are one block up to so many bytes in memory, and so many partitions."""

BUNDLE = 4
"""Groups of a store that one unit scans after each other: the bytes of the next come while one is worked on."""


@dataclass(frozen=True, slots=True)
class Group:
    """Partitions that become one block: one of usual size, or many small ones."""

    key: str
    partitions: tuple[Partition, ...]

    @property
    def is_far(self) -> bool:
        """Whether all of it comes over a network."""
        return all(isinstance(each, Expecting) and each.is_far for each in self.partitions)

    def expect(self) -> None:
        """Ask for its bytes; many small files of this machine are read as quickly as they are asked for."""
        if len(self.partitions) == 1 or self.is_far:
            for partition in self.partitions:
                if isinstance(partition, Expecting):
                    partition.expect()


def grouped(partitions: Sequence[Partition], keys: Sequence[str]) -> list[Group]:
    """Put small partitions that follow each other together; the same on every cluster, for blocks are shared."""
    groups: list[list[int]] = []
    held = 0
    for place, partition in enumerate(partitions):
        size = partition.n_bytes
        fits = groups and size and held and held + size <= GROUP_BYTES and len(groups[-1]) < GROUP_FILES
        if fits and partition.graph is None:
            groups[-1].append(place)
            held += size
        else:
            groups.append([place])
            held = size if partition.graph is None else 0
    return [
        Group(
            keys[group[0]] if len(group) == 1 else digest([keys[place] for place in group], 24),
            tuple(partitions[place] for place in group),
        )
        for group in groups
    ]


def bundled(groups: Sequence[Group], places: Sequence[int], slots: int) -> list[list[int]]:
    """Cut what is to be scanned into units: a group each, or some that come from a store over the network."""
    most = max(1, min(BUNDLE, len(places) // (2 * slots)))
    bundles: list[list[int]] = []
    for place in places:
        if bundles and len(bundles[-1]) < most and groups[place].is_far and groups[bundles[-1][-1]].is_far:
            bundles[-1].append(place)
        else:
            bundles.append([place])
    return bundles


def file_of(partition: Partition) -> str:
    """Name of the file that a partition is, or is a piece of."""
    return partition.fingerprint.name.partition("#")[0]


def key_of(token: str, partition: Partition, copy: int, pieces: int) -> str:
    """Name of a partition's block: how it is made, and what from, of how many pieces of its file."""
    seen = partition.fingerprint
    return digest([token, seen.name, seen.size_bytes, partition.n_bytes, copy, pieces], 24)
