"""Being a node: holding buffers for a server, as far as that is nothing of what requests are answered with.

The server is asked first who it is, and whoever it was then it has to be for good; from then on it hears
where this node is, and that it lives.
"""

from __future__ import annotations

from .meeting import Node, joined
from .origins import origin_of
from .pinging import Pinging
from .pinned import without_node
from .rules import default_key, refuse

__all__ = ["Node", "Pinging", "default_key", "joined", "origin_of", "refuse", "without_node"]
