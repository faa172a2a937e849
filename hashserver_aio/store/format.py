"""What format a directory has: recorded with its first write, detected before that.

A directory is never reinterpreted: a start with other options than its format is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..checksums import Algorithm, Checksum, Digester
from ..errors import BadEncoding, FormatConflict
from ..settings import DEFAULT_ALGORITHM, DEFAULT_LAYOUT, Layout
from .encodings import plain_pieces
from .files import OWN_FOLDER, Form, open_stored, parse_name
from .filesystem import sync_folder
from .layout import PREFIX_MARKER, VAULT_FOLDERS, is_vault

FORMAT_VERSION = 1

LOOKED_AT = 2_000
"""Entries of a folder that detection reads: enough to tell, and no start ever waits for a scan."""

HASHED_BUFFERS = 3
HASHED_BYTES = 256 * 1024 * 1024
"""A larger buffer is no sample: hashing it would take longer than a start may take."""

SIZED = 100
"""The smallest of so many buffers are the samples."""


@dataclass(frozen=True)
class Format:
    """How the buffers of one directory are named and laid out."""

    algorithm: Algorithm
    layout: Layout

    def __str__(self) -> str:
        return f"{self.algorithm}, {self.layout} layout"


@dataclass(frozen=True)
class Detected:
    """What a directory shows of its format; None where it shows nothing.

    `sampled` and `matching` count the buffers that were hashed, and those that had their name.
    """

    recorded: Format | None
    layout: Layout | None
    algorithm: Algorithm | None
    holds_flat: bool
    holds_prefix: bool
    sampled: int = 0
    matching: int = 0


def format_path(directory: Path) -> Path:
    """Name the file that records a directory's format."""
    return directory / OWN_FOLDER / "format"


