"""The fleet: what a server does with the nodes that hold its buffers.

It knows aiohttp's client, and nothing of the server's faces. Whatever a node answers is untrusted: no byte of
it goes further that was not checked, and nothing that it does, or leaves undone, is waited for without end.
"""

from .answers import failure_of
from .holders import Holders
from .links import Link, Links
from .rescuing import Rescue, RescueEnd
from .retrieving import Source, retrieve

__all__ = ["Holders", "Link", "Links", "Rescue", "RescueEnd", "Source", "failure_of", "retrieve"]
