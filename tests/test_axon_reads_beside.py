"""Reading inside buffers beside a real Axon, asked over Telepath: the same values, the same errors."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
from typing import Any
from urllib.parse import urlencode

import msgpack  # type: ignore[import-untyped]  # it has no types
import pytest

from .axon import API, sha256
from .axon_asks import PUT
from .axon_peer import CHECKOUT, PASSWORD, RealAxon, python_of_synapse
from .beside import Ask, Pair, side_by_side
from .servers import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SCRIPT = CHECKOUT / "scripts" / "peers" / "axon_reads.py"
PATIENCE_S = 120

VALUES: list[object] = [
    None,
    True,
    -(2**63),
    2**64 - 1,
    1.5,
    "é\u2028",
    b"\0\xff",
    [],
    {},
    [1, [2]],
    float("nan"),
    float("-inf"),
]
MAPS = [{"a": 1}, {1: "a"}, {"$a": b"b"}, {b"x": [None]}, {"a": {2: {}}}]
TEXT = 'aé,"b\r\nc"\r\nd\re;f\n\n"g""h",\u2028'.encode()

CASES: dict[str, tuple[bytes, str, dict[str, str | int]]] = {
    "mpk": (b"".join(map(msgpack.packb, VALUES + MAPS)), "iterMpkFile", {}),
    "mpk, long": (msgpack.packb({"a": [1, b"b", None]}) * 20_000, "iterMpkFile", {}),
    "json": (b'{"a": [1, -2.5e3, null]}\n\n \t\n"\xc3\xa9"\r\ntrue\r[[]]', "jsonlines", {}),
    "json, long": (b'{"a": [1, "b", null]}\n' * 5_000, "jsonlines", {}),
    "json, bad": (b"[1]\n{]\n[2]\n", "jsonlines", {}),
    "json, NaN": (b"[1]\n[NaN]\n", "jsonlines", {}),
    "json, ignored": (b'"a\xffb"\r\xff\n[1]\n', "jsonlines", {}),
    "lines": (TEXT, "readlines", {}),
    "lines, ignored": (b"a\r\xff\nb\xe2\x82\n\xff", "readlines", {}),
    "lines, replaced": (b"a\r\xff\nb\xe2\x82\n\xff", "readlines", {"errors": "replace"}),
    "rows": (TEXT, "csvrows", {}),
    "rows, by semicolons": (TEXT, "csvrows", {"delimiter": ";"}),
    "rows, tabs": (b"a\tb\n", "csvrows", {"dialect": "excel-tab"}),
    "rows, no dialect": (b"a\tb\n", "csvrows", {"dialect": "lotus"}),
    "struct": (struct.pack(">Hdi3s?", 7, float("inf"), -1, b"abc", True), "unpack", {"fmt": ">Hdi3s?"}),
    "struct, at an offset": (bytes(range(100)), "unpack", {"fmt": "<QbB", "offs": 90}),
    "struct, past the end": (bytes(range(100)), "unpack", {"fmt": "<Q", "offs": 93}),
    "struct, none": (bytes(range(100)), "unpack", {"fmt": "y"}),
    "struct, too long": (bytes(range(100)), "unpack", {"fmt": "1048577s"}),
}
Found = tuple[str, str | None]
"""The `repr` of what was read, and what the error is called that ended it."""

MARKED: dict[str, tuple[Found, Found]] = {
    "json, NaN": (("[(1,)]", "BadJsonText"), ("[(1,), (nan,)]", None)),  # it is no JSON (RFC 8259)
}
"""Where ours differs on purpose: what each of them says."""


@pytest.fixture(scope="module")
def pair(real_axon: RealAxon, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both, each with the buffers of all cases."""
    with side_by_side(real_axon, tmp_path_factory.mktemp("reads") / "buffers") as pair:
        for body, _, _ in CASES.values():
            for answer in pair.ask(Ask("PUT", PUT, body)):
                assert answer.status == 200, answer
        yield pair


@pytest.fixture(scope="module")
def theirs(pair: Pair, real_axon: RealAxon) -> dict[str, Found]:
    """What the real one reads."""
    asked = [(method, sha256(body), named) for body, method, named in CASES.values()]
    url = f"tcp://all:{PASSWORD}@127.0.0.1:{real_axon.telepath}/"
    done = subprocess.run(
        [python_of_synapse(), SCRIPT, url],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(),
    )
    found = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(CASES), done.stderr[-2000:]
    return dict(zip(CASES, found, strict=True))


def ours(pair: Pair, name: str) -> Found:
    """Read in ours."""
    body, method, named = CASES[name]
    query = f"?{urlencode(named)}" if named else ""
    answer = pair.ours.ask(Ask("GET", f"{API}/{method}/{sha256(body)}{query}"))
    if answer.headers.get("transfer-encoding") == "chunked":
        lines = [json.loads(line) for line in unchunked(answer.body).splitlines()]
    else:
        (line,) = [json.loads(line) for line in answer.body.splitlines()]
        lines = [{"item": line["result"]}, {"end": {}}] if line["status"] == "ok" else [{"error": line}]
    items = [plain(line["item"]) for line in lines[:-1]]
    return repr(items), lines[-1].get("error", {}).get("code")


def unchunked(body: bytes) -> bytes:
    """Join the chunks of a body."""
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data


def plain(value: Any) -> Any:
    """Make what Telepath gives of what JSON has no words for."""
    if isinstance(value, list):
        return tuple(map(plain, value))
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("$bytes", text)]:
            return base64.b64decode(text)
        case [("$float", text)]:
            return float(text)
        case [("$map", pairs)]:
            return {plain(key): plain(inner) for key, inner in pairs}
    return {key: plain(inner) for key, inner in value.items()}


@pytest.mark.parametrize("name", CASES)
def test_same_values(pair: Pair, theirs: dict[str, Found], name: str) -> None:
    """Whoever reads inside a buffer gets the values, and the error, that the Axon has for it, but for what is
    marked."""
    if name in MARKED:
        assert (ours(pair, name), theirs[name]) == MARKED[name]
    else:
        assert ours(pair, name) == theirs[name]
