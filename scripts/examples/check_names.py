#!/usr/bin/env python3
"""Tell which names of a list a server has not: check_names.py FILE [URL], with a name a line

Needs nothing but aiohttp; made to be copied and changed.
"""

import asyncio
import sys
from pathlib import Path

import aiohttp

BATCH = 10_000


async def main(file: str, url: str = "http://127.0.0.1:8000") -> bool:
    """Ask in batches, and print what is absent."""
    lines = await asyncio.to_thread(Path(file).read_text)
    names = [line.split()[0] for line in lines.splitlines() if line.strip()]
    absent = 0
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        for begin in range(0, len(names), BATCH):
            batch = names[begin : begin + BATCH]
            async with session.post("/has-now", json=batch) as answer:
                if not answer.ok:
                    sys.exit(f"the server answered {answer.status}: {await answer.text()}")
                held = await answer.json()
            for name, is_held in zip(batch, held, strict=True):
                if not is_held:
                    absent += 1
                    print(name)
    print(f"{absent} of {len(names)} are absent", file=sys.stderr)
    return not absent


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(*sys.argv[1:])) else 1)
