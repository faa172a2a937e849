"""Programs that tests need and PyPI does not have, and ports for them."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

IN_CI = os.environ.get("CI") == "true"


def unavailable(what: str) -> None:
    """Skip on a developer's machine; in CI a missing tool is a failure."""
    if IN_CI:
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> str:
    """Return the path of the program `name`."""
    if not (path := shutil.which(name)):
        unavailable(f"{name} is not installed")
    return str(path)


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        return int(trial.getsockname()[1])
