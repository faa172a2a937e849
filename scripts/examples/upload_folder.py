#!/usr/bin/env python3
"""Store all files below a folder, those that the server has not: upload_folder.py FOLDER [URL]

Needs nothing but aiohttp; made to be copied and changed.
"""

import asyncio
import hashlib
import sys
from pathlib import Path

import aiohttp

AT_ONCE = 8


def name_of(path: Path, algorithm: str) -> str:
    """Name a file: what its bytes hash to."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, {"sha3-256": "sha3_256", "sha-256": "sha256"}[algorithm]).hexdigest()


async def upload(session: aiohttp.ClientSession, path: Path, name: str) -> bool:
    """Store a file; the server compares the bytes with the name, and answers once they are on its disk."""
    with path.open("rb") as file:
        async with session.put(f"/{name}", data=file, expect100=True) as answer:
            text = await answer.text()
            print(f"{name}  {path}" if answer.ok else f"{path}: {answer.status} {text}")
            return answer.ok


async def main(folder: str, url: str = "http://127.0.0.1:8000") -> bool:
    """Name the files, ask which are held, and send the others."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        async with session.get("/api/server", raise_for_status=True) as answer:
            algorithm = (await answer.json())["algorithm"]
        paths = await asyncio.to_thread(lambda: [path for path in Path(folder).rglob("*") if path.is_file()])
        names = [await asyncio.to_thread(name_of, path, algorithm) for path in paths]
        async with session.post("/has-now", json=names, raise_for_status=True) as answer:
            held = await answer.json()
        places = asyncio.Semaphore(AT_ONCE)

        async def one(path: Path, name: str) -> bool:
            async with places:
                return await upload(session, path, name)

        missing = [
            pair for pair, is_held in zip(zip(paths, names, strict=True), held, strict=True) if not is_held
        ]
        done = await asyncio.gather(*(one(path, name) for path, name in missing))
        print(f"{sum(done)} of {len(paths)} files stored, {sum(held)} were held", file=sys.stderr)
        return all(done)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(*sys.argv[1:])) else 1)
