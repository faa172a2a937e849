"""The shape of the project: rooms, faces, and sizes that a reader can hold in the head."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hashserver_aio

PACKAGE = Path(hashserver_aio.__file__).parent
TESTS = Path(__file__).parent

ROOMS: tuple[frozenset[str], ...] = (
    frozenset({"version"}),
    frozenset({"errors"}),
    frozenset({"checksums"}),
    frozenset({"blocks"}),
    frozenset({"client"}),
    frozenset({"counting"}),
    frozenset({"passwords", "access"}),
    frozenset({"settings"}),
    frozenset({"store"}),
    frozenset({"catalogue"}),
    frozenset({"pace", "turns"}),
    frozenset({"farmers"}),
    frozenset({"nodes"}),
    frozenset({"webroot"}),
    frozenset(
        {
            "blobs",
            "bodies",
            "opening",
            "waiting",
            "verifying",
            "decoded",
            "intake",
            "inspecting",
            "scrubbing",
            "buffers",
            "digesting",
            "manifests",
            "file_manifests",
        }
    ),
    frozenset({"reading"}),
    frozenset({"fetching"}),
    frozenset({"fleet", "holding"}),
    frozenset({"server"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
"""From top to bottom; those on one floor are one room in several files."""

FACES = frozenset({"axon", "farmers", "hashserver", "holding", "info", "nodes", "rd", "webroot"})
MAX_LINES = 300
MAX_FUNCTION_LINES = 40


def floor(room: str) -> int:
    """Tell how far down a room lies."""
    return next(number for number, rooms in enumerate(ROOMS) if room in rooms)


def modules() -> list[Path]:
    """Name the package's files."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Tell which room a file of the package is in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Name what a file imports of the package, wherever in it, as dotted names below the package."""
    package = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("hashserver_aio", *package)[: 1 + len(package) - (node.level - 1)] if node.level else ()
            module = ".".join((*above, *((node.module,) if node.module else ())))
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "hashserver_aio":
                yield name.partition(".")[2] or "__init__"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Find the functions of a file, also those inside others."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    """Name a file in a test's id."""
    return str(path.relative_to(PACKAGE.parent) if path.is_relative_to(PACKAGE) else path.name)


def test_every_room_is_listed() -> None:
    """A new room has a floor: the order of rooms here is the whole of the package."""
    assert {room_of(path) for path in modules()} == set().union(*ROOMS)


def test_imports_are_seen() -> None:
    """These tests see relative imports of every kind, or they would hold nothing."""
    assert {"checksums.Checksum", "catalogue.Arrival"} <= set(imported(PACKAGE / "catalogue" / "sqlite.py"))
    assert {"errors", "server.cors._may_write"}.isdisjoint(imported(PACKAGE / "checksums.py"))
    assert "server.app.create_app" in set(imported(PACKAGE / "__init__.py"))
    assert "errors" in set(imported(PACKAGE / "server" / "errors.py"))  # from .. import errors


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_rooms_import_from_above(path: Path) -> None:
    """A room imports from its own floor and from rooms above it, never from below."""
    rooms = {name.split(".")[0] for name in imported(path)}
    below = {room for room in rooms if floor(room) > floor(room_of(path))}
    assert not below


@pytest.mark.parametrize("face", sorted(FACES))
def test_faces_are_strangers(face: str) -> None:
    """A face never imports another one: each can go without the others noticing."""
    others = {f"server.{other}" for other in FACES - {face}}
    path = PACKAGE / "server" / face
    for file in path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
        assert not {name for name in imported(file) for other in others if other in name}


@pytest.mark.parametrize(
    "room",
    [
        "errors",
        "checksums",
        "counting",
        "store",
        "catalogue",
        "buffers",
        "verifying",
        "reading",
        "blocks",
        "manifests",
        "file_manifests",
        "webroot",
        "pace",
        "farmers",
        "nodes",
    ],
)
def test_no_web_above_the_server(room: str) -> None:
    """Rooms above the server know nothing of HTTP's library."""
    path = PACKAGE / room
    for file in path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        plain = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        assert {"aiohttp", "prometheus_client"}.isdisjoint(name.split(".")[0] for name in froms | plain)


@pytest.mark.parametrize("path", [*modules(), *sorted(TESTS.glob("*.py"))], ids=name_of)
def test_sizes(path: Path) -> None:
    """A file is read in one sitting, and a function on one screen."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < MAX_LINES
    # From `def` on: the options of a command are declarations above it.
    lengths = [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in functions(path)]
    assert [(name, length) for name, length in lengths if length > MAX_FUNCTION_LINES] == []


def test_client_knows_no_server() -> None:
    """The client shares names, blocks, errors and the version with servers, not how they keep buffers."""
    rooms = {name.split(".")[0] for path in (PACKAGE / "client").rglob("*.py") for name in imported(path)}
    assert rooms == {"blocks", "client", "checksums", "errors", "version"}
