"""A full extract by its changed pages leads to the same copy as the whole file, with less to fetch."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import assembled, day, document, look_alikes, record_of
from smki.certificates.set_digest import SetDigest
from smki.kinds.index.document import page_table
from smki.party.copy import LocalCopy
from smki.party.extract_reading import read_extract
from smki.party.pages import Changed, PageTable, find_changed, number_pages, read_changed, read_table
from smki.party.planning import OfferedFile, TableFile
from smki.party.refusals import Refusal, SyncRefusedError

from .extracts import apply, delta, offered

SIZE, PAGES = 3, 6  # certificates a page; pages
BODIES = look_alikes(SIZE * PAGES)
Offer = tuple[OfferedFile, Path, PageTable]


def offer(folder: Path, window: int, in_use: set[int]) -> Offer:
    """A full extract whose page n has those of BODIES[3n : 3n + 3] that are in use, with its page table."""
    xml = document([record_of(BODIES[0])])
    start, end = xml.index(b"<CertificateResponse>"), xml.rindex(b"</CertificateDataResponse>")
    pages = [
        b"".join(
            document([record_of(BODIES[place])])[start:].partition(b"</CertificateDataResponse>")[0] + b"\n"
            for place in range(number * SIZE, number * SIZE + SIZE)
            if place in in_use
        )
        for number in range(PAGES)
    ]
    file, manifest = assembled(folder, [xml[:start], *pages, xml[end:]], f"SMKIKR_FULL_{day(window)}.xml.gz")
    numbers = [number for number, page in enumerate(pages) if page]
    rows = manifest.pages.copy()
    rows["number"] = numbers
    content = page_table(file.name, replace(manifest, pages=rows))
    stated = TableFile("table", len(content), hashlib.sha256(content).hexdigest())
    one = replace(offered(file), pages=stated, state=SetDigest.of(BODIES[place] for place in in_use))
    return one, file, read_table(content, one)


def fetched(file: Path, changed: Changed) -> Path:
    """What fetching the ranges leaves."""
    content = file.read_bytes()
    part = file.with_name("changed")
    part.write_bytes(b"".join(content[one.start : one.end] for one in changed.ranges()))
    assert part.stat().st_size == changed.bytes
    return part


def load(copy: LocalCopy, full: Offer) -> None:
    one, file, table = full
    copy.apply(one, "", number_pages(read_extract(file), table, file.name), table.pages)


@given(
    st.sets(st.integers(0, SIZE * PAGES - 1), min_size=1),
    st.dictionaries(st.integers(0, SIZE * PAGES - 1), st.sampled_from("PINER")),
    st.sets(st.integers(0, SIZE * PAGES - 1), min_size=1),
)
@settings(max_examples=40)
def test_copy_is_that_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, before: set[int], between: dict[int, str], after: set[int]
):
    folder = tmp_path_factory.mktemp("copy")
    with LocalCopy(folder / "copy.sqlite") as copy:
        load(copy, offer(folder, 7, before))
        apply(copy, delta(folder, day(8), {BODIES[place]: status for place, status in between.items()}))
        one, file, table = offer(folder, 14, after)
        changed = find_changed(table, copy.pages())
        copy.apply(one, "", read_changed(fetched(file, changed), changed, file.name), table.pages, changed.kept)
        held = dict(copy.read("SELECT body, status FROM certificate", ()))
        assert held == {BODIES[place]: "I" for place in after}
        assert copy.pages() == dict(table.pages)
        copy.check()


def test_only_pages_that_changed_are_fetched(tmp_path: Path):
    everything = set(range(SIZE * PAGES))
    with LocalCopy(tmp_path / "copy.sqlite") as copy:
        load(copy, offer(tmp_path, 7, everything))
        assert find_changed(offer(tmp_path, 14, everything)[2], copy.pages()).bytes == 0
        changed = find_changed(offer(tmp_path, 14, everything - {SIZE, 4 * SIZE})[2], copy.pages())
        assert changed.places.tolist() == [1, 4]
        apply(copy, delta(tmp_path, day(8), {BODIES[0]: "I"}))
        touched = find_changed(offer(tmp_path, 14, everything)[2], copy.pages())
        assert touched.places.tolist() == [0], "a delta has touched it"


def test_what_stays_of_a_changed_page_is_not_written_again(tmp_path: Path):
    """Numbers and so places in every index stay; a certificate that a delta brought gets its page."""
    everything = set(range(SIZE * PAGES))
    with LocalCopy(tmp_path / "copy.sqlite") as copy:
        load(copy, offer(tmp_path, 7, everything - {4}))
        apply(copy, delta(tmp_path, day(8), {BODIES[0]: "N", BODIES[1]: "N", BODIES[4]: "I"}))
        query = "SELECT sha256, id FROM certificate_body WHERE sha256 <> ? ORDER BY id"
        before = copy.read(query, (hashlib.sha256(BODIES[0]).digest(),))
        one, file, table = offer(tmp_path, 14, everything - {0})
        changed = find_changed(table, copy.pages())
        assert changed.places.tolist() == [0, 1]
        batches = read_changed(fetched(file, changed), changed, file.name)
        copy.apply(one, "", batches, table.pages, changed.kept)
        assert copy.read(query, (b"",)) == before
        assert copy.read("SELECT count(*) FROM certificate WHERE status <> 'I' OR page IS NULL", ()) == [(0,)]


def test_certificate_that_stands_in_a_kept_page_and_in_a_changed_one_is_refused(tmp_path: Path):
    with LocalCopy(tmp_path / "copy.sqlite") as copy:
        load(copy, offer(tmp_path, 7, {0, 1, SIZE}))
        one, file, table = offer(tmp_path, 14, {0, 1, SIZE})
        changed = Changed(table, np.arange(1))
        batches = list(read_changed(fetched(file, changed), changed, file.name))
        apply(copy, delta(tmp_path, day(8), {BODIES[SIZE]: "I"}))
        for twice, kept in ((batches * 2, [1]), (batches, [0, 1])):
            with pytest.raises(SyncRefusedError, match="more than once"):
                copy.apply(one, "", twice, table.pages, kept)


def test_page_that_is_not_what_the_table_states_is_refused(tmp_path: Path):
    one, file, table = offer(tmp_path, 7, {0, 5})
    changed = Changed(table, np.arange(2))
    part = fetched(file, changed)
    content = bytearray(part.read_bytes())
    content[20] ^= 1
    part.write_bytes(content)
    with LocalCopy(tmp_path / "copy.sqlite") as copy, pytest.raises(SyncRefusedError) as raised:
        copy.apply(one, "", read_changed(part, changed, file.name), table.pages, [])
    assert raised.value.refusal is Refusal.DAMAGED


def test_table_that_the_index_does_not_state_is_refused(tmp_path: Path):
    one, _, _ = offer(tmp_path, 7, {0})
    with pytest.raises(SyncRefusedError) as raised:
        read_table(b"another", one)
    assert raised.value.refusal is Refusal.DAMAGED
