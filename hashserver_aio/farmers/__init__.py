"""Farmers: who they are, what they sign, and what the registry holds them to; nothing of HTTP.

A node is an address, which is the hash of a key: only who has the key can speak for it.
"""

from __future__ import annotations

from .addresses import parse_address
from .registry import Call, Registry
from .rules import refuse

__all__ = ["Call", "Registry", "parse_address", "refuse"]