def read_format(directory: Path) -> Format | None:
    """Read the recorded format; None where nothing is recorded.

    Raises: FormatConflict, where the record can't be understood: guessing would be worse.
    """
    try:
        record = json.loads(format_path(directory).read_bytes())
        if record["version"] != FORMAT_VERSION:
            raise ValueError(f"version {record['version']}")
        return Format(Algorithm(record["algorithm"]), Layout(record["layout"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise FormatConflict(
            f"the format record {format_path(directory)} can't be understood ({error}); "
            "a newer version of this program may have written it"
        ) from None


def detect(directory: Path) -> Detected:
    """Look at a directory: its record, its marker, some names, some buffers' hashes."""
    flat, prefix = list(_buffers(directory)), list(_prefix_buffers(directory))
    layout = layout_of(directory)
    samples = prefix if layout is Layout.PREFIX else flat + prefix
    if layout is Layout.VAULT:
        samples = [path for folder in VAULT_FOLDERS for path in _buffers(directory / folder)]
    sampled = _sample(samples)
    return Detected(
        recorded=read_format(directory),
        layout=layout,
        algorithm=next((algorithm for algorithm in sampled if algorithm), None),
        holds_flat=bool(flat),
        holds_prefix=bool(prefix),
        sampled=len(sampled),
        matching=sum(algorithm is not None for algorithm in sampled),
    )


def layout_of(directory: Path) -> Layout | None:
    """Tell a directory's layout by its folders, its marker, its names; None if they don't tell."""
    if is_vault(directory):
        return Layout.VAULT
    if (directory / PREFIX_MARKER).exists():
        return Layout.PREFIX
    flat, prefix = any(_buffers(directory)), any(_prefix_buffers(directory))
    if flat == prefix:
        return None
    return Layout.FLAT if flat else Layout.PREFIX


def _buffers(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, LOOKED_AT)]
    except OSError:
        return
    yield from (folder / name for name in names if parse_name(name))


def _prefix_buffers(directory: Path) -> Iterator[Path]:
    found = 0
    for number in range(256):
        for path in _buffers(directory / f"{number:02x}"):
            if path.name.startswith(path.parent.name):
                found += 1
                yield path
        if found >= LOOKED_AT:
            return


def _sample(paths: list[Path]) -> list[Algorithm | None]:
    """Hash a few small buffers under every algorithm: which one each is named by, if any."""
    sampled: list[Algorithm | None] = []
    for path in sorted(paths[:SIZED], key=_size):
        if len(sampled) == HASHED_BUFFERS:
            break
        named = parse_name(path.name)
        digester = _hashed(path, *named) if named else None
        if digester is not None:
            digests = {Algorithm.SHA3_256: digester.checksum, Algorithm.SHA_256: digester.sha256.hex()}
            sampled.append(next((a for a, digest in digests.items() if path.name.startswith(digest)), None))
    return sampled


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _hashed(path: Path, checksum: Checksum, form: Form) -> Digester | None:
    """Hash a buffer's plain bytes; None if it is too big for a sample or can't be read."""
    digester = Digester(Algorithm.SHA3_256)
    try:
        stored = open_stored(checksum, "", form, str(path))
        if stored is None:
            return None
        with stored.file:
            if stored.identity.size > HASHED_BYTES:
                return None
            for piece in plain_pieces(stored.reader(), form):
                digester.update(piece)
                if digester.size > HASHED_BYTES:
                    return None
    except OSError:
        return None
    except BadEncoding:
        pass
    return digester


def holds_flat(directory: Path) -> bool:
    """Tell whether buffers lie in the directory itself."""
    return any(_buffers(directory))


def write_marker(directory: Path, layout: Layout) -> None:
    """Mark a prefix directory for other programs. Raises: OSError."""
    marker = directory / PREFIX_MARKER
    if layout is not Layout.PREFIX or marker.exists():
        return
    if not holds_flat(directory):  # programs that go by it would miss these
        marker.write_bytes(b"1\n")


def settle(directory: Path, layout: Layout | None, algorithm: Algorithm | None) -> Format:
    """Decide on the format to serve a directory in.

    Raises: FormatConflict, where what is asked for is not what the directory is.
    """
    recorded = read_format(directory)
    if recorded:
        return _agreed(directory, layout, algorithm, recorded.layout, recorded.algorithm)
    found = detect(directory)
    if found.layout is None and found.holds_flat and layout is None:
        raise FormatConflict(
            f"{directory} holds buffers both flat and in prefix folders; say --layout flat or prefix"
        )
    if found.algorithm is None and algorithm is None and (found.holds_flat or found.holds_prefix):
        raise FormatConflict(
            f"{directory} holds buffers, but none of {found.sampled} looked at (of up to "
            f"{HASHED_BYTES >> 20} MiB) hashes to its name: say --hash-algorithm sha3-256 or sha-256"
        )
    return _agreed(directory, layout, algorithm, found.layout, found.algorithm)


def _agreed(
    directory: Path,
    layout: Layout | None,
    algorithm: Algorithm | None,
    is_layout: Layout | None,
    is_algorithm: Algorithm | None,
) -> Format:
    if layout and is_layout and layout is not is_layout:
        raise FormatConflict(
            f"{directory} has the {is_layout} layout, not {layout}: start with --layout {is_layout}"
        )
    if layout is Layout.VAULT and not is_vault(directory):
        raise FormatConflict(f"{directory} is no vault: it lacks one of {', '.join(VAULT_FOLDERS)}")
    if algorithm and is_algorithm and algorithm is not is_algorithm:
        raise FormatConflict(
            f"{directory} holds buffers named by {is_algorithm}, not {algorithm}: "
            f"start with --hash-algorithm {is_algorithm}"
        )
    return Format(is_algorithm or algorithm or DEFAULT_ALGORITHM, is_layout or layout or DEFAULT_LAYOUT)


def record_format(directory: Path, format_: Format, scratch: str, *, fsync: bool) -> None:
    """Record a directory's format with its first write; of two servers, the first one decides.

    `scratch`: the path for a temporary file on the same disk.
    Raises: FormatConflict, where another format is recorded; OSError.
    """
    recorded = read_format(directory)
    if recorded is None:
        _write_format(directory, format_, scratch, fsync=fsync)
        recorded = read_format(directory)
    if recorded != format_:
        raise FormatConflict(f"the directory has become {recorded}; this server serves {format_}")


def _write_format(directory: Path, format_: Format, scratch: str, *, fsync: bool) -> None:
    path = format_path(directory)
    record = {"version": FORMAT_VERSION, "algorithm": format_.algorithm, "layout": format_.layout}
    try:
        with open(scratch, "w", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            if fsync:
                os.fsync(file.fileno())
        _link(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)
    if fsync:
        sync_folder(str(path.parent))
        sync_folder(str(directory))


def _link(scratch: str, path: Path) -> None:
    """Put the record in place unless another server's is there: a rename would replace that one."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        return
    except OSError:
        os.rename(scratch, path)  # a file system without hard links
