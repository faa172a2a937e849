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

from ..checksums import Algorithm
from ..errors import FormatConflict
from ..settings import Layout
from .files import OWN_FOLDER, parse_name
from .filesystem import file_system_type
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
    found.temps = len(_entries(directory / OWN_FOLDER / "tmp", 1000))
    found.quarantined = len(_entries(directory / OWN_FOLDER / "quarantine", 1000))
    if not os.access(directory, os.W_OK):
        found.remarks.append(f"user {os.getuid()} may not write it: --writable would be refused")
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
    if detected.sampled and not detected.matching:
        found.obstacles.append(
            f"none of {detected.sampled} buffers looked at hashes to its name, by any algorithm known"
        )
    elif detected.matching < detected.sampled:
        broken = detected.sampled - detected.matching
        found.remarks.append(f"{broken} of {detected.sampled} buffers looked at are corrupt")
    if layout is not None:
        found.format = Format(algorithm or Algorithm.SHA3_256, layout)


def _folders(directory: Path, layout: Layout | None) -> list[Path]:
    if layout is Layout.VAULT:
        return [directory / folder for folder in VAULT_FOLDERS]
    if layout is Layout.FLAT:
        return [directory]
    prefixes = [directory / f"{number:02x}" for number in range(256)]
    return [folder for folder in prefixes if folder.is_dir()] if layout else [directory, *prefixes]


def _count(found: Survey, folders: list[Path], lock_timeout_s: float, progress: Progress) -> None:
    found.exact = True
    for folder in progress(folders):
        names = set()
        for name in _names(folder):
            named = parse_name(name)
            found.stale_locks += _is_stale_lock(folder / name, lock_timeout_s)
            if named is None:
                continue
            names.add(named[0])
            found.size += _size(folder / name)
        found.buffers += len(names)
    found.stale_locks += _is_stale_lock(found.directory / ".LOCK", lock_timeout_s)


def _estimate(found: Survey, folders: list[Path], lock_timeout_s: float, _: Progress) -> None:
    sample = random.sample(folders, min(SAMPLED_FOLDERS, len(folders)))
    counted = looked_at = size = 0
    for folder in sample:
        names = _entries(folder, ENTRIES_ESTIMATED_FROM)
        buffers = [name for name in names if parse_name(name)]
        counted += len(buffers)
        found.stale_locks += sum(_is_stale_lock(folder / n, lock_timeout_s) for n in names)
        for name in buffers[:SAMPLED_FILES]:
            looked_at += 1
            size += _size(folder / name)
        if len(names) == ENTRIES_ESTIMATED_FROM:
            found.remarks.append("a folder is too long to be estimated from: --full counts it")
    share = len(folders) / len(sample) if sample else 0
    found.exact = len(sample) == len(folders) and looked_at == counted < ENTRIES_ESTIMATED_FROM
    found.buffers = round(counted * share)
    found.size = round(found.buffers * size / looked_at) if looked_at else 0


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


def _is_stale_lock(path: Path, lock_timeout_s: float) -> bool:
    if not path.name.endswith(".LOCK"):
        return False
    try:
        return time.time() - path.stat().st_mtime > lock_timeout_s
    except OSError:
        return False
