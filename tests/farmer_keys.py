"""Keys of nodes, and what they sign."""

from __future__ import annotations

import base64
import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from hashserver_aio.farmers.addresses import address_of, double_sha256
from hashserver_aio.settings import DEFAULT_SERVER_ADDRESS

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "signed_headers.json").read_text())
"""Headers as `dataserv-client` signs them, and others that are wrong."""

PAYOUT = "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"
"""An address to be paid at: of a script, so that nobody can sign for it."""


class NodeKey:
    """The key of a node, the same one for the same number."""

    def __init__(self, number: int) -> None:
        self._key = PrivateKey.from_int(number)
        self.address = address_of(self._key.public_key.format())

    def sign(self, text: str) -> str:
        """Sign a text as wallets do."""
        message = text.encode()
        digest = double_sha256(b"\x18Bitcoin Signed Message:\n" + bytes([len(message)]) + message)
        signature = self._key.sign_recoverable(digest, hasher=None)
        return base64.b64encode(bytes([31 + signature[64]]) + signature[:64]).decode()

    def headers(self, now_s: float, server: str = DEFAULT_SERVER_ADDRESS) -> dict[str, str]:
        """Word the headers of a call."""
        date = formatdate(now_s)
        return {"Date": date, "Authorization": self.sign(f"{server} {date}")}
