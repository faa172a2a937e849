"""What the operating system knows of the disk below a directory.

File system types come from the mount table: Python has no statfs that tells them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .files import COMMIT_LOCK, OWN_FOLDER

NETWORK_TYPES = frozenset(
    "nfs nfs4 cifs smb3 9p ceph lustre gpfs beegfs afs glusterfs fuse.sshfs fuse.glusterfs".split()
)

ROOM_KEPT_BYTES = 1024 * 1024
"""Left free for the catalogue and for names when an upload's room is reckoned."""


def file_system_type(path: Path) -> str:
    """Name the file system that a path lies on ("ext4", "nfs4", ..), or "unknown"."""
    try:
        device = os.stat(path).st_dev
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0]
    return "unknown"


def is_network(path: Path) -> bool:
    """Tell whether a path lies on a network file system."""
    return file_system_type(path) in NETWORK_TYPES


def has_room(path: str, size: int) -> bool:
    """Tell whether `size` more bytes fit beside what is there; True where nobody can tell."""
    try:
        return _available(path) >= size + ROOM_KEPT_BYTES
    except OSError:
        return True


def free_bytes(path: str | Path) -> int:
    """Tell how many more bytes fit beside what is there. Raises: OSError."""
    return max(0, _available(path) - ROOM_KEPT_BYTES)


def _available(path: str | Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write bytes to the last one: a single write may take fewer."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def follow_group(directory: str) -> None:
    """Let this process make files for the directory's group, where the group may write it.

    Servers of several users share such a directory, and with it the files we keep in it.
    """
    if os.stat(directory).st_mode & stat.S_IWGRP:
        os.umask(os.umask(0o077) & ~0o070)


def unwritable_of(directory: Path) -> Path | None:
    """Name what of a directory, and of what we keep in it, this user may not write; None if all."""
    own = directory / OWN_FOLDER
    paths = (directory, own, own / "tmp", own / COMMIT_LOCK, own / "promises", own / "catalogue.sqlite")
    return next((path for path in paths if path.exists() and not os.access(path, os.W_OK)), None)
