"""What a directory is, before one serves it. This only reads.

Counting everything takes as long as listing everything; the estimate looks at a few folders.
"""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..checksums import CHECKSUM_DIGITS, Algorithm
from ..errors import FormatConflict
from ..settings import Layout
from .files import OWN_FOLDER, parse_name
from .filesystem import file_system_type, unwritable_of
from .format import Detected, Format, detect
from .layout import VAULT_FOLDERS

SAMPLED_FOLDERS = 8
SAMPLED_FILES = 500
ENTRIES_ESTIMATED_FROM = 20_000

Folders = Iterable[Path]
Progress = Callable[[list[Path]], Folders]


@dataclass
class Survey:
    """A directory as it is found. `buffers` and `size` (bytes) are estimates unless `exact`."""

    directory: Path
    format: Format | None = None
    recorded: bool = False
    sampled: int = 0
    matching: int = 0
    owner: int = -1
    group: int = -1
    mode: int = 0
    file_system: str = "unknown"
    buffers: int = 0
    size: int = 0
    exact: bool = False
    stale_locks: int = 0
    temps: int = 0
    quarantined: int = 0
    obstacles: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def survey(directory: Path, *, full: bool, lock_timeout_s: float, progress: Progress) -> Survey:
    """Look a directory over; `progress` is passed the folders that are counted, and passes them on."""
    found = Survey(directory)
    if not directory.is_dir():
        found.obstacles.append(f"{directory} is not a directory")
        return found
    if not os.access(directory, os.R_OK | os.X_OK):
        found.obstacles.append(f"user {os.getuid()} may not read {directory}")
        return found
    status = directory.stat()
    found.owner, found.group, found.mode = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
    found.file_system = file_system_type(directory)
    try:
        detected = detect(directory)
    except FormatConflict as error:
        found.obstacles.append(str(error))
        return found
    _judge_format(found, detected)
    folders = _folders(directory, detected.layout)
    count = _count if full else _estimate
    count(found, folders, lock_timeout_s, progress)
    if directory not in folders:
        found.stale_locks += _stale_locks(directory, [".LOCK"], lock_timeout_s)
    found.temps = len(_entries(directory / OWN_FOLDER / "tmp", 1000))
    found.quarantined = len(_entries(directory / OWN_FOLDER / "quarantine", 1000))
    unwritable = unwritable_of(directory)
    if unwritable is not None:
        found.remarks.append(f"user {os.getuid()} may not write {unwritable}: no --writable")
    return found


def _judge_format(found: Survey, detected: Detected) -> None:
    found.recorded = detected.recorded is not None
    found.sampled, found.matching = detected.sampled, detected.matching
    layout = detected.recorded.layout if detected.recorded else detected.layout
    algorithm = detected.recorded.algorithm if detected.recorded else detected.algorithm
    if layout is None and detected.holds_flat:
        found.obstacles.append(
            "it holds buffers both flat and in prefix folders: say --layout flat or --layout prefix"
        )
    elif detected.holds_flat and layout is Layout.PREFIX:
        found.remarks.append("flat buffers beside the prefix folders will not be served")
    if detected.sampled and not detected.matching and not detected.recorded:
        found.obstacles.append(
            f"none of {detected.sampled} buffers looked at hashes to its name, by any algorithm known"
        )
    elif detected.matching < detected.sampled:
        broken = detected.sampled - detected.matching
        found.remarks.append(f"{broken} of {detected.sampled} buffers looked at are corrupt")
    if layout is not None:
        found.format = Format(algorithm or Algorithm.SHA3_256, layout)


def _folders(directory: Path, layout: Layout | None) -> list[Path]:
    """Name the folders that hold buffers, the directory itself first if it is one of them."""
    if layout is Layout.VAULT:
        return [directory / folder for folder in VAULT_FOLDERS]
    prefixes = [directory / f"{number:02x}" for number in range(256)]
    prefixes = [folder for folder in prefixes if folder.is_dir()]
    if layout is Layout.PREFIX:
        return prefixes
    return [directory] if layout is Layout.FLAT else [directory, *prefixes]


def _count(found: Survey, folders: list[Path], lock_timeout_s: float, progress: Progress) -> None:
    found.exact = True
    for folder in progress(folders):
        names = list(_names(folder))
        buffers = [name for name in names if parse_name(name)]
        found.buffers += len({name[:CHECKSUM_DIGITS] for name in buffers})
        found.size += sum(_size(folder / name) for name in buffers)
        found.stale_locks += _stale_locks(folder, names, lock_timeout_s)


def _estimate(found: Survey, folders: list[Path], lock_timeout_s: float, _: Progress) -> None:
    """Look at the directory itself, where it holds buffers, and at some of its folders."""
    itself = [folder for folder in folders if folder == found.directory]
    others = [folder for folder in folders if folder != found.directory]
    sample = random.sample(others, min(SAMPLED_FOLDERS, len(others)))
    found.exact = len(sample) == len(others)
    for group, share in ((itself, 1.0), (sample, len(others) / max(1, len(sample)))):
        for folder in group:
            _estimate_folder(found, folder, share, lock_timeout_s)


def _estimate_folder(found: Survey, folder: Path, share: float, lock_timeout_s: float) -> None:
    names = _entries(folder, ENTRIES_ESTIMATED_FROM)
    buffers = [name for name in names if parse_name(name)]
    sizes = [_size(folder / name) for name in buffers[:SAMPLED_FILES]]
    found.stale_locks += _stale_locks(folder, names, lock_timeout_s)
    if len(names) == ENTRIES_ESTIMATED_FROM:
        found.remarks.append(f"a folder has more than {len(names)} entries: --full counts them")
    found.exact &= len(sizes) == len(buffers) and len(names) < ENTRIES_ESTIMATED_FROM
    found.buffers += round(len({name[:CHECKSUM_DIGITS] for name in buffers}) * share)
    found.size += round(sum(sizes) * len(buffers) / max(1, len(sizes)) * share)


def _stale_locks(folder: Path, names: list[str], lock_timeout_s: float) -> int:
    return sum(_is_stale(folder / name, lock_timeout_s) for name in names if name.endswith(".LOCK"))


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        return


def _entries(folder: Path, limit: int) -> list[str]:
    return [name for name, _ in zip(_names(folder), range(limit), strict=False)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_stale(lock: Path, lock_timeout_s: float) -> bool:
    try:
        return time.time() - lock.stat().st_mtime > lock_timeout_s
    except OSError:
        return False
