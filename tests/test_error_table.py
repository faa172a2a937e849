"""The error tree, its drawing, and the HTTP status of each error."""

from __future__ import annotations

import errno
import os
import re

import pytest

from hashserver_aio import errors
from hashserver_aio.errors import HashserverError, from_os_error
from hashserver_aio.server.axon.words import CODES
from hashserver_aio.server.errors import STATUS
from hashserver_aio.server.farmers.words import TEXTS
from hashserver_aio.server.words import PLAIN_TEXT


def tree(of: type[HashserverError] = HashserverError) -> set[type[HashserverError]]:
    """Name all errors below one."""
    below = {error for error in of.__subclasses__() if error.__module__.startswith(errors.__name__)}
    return below.union(*map(tree, below))


OF_CLIENTS = {errors.ServerTrouble} | tree(errors.ServerTrouble)
"""What only clients raise, so that nobody is ever answered with it."""


def drawn() -> list[str]:
    """Name the classes in the drawing of the module docstring."""
    return re.findall(r"^ {4,}([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)


def test_every_error_has_a_status() -> None:
    """Whatever a server raises on purpose is answered on purpose: the table covers the tree, and no more."""
    assert set(STATUS) == tree() - OF_CLIENTS


@pytest.mark.parametrize("error", STATUS, ids=lambda error: error.__name__)
def test_status_is_an_error(error: type[HashserverError]) -> None:
    """No error is answered as a success: a client would take its buffer for stored."""
    assert 400 <= STATUS[error] < 600


def test_drawing_names_every_error() -> None:
    """The tree drawn in the room is the tree that is there, each class once."""
    assert sorted(drawn()) == sorted(error.__name__ for error in tree() | {HashserverError})


def test_plain_text_is_for_known_errors() -> None:
    """The words of hashserver 1.1.0, of the Axon and of dataserv belong to errors of the table."""
    assert set(PLAIN_TEXT) | set(CODES) | set(TEXTS) <= set(STATUS)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOSPC, 507),
        (errno.EDQUOT, 507),
        (errno.EMFILE, 503),
        (errno.ENFILE, 503),
        (errno.EIO, 500),
        (errno.EROFS, 500),
        (errno.EACCES, 500),
    ],
)
def test_errors_of_the_disk(number: int, status: int) -> None:
    """What the disk says becomes a status of its own, without the server's path."""
    error = from_os_error(OSError(number, os.strerror(number), "/secret/path"))
    assert STATUS[type(error)] == status
    assert "/secret" not in str(error)
