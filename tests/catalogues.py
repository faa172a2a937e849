"""What every catalogue promises, as tests; and what they record."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hashserver_aio.catalogue import Arrival, Catalogue, Known, Totals
from hashserver_aio.checksums import Checksum, Digests
from hashserver_aio.store import Form, Identity


def name(number: int) -> Checksum:
    """Make a checksum."""
    return Checksum(f"{number:064x}")


def arrival(
    number: int, *, inode: int = 1, place: str = "", form: Form = Form.PLAIN, durable: bool = True
) -> Arrival:
    """Make an arrival, the same one for the same arguments."""
    sha256 = number.to_bytes(32, "little")
    known = Known(Identity(number + 7, 10**18, 10**18 + 1, inode), number + 5, sha256, durable)
    return Arrival(name(number), place, form, known)


def known(catalogue: Catalogue, number: int, place: str = "", form: Form = Form.PLAIN) -> Known | None:
    """Ask for a stored file."""
    return catalogue.known(name(number), place, form)


class CatalogueContract:
    """What whoever uses a catalogue may rely on, whichever it is."""

    async def test_unknown(self, catalogue: Catalogue) -> None:
        """Of what was never recorded nothing is known."""
        assert known(catalogue, 1) is None
        assert catalogue.held(name(1)) is None

    async def test_record(self, catalogue: Catalogue) -> None:
        """What was recorded is known to the last bit, at once."""
        await catalogue.record(arrival(1))
        await catalogue.record(arrival(2, durable=False))
        assert known(catalogue, 1) == arrival(1).known
        assert known(catalogue, 2) == arrival(2, durable=False).known

    async def test_places_and_forms(self, catalogue: Catalogue) -> None:
        """Each file of a buffer is known for itself: by place and by form."""
        given = [arrival(1), arrival(1, inode=2, form=Form.ZSTD), arrival(1, inode=3, place="/extra")]
        for each in given:
            await catalogue.record(each)
        for each in given:
            assert catalogue.known(each.checksum, each.place, each.form) == each.known
        assert known(catalogue, 1, "/extra", Form.ZSTD) is None

    async def test_another_file(self, catalogue: Catalogue) -> None:
        """A file recorded anew replaces what was known, and inherits no durability."""
        await catalogue.record(arrival(1, inode=1, durable=True))
        await catalogue.record(arrival(1, inode=2, durable=False))
        assert known(catalogue, 1) == arrival(1, inode=2, durable=False).known

    async def test_becoming_durable(self, catalogue: Catalogue) -> None:
        """A file that is synced later is known to be durable from then on."""
        await catalogue.record(arrival(1, durable=False))
        await catalogue.record(arrival(1, durable=True))
        assert known(catalogue, 1) == arrival(1, durable=True).known

    async def test_at_once(self, catalogue: Catalogue) -> None:
        """Buffers that come at once, some of them several times, are listed once each, as they came."""
        numbers = [number * 7 % 150 for number in range(300)]
        others = Digests(b"m" * 16, b"s" * 20, b"t" * 64)
        arrivals = [replace(arrival(n, inode=i), others=others) for i, n in enumerate(numbers)]
        await catalogue.record(arrivals[0])
        await asyncio.gather(*map(catalogue.record, arrivals))
        page = catalogue.feed(0)
        assert [each.checksum for each in page.held] == [name(number) for number in numbers[:150]]
        assert catalogue.totals() == Totals(150, sum(number + 5 for number in range(150)))
        for each in arrivals[150:]:
            assert catalogue.known(each.checksum, "", Form.PLAIN) == each.known
            assert catalogue.hashset(each.checksum) is not None

    async def test_named(self, catalogue: Catalogue) -> None:
        """A buffer is found by its SHA-256, whether that is its checksum or not, as long as it is held."""
        same = replace(arrival(2), known=arrival(2).known._replace(sha256=bytes.fromhex(name(2))))
        for each in (arrival(1), same):
            assert each.known.sha256 is not None and catalogue.named(each.known.sha256) is None
            await catalogue.record(each)
            assert catalogue.named(each.known.sha256) == each.checksum
            await catalogue.forget(each.checksum, lambda _: True)
            assert catalogue.named(each.known.sha256) is None
        await catalogue.record(arrival(3))
        assert catalogue.named(bytes.fromhex(name(3))) is None  # which is not its SHA-256

    async def test_still_there(self, catalogue: Catalogue) -> None:
        """What is not absent after all is not forgotten."""
        await catalogue.record(arrival(1))
        held = catalogue.held(name(1))
        await catalogue.forget(name(1), lambda _: False)
        assert known(catalogue, 1) == arrival(1).known and catalogue.held(name(1)) == held

    async def test_forget(self, catalogue: Catalogue) -> None:
        """What is forgotten is not listed as held; others are, and it can come again."""
        for number in (1, 2):
            await catalogue.record(arrival(number))
        for number in (1, 3):  # the other one was never there
            await catalogue.forget(name(number), lambda _: True)
        assert catalogue.held(name(1)) is None
        assert known(catalogue, 2) == arrival(2).known
        await catalogue.record(arrival(1, inode=9))
        assert known(catalogue, 1) == arrival(1, inode=9).known
