"""What the operating system knows of the disk below a directory.

File system types come from the mount table: Python has no statfs that tells them.
"""

from __future__ import annotations

import os
from pathlib import Path

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
        status = os.statvfs(path)
    except OSError:
        return True
    return status.f_bavail * status.f_frsize >= size + ROOM_KEPT_BYTES


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: str, data: bytes, *, fsync: bool) -> None:
    """Put a small file in place whole or not at all."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            if fsync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        _unlink_quietly(temporary)
        raise
    if fsync:
        sync_folder(os.path.dirname(path))


def _unlink_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
