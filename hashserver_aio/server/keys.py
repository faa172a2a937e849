"""What handlers find in the application; nothing is looked up by a string."""

from __future__ import annotations

from aiohttp import web

from ..access import AccessFile
from ..buffers import Buffers
from ..catalogue.nodes import Nodes
from ..counting import Counts
from ..farmers import Registry
from ..fetching import Fetcher
from ..file_manifests import FileManifests
from ..fleet.registering import Registering
from ..manifests import Manifests
from ..reading.apart import Readers
from ..settings import Settings
from ..webroot import WebRoot
from .activity import Activity
from .fast_path import FastPath
from .meter import Meter
from .readiness import Readiness

ACCESS: web.AppKey[AccessFile | None] = web.AppKey("ACCESS")
SETTINGS = web.AppKey("SETTINGS", Settings)
BUFFERS = web.AppKey("BUFFERS", Buffers)
MANIFESTS = web.AppKey("MANIFESTS", Manifests)
FILE_MANIFESTS: web.AppKey[FileManifests | None] = web.AppKey("FILE_MANIFESTS")
READERS = web.AppKey("READERS", Readers)
ACTIVITY = web.AppKey("ACTIVITY", Activity)
COUNTS = web.AppKey("COUNTS", Counts)
METER = web.AppKey("METER", Meter)
READINESS = web.AppKey("READINESS", Readiness)
FETCHER = web.AppKey("FETCHER", Fetcher)
WEB_ROOT: web.AppKey[WebRoot | None] = web.AppKey("WEB_ROOT")
REGISTRY = web.AppKey("REGISTRY", Registry)
NODES: web.AppKey[Nodes] = web.AppKey("NODES")
REGISTERING = web.AppKey("REGISTERING", Registering)
FAST_PATH = web.AppKey("FAST_PATH", FastPath)
