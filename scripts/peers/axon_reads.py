#!/usr/bin/env python3
"""Read in the buffers of a Synapse Axon over Telepath, for tests.

It takes the Axon's URL as argument and JSON on stdin: [[name of a method, SHA-256, named arguments], ..]. It
answers on stdout with a line of JSON for each: the `repr` of all that came, and the name of the error that
ended it, or null.
"""

import asyncio
import json
import sys

import synapse.exc
import synapse.telepath

OF_BYTES = ("csvrows", "unpack")
"""These want the SHA-256 as bytes, the others as text."""


async def main(url: str, asked: list[tuple[str, str, dict[str, object]]]) -> None:
    """Ask one after the other."""
    async with await synapse.telepath.openurl(url) as axon:
        for method, sha256, named in asked:
            items, error = [], None
            try:
                answer = getattr(axon, method)(
                    bytes.fromhex(sha256) if method in OF_BYTES else sha256, **named
                )
                if hasattr(answer, "__aiter__"):
                    async for item in answer:
                        items.append(item)
                else:
                    items.append(await answer)
            except synapse.exc.SynErr as raised:
                error = type(raised).__name__
            print(json.dumps([repr(items), error]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.load(sys.stdin)))
