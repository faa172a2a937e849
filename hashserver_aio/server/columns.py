"""Which numbers of `Counts` are those of requests, by face, method and status; what else comes is "other".

So there are as many as are listed here, whatever anybody sends.
"""

from __future__ import annotations

from itertools import product

from ..counting import MORE, Counts, shared_counts

OTHER = "other"

FACES = ("hashserver", "axon", "rd", "info", "webroot", "farmers", "nodes")
HASHSERVER, AXON, RD, INFO, WEB_ROOT, FARMERS, NODES = FACES
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", OTHER)
STATUSES = (
    *("200", "201", "202", "204", "206", "302", "304"),
    *("400", "401", "403", "404", "405", "409", "412", "413", "415", "416", "417", "422", "429"),
    *("500", "502", "503", "504", "507"),
    OTHER,
)

Labels = tuple[str, str, str]
REQUESTS: dict[Labels, int] = {
    labels: column for column, labels in enumerate(product(FACES, METHODS, STATUSES), MORE)
}


def column_of(face: str, method: str, status: str) -> int:
    """Tell where a request is counted."""
    return REQUESTS[face, method if method in METHODS else OTHER, status if status in STATUSES else OTHER]


def server_counts(processes: int = 1) -> list[Counts]:
    """Make the counts of some processes that serve, before they are forked."""
    return shared_counts(processes, len(REQUESTS))
