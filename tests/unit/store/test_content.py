import hashlib
from pathlib import Path

import pytest

from builders import XML_NAME, stored
from smki.errors import MissingObjectError, StoreError
from smki.store.content import SmallFile, fetch_small_file, put_small_file, stored_content
from smki.store.manifest import put_manifest
from smki.store.objects import Store
from smki.store.pages import PageXml

NAME = "SMKIKR_ORGANISATION_CRL.crl.gz"
CONTENT = b"a revocation list " * 9


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(CONTENT)
    return tmp_path / NAME


def test_small_file_comes_out_of_the_store_as_it_went_in(store: Store, file: Path, tmp_path: Path) -> None:
    sha256 = put_small_file(store, file)
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert fetch_small_file(store, sha256, tmp_path / "elsewhere" / NAME).read_bytes() == CONTENT
    content = stored_content(store, NAME, sha256)
    assert (content.name, content.size, content.sha256()) == (NAME, len(CONTENT), sha256)
    assert (content.read(2, 5), content.read(len(CONTENT) - 3, 9)) == (CONTENT[2:7], CONTENT[-3:])


def test_small_file_that_is_gone_or_damaged_is_an_error(store: Store, file: Path, tmp_path: Path) -> None:
    sha256 = put_small_file(store, file)
    file.unlink()
    with pytest.raises(StoreError):
        put_small_file(store, file)
    store.replace(f"files/{sha256}", CONTENT[:-1])
    for read in (lambda: stored_content(store, NAME, sha256), lambda: fetch_small_file(store, sha256, file)):
        with pytest.raises(StoreError, match=sha256):
            read()
    store.remove([f"files/{sha256}"])
    with pytest.raises(MissingObjectError, match=sha256):
        stored_content(store, NAME, sha256)
    assert not (tmp_path / NAME).exists()


def test_extract_is_found_by_its_manifest(store: Store) -> None:
    manifest = stored(store, [[PageXml(0, 1, memoryview(b"page"))]], (b"head", b"tail"))
    content = stored_content(store, "whatever", "0" * 64, put_manifest(store, manifest))
    assert (content.name, content.size) == (f"{XML_NAME}.gz", manifest.size)
    assert hashlib.sha256(content.read(0, manifest.size)).hexdigest() == content.sha256()


def test_small_file_in_memory_is_the_same(store: Store, file: Path) -> None:
    assert stored_content(store, NAME, put_small_file(store, file)) == SmallFile(NAME, CONTENT)
