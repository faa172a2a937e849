"""The access file: what it may say, how it is made, and how passwords are checked."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from hashserver_aio import access as access_room
from hashserver_aio.access import AccessFile, Basic, Key, Permission, parse
from hashserver_aio.errors import Busy, CannotStart
from hashserver_aio.passwords import Scrypt

from .servers import COMMAND, environment

READER = str(Scrypt.of("secret of reader"))


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    """An access file with one user."""
    path = tmp_path / "auth.toml"
    path.write_text(f'[users.reader]\npassword = "{READER}"\npermissions = ["read"]\n')
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What passwords were hashed."""
    passwords, fits = list[str](), Scrypt.fits

    def counted(self: Scrypt, password: str) -> bool:
        passwords.append(password)
        return fits(self, password)

    monkeypatch.setattr(Scrypt, "fits", counted)
    return passwords


RIGHT = Basic("reader", "secret of reader")


async def test_verdicts_are_remembered(
    auth_file: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password is hashed once in five minutes, right or wrong; guesses do not push out what is right."""
    access = AccessFile(auth_file)
    monkeypatch.setattr(access_room, "MAX_REMEMBERED", 3)
    for _ in range(3):
        for given in (Basic("reader", "wrong"), RIGHT):
            assert (await access.identify(given) is None) == (given is not RIGHT)
    assert len(hashed) == 2
    for number in range(4):
        await access.identify(Basic("reader", f"wrong {number}"))
    await access.identify(RIGHT)
    assert len(hashed) == 6
    await access.identify(Basic("reader", "wrong"))  # of many guesses the first is forgotten
    assert len(hashed) == 7
    later_s = time.monotonic() + access_room.REMEMBERED_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    await access.identify(RIGHT)
    assert len(hashed) == 8
    access.close()


async def test_many_at_once(auth_file: Path, hashed: list[str]) -> None:
    """A hundred requests of one user who has just come are one password to check."""
    access = AccessFile(auth_file)
    assert all(await asyncio.gather(*(access.identify(RIGHT) for _ in range(150))))
    assert len(hashed) == 1
    access.close()


def test_secrets_are_not_shown() -> None:
    """Whoever logs credentials logs no secret."""
    assert "secret" not in repr(RIGHT) and "abc" not in repr(Key("abc"))


async def test_waiting_is_bounded(auth_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more passwords than a few wait to be checked."""
    monkeypatch.setattr(access_room, "MAX_WAITING", 0)
    with pytest.raises(Busy):
        await AccessFile(auth_file).identify(Basic("reader", "x"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[users", "it is no TOML"),
        ("[user.x]\n", r"\[user\] is unknown"),
        ("users = 3", r"\[users\] holds tables only"),
        ("[users.x]\npermissions = []", r"\[users.x\] has no password"),
        ('[users.x]\npassword = "secret-x"\npermissions = []', r"\[users.x\] has no password"),
        (f'[users."a:b"]\npassword = "{READER}"\npermissions = []', "no colon"),
        (f'[users.x]\npassword = "{READER}"', "no list of permissions"),
        (f'[users.x]\npassword = "{READER}"\npermissions = ["all"]', "other than read, write"),
        (f'[users.x]\npassword = "{READER}"\npermissions = []\nadmin = 1', "unknown setting admin"),
        ('[keys.x]\nsha256 = "secret-x"\npermissions = []', r"\[keys.x\] has no sha256"),
        ('[users.x]\npassword = "$scrypt$ln=17,r=1,p=1$AA$AA"\npermissions = []', "has no password"),
        ("[anonymous]\npermissions = 3", "no list of permissions"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, said: str) -> None:
    """A file that is wrong is refused at the start, in a sentence that names the entry and no secret."""
    path = tmp_path / "auth.toml"
    path.write_text(text)
    with pytest.raises(CannotStart, match=said) as refusal:
        AccessFile(path)
    assert "secret-x" not in str(refusal.value)


def auth_add(path: Path, *arguments: str, password: str = "") -> tuple[int, str, str]:
    """Run `hashserver-aio auth add`."""
    command = [*COMMAND, "auth", "add", *arguments, "--auth-file", str(path)]
    ran = subprocess.run(command, input=password, capture_output=True, text=True, env=environment())
    return ran.returncode, ran.stdout, ran.stderr


async def test_auth_add(tmp_path: Path) -> None:
    """Users and keys that the command adds are known; the file is nobody else's to read."""
    path = tmp_path / "auth.toml"
    assert (
        auth_add(path, "ann", "-p", "read", "-p", "write", "--password-stdin", password="Pässwörd 1\n")[0]
        == 0
    )
    code, key, _ = auth_add(path, "a b.ü", "--key", "-p", "read")
    assert (code, path.stat().st_mode & 0o777) == (0, 0o600)
    assert "Pässwörd" not in path.read_text() and key.strip() not in path.read_text()
    access = AccessFile(path)
    ann = await access.identify(Basic("ann", "Pässwörd 1"))
    assert ann is not None and ann.permissions == {Permission.READ, Permission.WRITE}
    program = await access.identify(Key(key.strip()))
    assert program is not None and (program.name, *program.permissions) == ("a b.ü", Permission.READ)
    access.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ann", "-p", "read", "--password-stdin"], "is there already"),
        (["bob", "-p", "read", "--password-stdin"], ""),
        (["bob", "-p", "everything", "--password-stdin"], "is not one of"),
        (["bob", "--password-stdin"], "Missing option"),
        (["a:b", "-p", "read", "--password-stdin"], "no colon"),
    ],
)
def test_auth_add_refuses(tmp_path: Path, arguments: list[str], said: str) -> None:
    """What can't be added leaves the file as it was."""
    path = tmp_path / "auth.toml"
    assert auth_add(path, "ann", "-p", "read", "--password-stdin", password="x\n")[0] == 0
    before = path.read_text()
    code, _, error = auth_add(path, *arguments, password="y\n" if said else "\n")
    assert code and (said or "an empty password is none") in error
    assert path.read_text() == before


def test_parse_nothing() -> None:
    """An empty file lets nobody do anything."""
    assert not parse("").anonymous.permissions


def test_missing_file(directory: Path, tmp_path: Path) -> None:
    """A server whose access file is missing does not start."""
    command = [*COMMAND, "run", str(directory), "--port", "0", "--auth-file", str(tmp_path / "none")]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=20)
    assert ran.returncode == 1 and "can't be read: No such file" in ran.stderr
