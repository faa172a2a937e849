"""The arena: the directories, buffers and servers that cases share, and their removal.

Reads go to servers that live as long as the arena, all on one directory; each write gets a new server
on a new directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import loads
from .buffers import Series, store, store_many
from .failures import MeasurementFailed, NotOffered
from .peers import OURS, Contender, Peers
from .processes import Cores, PeakMemory, falls_idle
from .progress import say
from .servers import Server, ask, running

SETTLE_S = 1.5
"""A file younger than a second is verified by us on every GET; nobody measures that."""

IDLE_S = 3.0
"""A server may work on for requests whose clients are gone; who does it for longer is started anew."""

LONG_S = 1800.0

KEPT_BYTES = 256 * 1024

SPARE_BYTES = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user chose."""

    rounds: int
    seconds: int
    many: int
    stream_bytes: int
    startup_count: int
    rows: int
    kinds: frozenset[str]


class Arena:
    """Where the cases run; a context manager's `stack` removes everything again."""

    def __init__(
        self, options: Options, peers: Peers, work: Path, cores: tuple[Cores, Cores], stack: ExitStack
    ) -> None:
        self.options = options
        self.peers = peers
        self.work = work
        self.server_cores, self.load_cores = cores
        self.peak_mib = 0.0
        self._stack = stack
        self._shared = work / "shared"
        self._shared.mkdir()
        self._readers: dict[str, tuple[Server, ExitStack]] = {}
        self._hot: dict[int, str] = {}
        self._large: dict[int, tuple[Series, Path]] = {}
        self._many: Path | None = None
        self._checked: set[tuple[int, str]] = set()

    def cores_of(self, contender: Contender) -> Cores:
        """Choose the cores a contender runs on."""
        return self.server_cores if contender.cores == 1 else self.server_cores | self.load_cores

    @contextmanager
    def reading(self, contender: Contender) -> Iterator[Server]:
        """Have a server on the shared directory; those with default options stay."""
        if contender.options or contender.cores != 1:
            with running(self.peers, contender, self._shared, self.cores_of(contender)) as server:
                with self._watched(server):
                    yield server
            return
        server = self._reader(contender)
        try:
            with self._watched(server):
                yield server
        finally:
            if not falls_idle(server.pid, IDLE_S):
                self._end_reader(contender)  # else the next one is measured beside it

    def _reader(self, contender: Contender) -> Server:
        if contender.name in self._readers:
            server, stack = self._readers[contender.name]
            if server.process.poll() is None:
                return server
            self._end_reader(contender)
        stack = self._stack.enter_context(ExitStack())
        started = running(self.peers, contender, self._shared, self.cores_of(contender))
        server = stack.enter_context(started)
        self._readers[contender.name] = server, stack
        return server

    def _end_reader(self, contender: Contender) -> None:
        _, stack = self._readers.pop(contender.name)
        stack.close()

    @contextmanager
    def writing(self, contender: Contender) -> Iterator[Server]:
        """Have a server on a new directory, until the context is left."""
        with self.directory() as directory:
            with running(self.peers, contender, directory, self.cores_of(contender)) as server:
                with self._watched(server):
                    yield server

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """Have a new directory, until the context is left; small files stay until the end of all."""
        directory = Path(tempfile.mkdtemp(prefix="written-", dir=self.work))
        try:
            os.sync()  # what was left to be written before is not to be measured
            yield directory
        finally:
            _remove_large(directory)

    @contextmanager
    def _watched(self, server: Server) -> Iterator[None]:
        with PeakMemory(server.pid) as peak:
            yield
        self.peak_mib = max(self.peak_mib, peak.mib)
        server.check_alive()

    def hot(self, size: int) -> str:
        """Have one buffer of a size in the shared directory; its name."""
        if size not in self._hot:
            self.require_disk(size)
            self._hot[size] = store(self._shared, Series(size))
            time.sleep(SETTLE_S)
        return self._hot[size]

    def many(self) -> Path:
        """Have many buffers of 1 KiB in the shared directory, known to us; the file of their names."""
        if self._many is None:
            count = self.options.many
            self.require_disk(count * 4096)
            say(f"making {count:,} buffers")
            names = store_many(self._shared, count)
            self._many = self.work / "many"
            self._many.write_text("".join(f"{name}\n" for name in names))
            time.sleep(SETTLE_S)
            if OURS.kind in self.options.kinds:
                say(f"having ours verify {count:,} buffers")
                port = self._reader(OURS).port
                job = {"port": port, "file": str(self._many), "connections": 16, "seconds": None}
                loads.do("get", self.load_cores, LONG_S, **job)
        return self._many

    def large(self, size: int) -> tuple[Series, Path]:
        """Have large buffers to send: their series, and a file of what they share."""
        if size not in self._large:
            self.require_disk(size)
            series, path = Series(size), self.work / f"large-{size}"
            with open(path, "xb") as file:
                file.writelines(series.shared())
            self._large[size] = series, path
        return self._large[size]

    def fill(self, catalogue: Path, count: int) -> None:
        """Make a catalogue with many rows, by the interpreter that has the package."""
        scripts = Path(__file__).resolve().parents[1]
        command = [str(self.peers.python), "-m", "benchmarks.fill", str(catalogue), str(count)]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(scripts)}, capture_output=True, text=True
        )
        if done.returncode:
            raise MeasurementFailed(f"the catalogue was not made: {done.stderr[-300:]}")

    def check(self, server: Server, name: str) -> bool:
        """Fetch a buffer and compare it with its name; whether this was its first time.

        Raises: MeasurementFailed, if these are other bytes.
        """
        if (server.pid, name) in self._checked:
            return False
        status, _, body = ask(server, "GET", "/" + name)
        if status != 200 or hashlib.sha3_256(body).hexdigest() != name:
            raise MeasurementFailed(f"GET answered {status} and {len(body)} bytes that are not the buffer")
        self._checked.add((server.pid, name))
        return True

    def require_disk(self, size: int) -> None:
        """Raise NotOffered unless there is room for `size` bytes, and some to spare."""
        free = shutil.disk_usage(self.work).free
        if free < size + SPARE_BYTES:
            raise NotOffered(
                f"{size / 2**30:.1f} GiB and 2 to spare are needed in {self.work.parent}, "
                f"{free / 2**30:.1f} are free; choose another --dir or a smaller --stream-size"
            )


def require_memory(size: int) -> None:
    """Raise NotOffered unless so many bytes of memory are free, and some to spare."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    if free < size + SPARE_BYTES:
        raise NotOffered(
            f"it would hold {size / 2**30:.0f} GiB in memory, {free / 2**30:.1f} are free; "
            "choose a smaller --stream-size"
        )


def _remove_large(directory: Path) -> None:
    """Remove what takes room, and no more.

    ext4 does not use a removed file's inode again for minutes, and looks at all of them whenever a
    file is made: who is measured after a removal of thousands would pay for it.
    """
    for folder, _, names in os.walk(directory):
        for path in (f"{folder}/{name}" for name in names):
            if os.lstat(path).st_size > KEPT_BYTES:
                os.unlink(path)
