"""The store, in a folder and behind an S3 API: whole objects, written once, and errors that say what to do."""

import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from object_storage import s3_server
from smki.errors import ConfigurationError, MissingObjectError, StoreError
from smki.store.objects import Store, damaged

CONTENT = bytes(range(256)) * 40
KEY = "segments/one"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty one."""
    if request.param == "folder":
        return Store.folder(tmp_path / "store")
    environment = request.getfixturevalue("s3")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Store(f"{environment['SMKI_STORE']}/{tmp_path.name}")


def test_object_is_what_was_put(store: Store) -> None:
    sha256 = store.put_content("segments", CONTENT)
    assert store.get_content("segments", sha256) == store.get(f"segments/{sha256}") == CONTENT
    assert (store.holds(f"segments/{sha256}"), store.holds("segments/another"), store.holds("segments")) == (
        True,
        False,
        False,
    )


def test_object_that_is_there_is_not_written_again(store: Store) -> None:
    store.put(KEY, CONTENT)
    (before,) = store.list_objects("segments/")
    store.put(KEY, CONTENT)
    assert list(store.list_objects("segments/")) == [before]


@pytest.mark.parametrize(("hours", "is_renewed"), [(23, False), (25, True)])
def test_object_that_is_put_again_after_a_day_is_as_good_as_new(tmp_path: Path, hours: int, is_renewed: bool) -> None:
    """Whoever removes what is old and needed by nobody then leaves it alone."""
    store, file = Store.folder(tmp_path), tmp_path / KEY
    store.put(KEY, CONTENT)
    before = file.stat().st_mtime - hours * 3600
    os.utime(file, (before, before))
    store.put(KEY, CONTENT)
    assert (file.stat().st_mtime > before) is is_renewed
    assert store.get(KEY) == CONTENT


def test_damaged_object_is_replaced_and_the_log_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    sha256 = store.put_content("segments", CONTENT)
    store.replace(f"segments/{sha256}", CONTENT[:-1])
    with pytest.raises(StoreError) as caught:
        store.get_content("segments", sha256)
    assert caught.value.item == f"segments/{sha256}"
    with caplog.at_level(logging.WARNING):
        assert store.put_content("segments", CONTENT) == sha256
    assert f"key=segments/{sha256}" in caplog.text
    assert store.get_content("segments", sha256) == CONTENT


def test_many_who_put_the_same_object_at_once_all_succeed(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: store.put_content("files", CONTENT), range(8)))
    assert [one.key for one in store.list_objects("files/")] == [f"files/{name}" for name in names]


def test_ranges_are_read_in_the_order_asked_for(store: Store) -> None:
    store.put(KEY, CONTENT)
    assert store.get_ranges(KEY, [700, 0, 5], [3, 10, 7]) == [CONTENT[700:703], CONTENT[:10], CONTENT[5:12]]
    assert store.get_ranges(KEY, [], []) == []


def test_ranges_far_apart_are_read(store: Store) -> None:
    store.put(KEY, CONTENT * 400)
    starts = [0, 1_200_000, 1_200_100, 4_000_000]
    assert store.get_ranges(KEY, starts, [10] * 4) == [(CONTENT * 400)[start : start + 10] for start in starts]
    with pytest.raises(StoreError, match="ends before"):
        store.get_ranges(KEY, [*starts, len(CONTENT) * 400 - 1], [10] * 5)


@pytest.mark.parametrize("before", [[], [0]])
@pytest.mark.parametrize("start", [len(CONTENT) - 5, len(CONTENT), len(CONTENT) + 9, len(CONTENT) + (3 << 20)])
def test_range_that_the_object_does_not_have_says_that_it_is_damaged(
    store: Store, before: list[int], start: int
) -> None:
    store.put(KEY, CONTENT)
    starts = [*before, start]
    with pytest.raises(StoreError) as caught:
        store.get_ranges(KEY, starts, [6] * len(starts))
    assert (caught.value.item, caught.value.next_step) == (KEY, damaged(KEY, "").next_step)


def test_object_that_is_not_there_is_missing(store: Store) -> None:
    for read in (
        lambda: store.get(KEY),
        lambda: store.get_ranges(KEY, [0], [1]),
        lambda: store.get_content("segments", "one"),
    ):
        with pytest.raises(MissingObjectError) as caught:
            read()
        assert caught.value.item == KEY
        assert "SMKI_STORE" in caught.value.next_step


def test_listing_has_names_sizes_and_times(store: Store) -> None:
    for key in ("segments/a", "segments/b", "checked/x/a.pages"):
        store.put(key, CONTENT)
    (of_checked,) = store.list_objects("checked/")
    assert (of_checked.key, of_checked.bytes) == ("checked/x/a.pages", len(CONTENT))
    assert abs(datetime.now(UTC) - of_checked.changed_at) < timedelta(minutes=1)
    assert sorted(one.key for one in store.list_objects("segments/")) == ["segments/a", "segments/b"]
    assert list(store.list_objects("manifests/")) == []


def test_object_that_is_gone_is_removed_all_the_same(store: Store) -> None:
    store.put(KEY, CONTENT)
    store.put("segments/two", CONTENT)
    store.remove([KEY, "segments/never"])
    store.remove([KEY])
    assert [one.key for one in store.list_objects("segments/")] == ["segments/two"]


def test_another_process_opens_it_by_its_name(store: Store) -> None:
    store.put(KEY, CONTENT)
    assert pickle.loads(pickle.dumps(store)).get(KEY) == CONTENT  # noqa: S301  # our own


@pytest.mark.parametrize("url", ["nonsense://x", "s3://", "://", "http//x://y"])
def test_url_that_nobody_can_read_is_a_setting_to_correct(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SMKI_STORE") as caught:
        Store(url)
    assert caught.value.item == url


@pytest.fixture
def denying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An S3 API that lets nobody do anything."""

    class Deny(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815  # so http.server calls them

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Deny) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "publisher")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield Store("s3://smki/publisher")
        server.shutdown()


def test_right_that_the_account_lacks_is_a_setting_to_correct(denying: Store) -> None:
    for use in (
        lambda: denying.put(KEY, CONTENT),
        lambda: denying.get(KEY),
        lambda: denying.get_ranges(KEY, [0], [1]),
        lambda: denying.holds(KEY),
        lambda: list(denying.list_objects("segments/")),
        lambda: denying.remove([KEY]),
    ):
        with pytest.raises(ConfigurationError, match=r"denies it .*SMKI_STORE"):
            use()


def test_server_that_does_not_answer_is_an_error_of_the_store(denying: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="the store cannot be used"):
        Store(denying.name).get(KEY)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((StoreError, ConfigurationError)) as caught:
        Store.folder(tmp_path / "file" / "store").put(KEY, CONTENT)
    assert str(tmp_path / "file" / "store") in caught.value.item


def test_folder_that_takes_no_more_is_an_error_of_the_store(tmp_path: Path) -> None:
    store = Store.folder(tmp_path)
    (tmp_path / "segments").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        store.put(KEY, CONTENT)
    assert caught.value.item == KEY


def test_folder_that_the_account_may_not_write_is_a_setting_to_correct(tmp_path: Path) -> None:
    Store.folder(tmp_path)
    tmp_path.chmod(0o500)
    program = (
        "import os, sys\n"
        "from smki.store.objects import Store\n"
        "if not os.getuid(): os.setuid(65534)\n"  # nothing is denied to root
        "Store(sys.argv[1]).put('segments/one', b'x')\n"
    )
    result = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "ConfigurationError" in result.stderr
    assert "the store denies it" in result.stderr
