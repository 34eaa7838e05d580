"""Mounts: of what kind a folder's file system is, and whether a lock taken there holds on other machines too."""

from __future__ import annotations

import errno
import re
from pathlib import Path

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems answer that cannot lock."""

OF_ONE_MACHINE = frozenset(
    ["bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"]
)
"""No other machine sees them, as a rule."""

OF_MANY_MACHINES = frozenset(["ceph", "cifs", "gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3"])
"""Their ``flock`` holds on all machines, unless a mount option says otherwise."""

HERE_ONLY = frozenset(["local_lock=all", "local_lock=flock", "localflock", "nobrl", "nolock"])
"""Mount options that keep a lock to the machine that took it: see nfs(5), mount.lustre(8), mount.cifs(8)."""


def about_locks(path: Path, mounts: str | None = None) -> str:
    """Say why a lock on a file may not hold on other machines; empty where it does.

    Parameters
    ----------
    path : Path
        Absolute.
    mounts : str, optional
        As ``/proc/self/mountinfo`` has them; default: that file. Without it nothing is known, and nothing said.

    Examples
    --------
    >>> table = "1 0 0:9 / / rw - ext4 /dev/a rw\\n2 1 0:8 / /home rw - nfs4 a:/home rw,local_lock=all"
    >>> about_locks(Path("/var/run"), table)
    ''
    >>> about_locks(Path("/home/me/runs"), table)
    '/home is nfs4, mounted with local_lock=all'
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return ""
    place, kind, options = _mount_of(path, mounts)
    if not kind or kind in OF_ONE_MACHINE:
        return ""
    if kind == "lustre" and "flock" not in options and not HERE_ONLY & options:
        return f"{place} is lustre, mounted without flock"
    if kind in OF_MANY_MACHINES:
        found = sorted(HERE_ONLY & options)
        return f"{place} is {kind}, mounted with {found[0]}" if found else ""
    return f"{place} is {kind}, whose locks are not known to hold on several machines"


def _mount_of(path: Path, mounts: str) -> tuple[str, str, set[str]]:
    """Mount point, kind and options of the file system a path is on: of the longest point, the last."""
    best: tuple[str, str, set[str]] = "", "", set()
    for line in mounts.splitlines():
        mine, _, filesystem = line.partition(" - ")
        before, after = mine.split(), filesystem.split()
        if len(before) < 6 or len(after) < 3:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), before[4])
        if path.is_relative_to(place) and len(place) >= len(best[0]):
            best = place, after[0], {*before[5].split(","), *after[2].split(",")}
    return best
