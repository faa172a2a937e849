#!/usr/bin/env python3
"""Have a node of `dataserv-client` speak to a server, for tests.

It takes the server's URL and a folder for wallet and settings as arguments, and JSON on stdin: [[name of a
call, [arguments]], ..]. It answers on stdout with a line of JSON: the node's address, and for each call what
the client gave, or the name of the error that it raised.
"""

import json
import sys
from pathlib import Path

from dataserv_client import api


def main(url: str, folder: Path, calls: list[tuple[str, list[object]]]) -> None:
    """Make the calls, one after the other."""
    client = api.Client(
        url=url,
        store_path=str(folder / "store"),
        config_path=str(folder / "settings" / "config.json"),
        connection_retry_limit=1,
        connection_retry_delay=0,
    )
    client._init_messenger()
    outcomes = [_outcome(client, name, arguments) for name, arguments in calls]
    print(json.dumps({"address": client.messenger.auth_address(), "outcomes": outcomes}))


def _outcome(client: api.Client, name: str, arguments: list[object]) -> object:
    """Call the client, or below it what its commands call when they are at it for hours."""
    try:
        if name == "mistake server":
            client.messenger._server_address = arguments[0]
            return None
        target = client if name in ("register", "ping", "poll", "config") else client.messenger
        given = getattr(target, name)(*arguments)
        return given.decode() if isinstance(given, bytes) else given
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    # Its own output would be taken for the answer.
    stdout, sys.stdout = sys.stdout, sys.stderr
    calls = json.load(sys.stdin)
    sys.stdout = stdout
    main(sys.argv[1], Path(sys.argv[2]), calls)
