"""What nodes answer, as far as it is the same for all questions: bounded, and what goes wrong with it.

A stranger wrote it: it is read to a bound, in a time, and shown only where it can be printed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import ClientResponse, hdrs

from ..errors import AddressRefused, BadAnswer, NodeLate, NodeRefused, ServerTrouble, ServerUnreachable
from ..nodes.record import Failure
from .haste import Reader

MAX_WORDS_BYTES = 4096
"""What a node says in JSON, in answers and refusals, is short."""

MAX_SHOWN = 200

NOT_NOW = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""What a node answers whose clock is wrong, or that was just started, or has too much to do: it may go better
later, and says nothing of the buffer."""

BROKEN = (aiohttp.ClientError, OSError)

_HEX = re.compile(r"([0-9a-f]{64}|[0-9a-f]{128})")


def failure_of(error: ServerTrouble) -> Failure:
    """Tell what an error of a link is in the record of its node."""
    if isinstance(error, NodeLate):
        return Failure.LATE
    if isinstance(error, NodeRefused):
        if error.status in NOT_NOW:
            return Failure.LATE
        return Failure.MISSING if error.status == HTTPStatus.NOT_FOUND else Failure.REFUSED
    return Failure.UNREACHABLE if isinstance(error, ServerUnreachable) else Failure.WRONG


@contextmanager
def told_of(url: str) -> Iterator[None]:
    """Raise what goes wrong between us and a node as an error of ours."""
    try:
        yield
    except AddressRefused as error:
        raise ServerUnreachable(str(error)) from error  # so that it can be told from what may be over
    except aiohttp.ClientResponseError:
        raise BadAnswer(f"{url} does not speak HTTP as it is meant") from None
    except aiohttp.ClientSSLError:
        raise ServerUnreachable(f"{url} can't be reached: its certificate or TLS is not accepted") from None
    except aiohttp.ClientConnectorError as error:
        reason = _reason(error.os_error)
        raise ServerUnreachable(f"{url} can't be reached: {reason}") from None
    except aiohttp.ConnectionTimeoutError:
        raise ServerUnreachable(f"{url} can't be reached: it does not answer") from None
    except TimeoutError:
        raise NodeLate(f"{url} takes too long") from None
    except BROKEN:
        raise ServerUnreachable(f"the connection to {url} broke") from None


def _reason(error: OSError) -> str:
    """Say why there is no connection; what asyncio says tells what a name resolves to here."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__  # of a name that has no address


def is_range(response: ClientResponse, first: int, length: int) -> bool:
    """Tell whether an answer is the part of a buffer that was asked for."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        told = response.headers.get(hdrs.CONTENT_RANGE, "")
        return told.startswith(f"bytes {first}-{first + length - 1}/")
    return first == 0 and response.content_length == length


async def whole(response: ClientResponse, limit_bytes: int) -> bytes:
    """Read an answer. Raises: BadAnswer, if it is longer than it may be; TimeoutError, ClientError."""
    body, reader = bytearray(), Reader(response.content)
    while piece := await reader.read():
        body += piece
        if len(body) > limit_bytes:
            raise BadAnswer(f"the answer of a node is longer than {limit_bytes} bytes")
    return bytes(body)


async def words(response: ClientResponse) -> dict[str, Any]:
    """Read an answer of a few words. Raises: BadAnswer, TimeoutError, ClientError."""
    try:
        told = json.loads(await whole(response, MAX_WORDS_BYTES))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise BadAnswer("a node answered what is no JSON object")
    return told


def take_bytes(told: dict[str, Any], name: str) -> bytes:
    """Take bytes from an answer. Raises: BadAnswer."""
    digits = told.get(name)
    if not isinstance(digits, str) or not _HEX.fullmatch(digits):
        raise BadAnswer(f"a node answered without a {name} in hexadecimal digits")
    return bytes.fromhex(digits)


async def refusal(url: str, response: ClientResponse) -> NodeRefused:
    """Word a refusal; of what the node says itself only what is short, and can be printed."""
    try:
        said = str((await words(response)).get("message"))
    except BadAnswer:
        said = ""
    shown = "".join(filter(str.isprintable, said))[:MAX_SHOWN]
    return NodeRefused(f"{url} answered {response.status}: {shown}", response.status)
