#!/usr/bin/env python3
"""Print what a server stores, as it comes: watch_feed.py [URL [OFFSET]]

Needs nothing but aiohttp; made to be copied and changed.
"""

import asyncio
import json
import sys

import aiohttp

POLL_S = 20  # a connection that waits for longer might be dead, and nobody would know


async def watch(session: aiohttp.ClientSession, query: dict[str, str]) -> None:
    """Print what one connection tells, and note in `query` where the next one goes on."""
    async with session.get("/api/v1/axon/hashes", params=query) as answer:
        if answer.status == 409:
            sys.exit("this is another feed by now: begin anew, at 0")
        answer.raise_for_status()
        async for line in answer.content:
            record = json.loads(line)
            if "feed-id" in record:
                query["feed-id"] = record["feed-id"]  # the numbers mean nothing in another one
            elif "item" in record:
                index, (sha256, size) = record["item"]
                print(index, sha256, size, flush=True)
                query["offset"] = str(index + 1)
            elif "error" in record:
                if record["error"]["code"] == "FeedChanged":
                    sys.exit("this is another feed by now: begin anew, at 0")
                raise aiohttp.ClientPayloadError(record["error"]["mesg"])
            elif "end" in record:
                query["offset"] = str(record["end"]["offset"])


async def main(url: str = "http://127.0.0.1:8000", offset: str = "0") -> None:
    """Ask again and again, from where the last answer ended."""
    query = {"offset": offset, "wait": "true", "timeout": str(POLL_S)}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=3 * POLL_S)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        while True:
            try:
                await watch(session, query)
            except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:  # cut, or restarting
                print(f"trying again: {error!r}", file=sys.stderr)
                await asyncio.sleep(2)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
