"""Signs requests by hand, as RFC 9421 words it, so that nothing is asked of what is tested."""

from __future__ import annotations

import base64
from typing import NamedTuple

from multidict import CIMultiDict

from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import TAG, Message

NOW_S = 1_800_000_000.5
NUMBER = 1_800_000_000_500_000

COVERED = ("@method", "@path", "@query", "hashserver-to")


class Request(NamedTuple):
    """A request as it is to be signed."""

    method: str = "GET"
    path: str = "/api/node/buffers/ab"
    query: str = ""
    digest: str = ""


def base_of(request: Request, to: bytes, covered: tuple[str, ...], parameters: str) -> bytes:
    """Word what is signed (RFC 9421 section 2.5)."""
    values = {
        "@method": request.method,
        "@path": request.path,
        "@query": f"?{request.query}",
        "hashserver-to": to.hex(),
        "content-digest": request.digest,
        "@authority": "node",  # which nobody here signs: a proxy may change it
        "@scheme": "http",
    }
    lines = [f'"{name}": {values.get(name, "x")}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {listed(covered)}{parameters}']).encode()


def listed(covered: tuple[str, ...]) -> str:
    """Word the list of what is covered."""
    names = [f'"{name}"' for name in covered]
    return f"({' '.join(names)})"


def parameters_of(key: str, **others: str) -> str:
    """Word the parameters of a signature; "" drops one, and further ones come at the end."""
    values = {
        "created": str(int(NOW_S)),
        "keyid": f'"{key}"',
        "alg": '"ed25519"',
        "nonce": f'"{NUMBER}"',
        "tag": f'"{TAG}"',
    } | others
    return "".join(f";{name}={value}" for name, value in values.items() if value)


def message_of(
    pair: KeyPair,
    to: bytes,
    request: Request = Request(),  # noqa: B008  # it is a tuple
    covered: tuple[str, ...] = COVERED,
    parameters: str | None = None,
) -> Message:
    """Sign a request by hand."""
    if parameters is None:
        parameters = parameters_of(pair.id)
    signature = base64.b64encode(pair.sign(base_of(request, to, covered, parameters))).decode()
    headers = CIMultiDict(
        {
            "Hashserver-To": to.hex(),
            "Signature-Input": f"by-hand={listed(covered)}{parameters}",
            "Signature": f"by-hand=:{signature}:",
        }
    )
    if request.digest:
        headers["Content-Digest"] = request.digest
    return Message(request.method, request.path, request.query, headers)
