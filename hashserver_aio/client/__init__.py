"""A client of servers of buffers: verified on receipt, patient with what breaks.

It knows how names are made, and nothing of how a server keeps what they name.
"""

from __future__ import annotations

from .client import Client
from .feed import Arrival
from .names import Held
from .sending import Stored, Upload

__all__ = ["Arrival", "Client", "Held", "Stored", "Upload"]
