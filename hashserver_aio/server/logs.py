"""Log records as lines of text or of JSON, and the access log.

No header of a request is ever logged: any of them may carry a secret.
"""

from __future__ import annotations

import json
import logging
import sys
import time

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError

ACCESS = "hashserver_aio.access"

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str, *, as_json: bool) -> None:
    """Send all records to stderr."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    handler.addFilter(_without_headers)
    logging.getLogger(ACCESS).setLevel(logging.INFO)  # it is asked for, or not there at all
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _without_headers(record: logging.LogRecord) -> bool:
    """Of a request that is no HTTP say so, for who asks for so much; aiohttp would quote the line, as an
    error.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    record.exc_info = record.exc_text = None
    record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", ()
    record.levelno, record.levelname = logging.INFO, "INFO"
    return logging.getLogger(record.name).isEnabledFor(logging.INFO)


def announce(line: str) -> None:
    """Say what is served, whatever the level: as a record if records are JSON, else as it is."""
    (handler,) = logging.getLogger().handlers
    if isinstance(handler.formatter, JsonFormatter):
        logger = logging.getLogger("hashserver_aio.server")
        handler.handle(logger.makeRecord(logger.name, logging.INFO, "", 0, line, (), None))
    else:
        print(line, file=sys.stderr, flush=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and what the record adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Word a record."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class AccessLog(AbstractAccessLogger):
    """A line a request: who, what, status, bytes sent, milliseconds."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log an answered request; `time` in seconds."""
        fields = {
            "remote": request.remote or "-",
            "method": request.method,
            "path": request.rel_url.raw_path,
            "status": response.status,
            "bytes": response.body_length,
            "ms": round(time * 1000, 1),
        }
        text = "%(remote)s %(method)s %(path)s %(status)d %(bytes)d %(ms).1f ms"
        self.logger.info(text % fields, extra={"fields": fields})
