"""The machine that a run took place on, and the state of the checkout."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from .peers import CHECKOUT


def describe(work: Path) -> dict[str, str]:
    """Describe the machine, as far as figures depend on it; `work` tells which file system."""
    memory_kib = int(_first_line(Path("/proc/meminfo"), "MemTotal").split()[0])
    return {
        "CPU": _first_line(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_kib / 2**20:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": file_system(work),
        "Python": platform.python_version(),
    }


def _first_line(path: Path, key: str) -> str:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "0"


def file_system(path: Path) -> str:
    """Name the type of the file system that a path lies on."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == number:
            return right.split()[0]
    return "?"


def commit() -> str:
    """Name the commit of the checkout; with a + if files have changed since."""
    asked = subprocess.run(
        ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty=+", "--abbrev=10"],
        capture_output=True,
        text=True,
    )
    return asked.stdout.strip() or "?"


def command_line() -> str:
    """Give the command line of this run."""
    return " ".join(["scripts/bench", *sys.argv[1:]])
