"""Users and keys, an access file that knows them, and what they send; and what is wrong."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from hashserver_aio.passwords import Scrypt, digest_of

PERMISSIONS = {
    "reader": ["read"],
    "writer": ["write"],
    "deleter": ["delete"],
    "fetcher": ["fetch"],
    "mover": ["read", "write", "fetch"],
    "admin": ["admin"],
    "nobody": [],
}
PASSWORDS = {user: f"secret: of {user}" for user in PERMISSIONS}
KEYS = {user: f"key-of-{user}" for user in PERMISSIONS}
HASHES = {user: str(Scrypt.of(password)) for user, password in PASSWORDS.items()}


def write(path: Path, text: str | None) -> None:
    """Change an access file, or remove it."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


def text_of(anonymous: str = "") -> str:
    """Write an access file."""
    tables = [f'[users.{u}]\npassword = "{HASHES[u]}"\npermissions = {p}' for u, p in PERMISSIONS.items()]
    tables += [
        f'[keys.{u}]\nsha256 = "{digest_of(KEYS[u]).hex()}"\npermissions = {p}'
        for u, p in PERMISSIONS.items()
    ]
    return "\n".join([*tables, anonymous])


def basic(user: str, password: str) -> dict[str, str]:
    """Word Basic credentials."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def credentials(user: str, kind: str) -> dict[str, str]:
    """Word somebody's credentials."""
    if kind == "basic":
        return basic(user, PASSWORDS[user])
    key = KEYS[user]
    return {"Authorization": f"Bearer {key}"} if kind == "bearer" else {"X-API-KEY": key}


WRONG = {
    "none": {},
    "wrong password": basic("reader", "wrong"),
    "another's password": basic("reader", PASSWORDS["writer"]),
    "unknown user": basic("stranger", "secret: of reader"),
    "no colon": {"Authorization": "Basic " + b64encode(b"reader").decode()},
    "no base64": {"Authorization": "Basic ***"},
    "no UTF-8": {"Authorization": "Basic " + b64encode(b"reader:\xff").decode()},
    "empty": {"Authorization": "Basic"},
    "wrong key": {"X-API-KEY": "wrong"},
    "a key's hash": {"X-API-KEY": digest_of(KEYS["reader"]).hex()},
    "empty key": {"X-API-KEY": ""},
    "wrong bearer": {"Authorization": "Bearer wrong"},
    "a NUL more": basic("reader", PASSWORDS["reader"] + "\0"),
    "no ASCII": {"Authorization": "Basic cmVhZGVyé"},
    "no ASCII key": {"X-API-KEY": "\udcff\udcfe"},
    "unknown scheme": {"Authorization": "Digest username=reader"},
    "right bearer, wrong key": {"Authorization": f"Bearer {KEYS['reader']}", "X-API-KEY": "wrong"},
}
