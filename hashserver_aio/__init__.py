"""A server for bytes named by their hash.

`create_app` makes an aiohttp application of `Settings`; `app_factory` makes one of the environment,
for gunicorn's aiohttp workers and for `python -m aiohttp.web`. `Client` speaks to such servers.
"""

from __future__ import annotations

from .cli.factory import app_factory
from .client import Client
from .server.app import create_app
from .settings import Settings
from .version import __version__

__all__ = ["Client", "Settings", "__version__", "app_factory", "create_app"]
