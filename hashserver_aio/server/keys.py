"""What handlers find in the application; nothing is looked up by a string."""

from __future__ import annotations

from aiohttp import web

from ..access import AccessFile
from ..buffers import Buffers
from ..settings import Settings
from .activity import Activity
from .fast_path import FastPath

ACCESS: web.AppKey[AccessFile | None] = web.AppKey("ACCESS")
SETTINGS = web.AppKey("SETTINGS", Settings)
BUFFERS = web.AppKey("BUFFERS", Buffers)
ACTIVITY = web.AppKey("ACTIVITY", Activity)
FAST_PATH = web.AppKey("FAST_PATH", FastPath)
