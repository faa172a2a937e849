"""Running servers for tests: the command as a user starts it, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

_URL = re.compile(r" on (https?://[^\s\"]+)")

COMMAND = (sys.executable, "-m", "hashserver_aio")


def environment(**more: str) -> dict[str, str]:
    """Give this process's environment without settings of ours, plus `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HASHSERVER_")}
    return kept | more


class RunningServer:
    """`hashserver-aio run` (or `verb`) on a directory; `url` once it says that it serves."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        command: tuple[str, ...] = COMMAND,
        verb: str = "run",
        env: Mapping[str, str] | None = None,
    ) -> None:
        arguments = (*command, verb, "--dir", str(directory), "--port", "0", *options)
        self.process = subprocess.Popen(
            arguments, stderr=subprocess.PIPE, text=True, env=environment(**(env or {}))
        )
        self.lines: list[str] = []
        self._serving = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._serving.wait(20) or not self.url:
            self.kill()
            raise RuntimeError("the server did not start: " + "".join(self.lines))

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            found = _URL.search(line)
            if found and not self.url:
                self.url = found[1]
                self._serving.set()
        self._serving.set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 20) -> int:
        """End it with a signal; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        self._close()
        return code

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()


def refused(*options: str, verb: str = "run", **env: str) -> str:
    """Start a server that refuses to: what it says."""
    ended = subprocess.run(
        [*COMMAND, verb, "--port", "0", *options],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    return ended.stderr
