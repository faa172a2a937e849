#!/usr/bin/env python3
"""Run a Synapse Axon on loopback, for tests and benchmarks; its own command listens on every address.

It takes a directory as argument and a line of JSON on stdin: {user: [permission, ..], ..}; each password is
"secret". It answers with a line of JSON on stdout: the ports "https", "http" (the same application without
TLS, which an Axon never offers by itself) and "telepath", and "keys", an API key for each user. It ends when
stdin does.
"""

import asyncio
import json
import sys

import synapse.axon

LOOPBACK = "127.0.0.1"
PASSWORD = "secret"


async def main(directory: str, users: dict[str, list[str]]) -> None:
    """Serve until stdin ends."""
    async with await synapse.axon.Axon.anit(directory) as axon:
        keys = {name: await _add(axon, name, permissions) for name, permissions in users.items()}
        _, https = await axon.addHttpsPort(0, host=LOOPBACK)
        plain = axon.wapp.listen(0, address=LOOPBACK)
        http = next(iter(plain._sockets.values())).getsockname()[1]
        _, telepath = await axon.dmon.listen(f"tcp://{LOOPBACK}:0/")
        print(json.dumps({"https": https, "http": http, "telepath": telepath, "keys": keys}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _add(axon: synapse.axon.Axon, name: str, permissions: list[str]) -> str:
    user = await axon.auth.addUser(name)
    await user.setPasswd(PASSWORD)
    for permission in permissions:
        await user.addRule((True, tuple(permission.split("."))))
    key, _ = await axon.addUserApiKey(user.iden, "key")
    return key


if __name__ == "__main__":  # the Axon's own processes import this file
    asyncio.run(main(sys.argv[1], json.loads(sys.stdin.readline())))
