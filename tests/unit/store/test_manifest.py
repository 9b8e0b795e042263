from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import store_in, stored
from smki.errors import MissingObjectError, PlanError, StoreError
from smki.store.manifest import (
    Frame,
    Manifest,
    find_manifest,
    get_manifest,
    manifest_path,
    put_manifest,
    write_manifest,
)
from smki.store.pages import Compressor, PageXml


def pages_of(*xml: bytes) -> list[PageXml]:
    return [PageXml(number, number + 1, memoryview(piece)) for number, piece in enumerate(xml)]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return stored(store_in(tmp_path), [pages_of(b"one" * 100, b"two" * 100)], (b"<head>", b"</head>"))


def same(first: Manifest, second: Manifest) -> bool:
    facts = [replace(one, pages=first.pages[:0]).__dict__ for one in (first, second)]
    for one in facts:
        one.pop("pages")
    return facts[0] == facts[1] and first.pages.tolist() == second.pages.tolist()


@settings(max_examples=30)
@given(
    xml=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    statuses=st.sampled_from([None, "I", "ENR"]),
    predecessor=st.sampled_from(["", "SMKIKR_FULL_2025-06-01.xml.gz"]),
    frame=st.binary(max_size=40),
)
def test_manifest_survives_the_store_and_the_disk(
    xml: list[bytes], statuses: str | None, predecessor: str, frame: bytes
) -> None:
    with TemporaryDirectory() as name:
        store, file = store_in(Path(name)), Path(name) / "file.xml.gz"
        plain = stored(store, [[page] for page in pages_of(*xml)], (frame, frame[::-1]))
        manifest = replace(plain, statuses=statuses, predecessor=predecessor, taken_over=len(xml))
        assert same(get_manifest(store, put_manifest(store, manifest)), manifest)
        write_manifest(file, manifest)
        found = find_manifest(file)
        assert found is not None
        assert same(found, manifest)
        assert found.to_bytes() == manifest.to_bytes()


def test_content_digest_is_that_of_the_xml_not_of_the_compression(tmp_path: Path, manifest: Manifest) -> None:
    pages = manifest.pages.copy()
    for fact in ("segment", "offset", "deflate_bytes", "deflate_crc32"):
        pages[fact] += 1
    other_frame = replace(manifest.head, deflate=Compressor().compress(b"another"))
    assert replace(manifest, pages=pages, head=other_frame).content_digest == manifest.content_digest
    in_segments = stored(
        store_in(tmp_path), [[page] for page in pages_of(b"one" * 100, b"two" * 100)], (b"<head>", b"</head>")
    )
    assert in_segments.content_digest == manifest.content_digest


@pytest.mark.parametrize("part", ["head", "page", "tail", "order"])
def test_content_digest_is_another_for_other_xml(manifest: Manifest, part: str) -> None:
    pages = manifest.pages.copy()
    pages["xml_sha256"][1] = pages["xml_sha256"][0]
    other = {
        "head": replace(manifest, head=Frame.of(b"<Head>")),
        "page": replace(manifest, pages=pages),
        "tail": replace(manifest, tail=Frame.of(b"</Head>")),
        "order": replace(manifest, pages=manifest.pages[::-1]),
    }[part]
    assert other.content_digest != manifest.content_digest


def in_arrow(change: Callable[[pa.Table], pa.Table]) -> Callable[[bytes], bytes]:
    """The same with its table changed."""

    def damage(content: bytes) -> bytes:
        table = change(pa.ipc.open_file(content).read_all())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    return damage


def facts_with(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(table: pa.Table) -> pa.Table:
        facts = table.schema.metadata[b"smki"]
        assert old in facts
        return table.replace_schema_metadata({b"smki": facts.replace(old, new, 1)})

    return in_arrow(change)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b'{"obligation": "full"}',
    "cut in half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "no facts": in_arrow(lambda table: table.replace_schema_metadata(None)),
    "facts that are no JSON": in_arrow(lambda table: table.replace_schema_metadata({b"smki": b"{"})),
    "fact missing": facts_with(b'"name":', b'"nome":'),
    "wire format unknown": facts_with(b'"annex_b-1"', b'"annex_b-0"'),
    "head that is no text": facts_with(b'"deflate":"', b'"deflate":1,"rest":"'),
    "column missing": in_arrow(lambda table: table.drop_columns(["records"])),
    "column of texts": in_arrow(
        lambda table: table.set_column(0, "number", pa.array(["x"] * table.num_rows, pa.string()))
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_manifest_is_refused_by_name(manifest: Manifest, tmp_path: Path, damage: str) -> None:
    file, store = tmp_path / manifest.name, store_in(tmp_path)
    damaged = DAMAGES[damage](manifest.to_bytes())
    manifest_path(file).write_bytes(damaged)
    with pytest.raises(PlanError) as refused:
        find_manifest(file)
    assert refused.value.item == str(manifest_path(file))
    sha256 = store.put_content("manifests", damaged)
    with pytest.raises(StoreError) as caught:
        get_manifest(store, sha256)
    assert caught.value.item == f"manifests/{sha256}"


def test_manifest_that_was_changed_in_the_store_is_damaged(manifest: Manifest, tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sha256 = put_manifest(store, manifest)
    store.replace(f"manifests/{sha256}", replace(manifest, window_seq=8).to_bytes())
    with pytest.raises(StoreError) as caught:
        get_manifest(store, sha256)
    assert caught.value.item == f"manifests/{sha256}"


def test_manifest_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert find_manifest(tmp_path / "file.xml.gz") is None
    with pytest.raises(MissingObjectError):
        get_manifest(store_in(tmp_path), "0" * 64)
