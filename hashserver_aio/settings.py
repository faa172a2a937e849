"""What a server is told: one frozen `Settings`, made once from the command line or the environment.

The environment is read by the option declarations in `cli/` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from .blocks import DEFAULT_BLOCK_BYTES
from .checksums import Algorithm


class Layout(StrEnum):
    """How buffers lie in a directory.

    PREFIX: `DIR/ab/ab3f..`, FLAT: `DIR/ab3f..`, VAULT: four flat folders, read-only.
    """

    PREFIX = "prefix"
    FLAT = "flat"
    VAULT = "vault"


DEFAULT_LAYOUT = Layout.PREFIX
DEFAULT_ALGORITHM = Algorithm.SHA3_256
DEFAULT_LOCK_TIMEOUT_S = 120.0
DEFAULT_GRACE_S = 10.0
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_SERVER_ADDRESS = "16ZcxFDdkVJR1P8GMNmWFyhS4EKrRMsWNG"
DEFAULT_ONLINE_MINUTES = 15.0
DEFAULT_MAX_PING_S = 60.0
DEFAULT_HEIGHT_LIMIT = 200_000
DEFAULT_NODE_RATE = 50.0
MAX_REPLICAS = 100
DEFAULT_AUDIT_INTERVAL_S = 86_400.0
DEFAULT_AUDIT_DEADLINE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many buffers, and how many plain bytes, may be held; None is no limit."""

    count: int | None = None
    size: int | None = None

    def allow(self, count: int, size: int) -> bool:
        """Tell whether so much may be held."""
        return (self.count is None or count <= self.count) and (self.size is None or size <= self.size)

    @property
    def are_none(self) -> bool:
        """Whether all may be held that there is room for."""
        return self.count is None and self.size is None


@dataclass(frozen=True, kw_only=True)
class FarmerRules:
    """What the registry of nodes holds them to.

    Online is who was seen within `online_s`; a ping sooner than `max_ping_s` after the last one changes
    nothing; heights are below `height_limit`; so many `calls_per_s` may come from one client address.
    """

    server_address: str = DEFAULT_SERVER_ADDRESS
    online_s: float = DEFAULT_ONLINE_MINUTES * 60
    max_ping_s: float = DEFAULT_MAX_PING_S
    height_limit: int = DEFAULT_HEIGHT_LIMIT
    calls_per_s: float = DEFAULT_NODE_RATE


@dataclass(frozen=True, kw_only=True)
class NodeRules:
    """How a server places its buffers on nodes, and what it holds them to.

    `replicas`: of every buffer; 0 where only those are placed that somebody asks for. `key`: the file of the
    server's key, None for the usual place. `allow`: networks and hosts that nodes may be at though they
    are not of the public Internet. A placement is audited every `audit_interval_s` at least, and an answer
    has come within `audit_deadline_s`. Online is who was seen within `online_s`. So many `calls_per_s` may
    come from one client address.
    """

    replicas: int = 0
    key: Path | None = None
    allow: tuple[str, ...] = ()
    audit_interval_s: float = DEFAULT_AUDIT_INTERVAL_S
    audit_deadline_s: float = DEFAULT_AUDIT_DEADLINE_S
    online_s: float = DEFAULT_ONLINE_MINUTES * 60
    calls_per_s: float = DEFAULT_NODE_RATE


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a node is told that holds buffers for the server at a URL.

    `key`: the file of its key. `capacity` in bytes; None for what the disk has. `public_url`: where the
    server reaches it; None for where it listens. `payout_address`: of Bitcoin, or "".
    """

    server: str
    key: Path
    capacity: int | None = None
    public_url: str | None = None
    payout_address: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve one directory.

    `layout` and `algorithm` are None where the directory itself is to tell (else prefix, sha3-256);
    `catalogue`, a URL, is None for the usual place. `fetch_allow`: networks and hosts that may be
    fetched from though they are not of the public Internet. `web_root`: a folder whose files are served
    too, those with a dot only if `dot_files`, and never those `kept_back`. `farmers`: the rules of the
    registry of farmers, if there is one. `nodes`: how buffers are placed on nodes, if they are; `holding`:
    for whom this server itself is a node, if it is one. `is_local`: whether it is reached from this
    machine only, and so by nobody who may not administer it where there is no access file.
    """

    directory: Path
    writable: bool = False
    layout: Layout | None = None
    algorithm: Algorithm | None = None
    extra_dirs: tuple[Path, ...] = ()
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    fsync: bool = True
    max_buffer_bytes: int | None = None
    limits: Limits = Limits()
    catalogue: str | None = None
    scrub_bytes_per_s: float | None = None
    block_size: int = DEFAULT_BLOCK_BYTES
    auth_file: Path | None = None
    allow_delete: bool = False
    allow_fetch: bool = False
    fetch_allow: tuple[str, ...] = ()
    http_proxy: str | None = field(default=None, repr=False)  # with a password, it may be
    cors_origins: tuple[str, ...] = ()
    web_root: Path | None = None
    dot_files: bool = False
    kept_back: tuple[Path, ...] = ()
    share_with_group: bool = False
    farmers: FarmerRules | None = None
    nodes: NodeRules | None = None
    holding: Holding | None = None
    is_local: bool = False


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Where a chain of certificates is, and its key; None where the same file holds both. All is PEM."""

    certificate: Path
    key: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where and for how long a server listens, and with how many processes.

    `ports` are tried in random order until one is free; 0 lets the system choose. `workers` are
    processes; a single one needs no supervisor. Without `tls` it speaks plain HTTP.
    """

    host: str = DEFAULT_HOST
    ports: range = range(DEFAULT_PORT, DEFAULT_PORT + 1)
    status_file: Path | None = None
    timeout_s: float | None = None
    grace_s: float = DEFAULT_GRACE_S
    access_log: bool = False
    workers: int = 1
    tls: TlsFiles | None = None
