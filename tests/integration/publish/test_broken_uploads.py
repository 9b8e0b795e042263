"""Whatever breaks on the way: nothing wrong gets the final name, and the next try comes right."""

import subprocess
import time
from dataclasses import replace

import pytest

from smki.errors import (
    MissingObjectError,
    SiteFullError,
    SiteUnavailableError,
    TransportError,
    UploadDamagedError,
)
from smki.publish.part_writer import PROGRESS_BYTES
from smki.publish.wire import CHUNK, WINDOW

NAME = "FULL.xml.gz"
PART = f".{NAME}.part"


def names(server):
    return sorted(path.name for path in server.published.iterdir())


def published_whole(server, staged):
    return (server.published / NAME).read_bytes() == staged.content and names(server) == [NAME]


def first_offset(progress):
    return progress[0][0]


@pytest.fixture
def progress():
    """What a progress callback was called with; `append` takes the two arguments."""

    class Calls(list):
        def __call__(self, done, total):
            self.append((done, total))

    return Calls()


def test_upload_goes_on_where_the_connection_broke(faulty, staged, publish, progress):
    faulty.faults.drop_at = 4_000_000

    with pytest.raises(SiteUnavailableError):
        publish(faulty.site, staged)
    assert names(faulty) == [PART]

    publish(faulty.site, staged, progress=progress)
    assert 4_000_000 <= first_offset(progress) < 4_000_000 + CHUNK
    assert published_whole(faulty, staged)


def test_server_that_is_killed_during_the_upload_gets_the_rest_by_the_next_try(sshd, stage, publish, progress):
    staged = stage(size=2 * PROGRESS_BYTES)

    def kill_on_the_way(done, _total):
        if done:
            sshd.stop()

    with pytest.raises(SiteUnavailableError):
        publish(sshd.site, staged, progress=kill_on_the_way)
    assert names(sshd) == [PART]

    sshd.start()
    publish(sshd.site, staged, progress=progress)
    assert first_offset(progress) >= PROGRESS_BYTES
    assert published_whole(sshd, staged)


def test_part_of_other_content_is_replaced(site_server, stage, staged, publish, progress):
    site_server.published.mkdir()
    (site_server.published / PART).write_bytes(stage(seed=2).content[:3_000_000])

    publish(site_server.site, staged, progress=progress)
    assert first_offset(progress) == 0
    assert published_whole(site_server, staged)


def test_part_that_is_longer_than_the_file_is_replaced(site_server, staged, publish):
    site_server.published.mkdir()
    (site_server.published / PART).write_bytes(staged.content + b"more")

    publish(site_server.site, staged)
    assert published_whole(site_server, staged)


def test_whole_part_is_not_sent_again(site_server, staged, publish, progress):
    site_server.published.mkdir()
    (site_server.published / PART).write_bytes(staged.content)

    publish(site_server.site, staged, progress=progress)
    assert first_offset(progress) == staged.size
    assert published_whole(site_server, staged)


@pytest.mark.parametrize("length", [None, 3_000_000])
def test_part_with_damage_far_from_its_end_is_sent_anew_by_the_same_call(
    site_server, staged, publish, progress, length
):
    """Such as a hole that a crash of the server left: the server's disk is not to blame."""
    damaged = bytearray(staged.content[:length])
    damaged[10] ^= 1
    site_server.published.mkdir()
    (site_server.published / PART).write_bytes(damaged)

    publish(site_server.site, staged, progress=progress)
    assert published_whole(site_server, staged)
    assert first_offset(progress) == len(damaged)
    assert (0, staged.size) in progress, "then all was sent"


def test_part_that_reads_back_wrong_again_is_the_servers_fault(faulty, staged, publish):
    damaged = bytearray(staged.content)
    damaged[10] ^= 1
    faulty.published.mkdir()
    (faulty.published / PART).write_bytes(damaged)

    def goes_bad(done, _total):
        faulty.faults.flip_read = faulty.faults.flip_read or not done

    with pytest.raises(UploadDamagedError):
        publish(faulty.site, staged, progress=goes_bad)
    assert names(faulty) == []


def test_refused_write_among_the_last_in_flight_is_noticed(faulty, staged, publish):
    faulty.faults.refuse_write_at = {staged.size - 1}

    with pytest.raises(UploadDamagedError, match=str(staged.size)):
        publish(faulty.site, staged)
    assert names(faulty) == [PART]

    publish(faulty.site, staged)
    assert published_whole(faulty, staged)


def test_hole_that_a_refused_write_left_is_found_by_the_next_try(faulty, staged, publish, progress):
    faulty.faults.refuse_write_at = {staged.size - WINDOW * CHUNK // 2}

    with pytest.raises(UploadDamagedError):
        publish(faulty.site, staged)

    publish(faulty.site, staged, progress=progress)
    assert first_offset(progress) == 0
    assert published_whole(faulty, staged)


def test_wrong_bytes_on_reading_back_are_not_published(faulty, staged, publish):
    faulty.faults.flip_read = True

    with pytest.raises(UploadDamagedError, match="SHA-256"):
        publish(faulty.site, staged)
    assert names(faulty) == []


def test_full_server_is_asked_before_anything_is_sent(faulty, staged, publish, progress):
    faulty.faults.free_bytes = staged.size - 1

    with pytest.raises(SiteFullError, match=str(staged.size)):
        publish(faulty.site, staged, progress=progress)
    assert progress == []
    assert names(faulty) == []


def test_server_that_runs_full_keeps_nothing_of_the_file(faulty, staged, publish):
    faulty.faults.disk_bytes = 3_000_000

    with pytest.raises(SiteFullError, match="No space left on device"):
        publish(faulty.site, staged)
    assert names(faulty) == []


def test_real_disk_that_runs_full_keeps_nothing_of_the_file(sshd, staged, publish):
    sshd.published.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(sshd.published)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:

        def somebody_else_writes(done, _total):
            if not done:
                (sshd.published / "other").write_bytes(bytes(6_000_000))

        with pytest.raises(SiteFullError):
            publish(sshd.site, staged, progress=somebody_else_writes)
        assert names(sshd) == ["other"]
        with pytest.raises(SiteFullError, match=str(staged.size)):
            publish(sshd.site, staged)
        (sshd.published / "other").unlink()
        publish(sshd.site, staged)
        assert published_whole(sshd, staged)
    finally:
        subprocess.run(["umount", "--lazy", str(sshd.published)], check=True)


def test_limit_of_the_account_is_noticed_and_lifted(sshd, staged, publish):
    sshd.stop()
    sshd.start(limits="trap '' XFSZ; ulimit -f 4096;")

    with pytest.raises(TransportError, match=str(staged.size)):
        publish(sshd.site, staged)
    assert names(sshd) == [PART]

    sshd.stop()
    sshd.start()
    publish(sshd.site, staged)
    assert published_whole(sshd, staged)


def test_server_that_freezes_is_unavailable_after_the_timeout(sshd, staged, publish):
    begun = time.monotonic()

    with pytest.raises(SiteUnavailableError):
        publish(replace(sshd.site, answer_timeout_s=2), staged, progress=lambda _done, _total: sshd.freeze_sessions())
    assert time.monotonic() - begun < 20
    assert names(sshd) == [PART]


def test_rename_whose_answer_is_lost_is_found_done(faulty, staged, publish):
    faulty.faults.drop_after_rename = True

    with pytest.raises(SiteUnavailableError):
        publish(faulty.site, staged)
    assert publish(faulty.site, staged).already_there
    assert published_whole(faulty, staged)


def test_page_that_the_store_has_lost_ends_the_upload(site_server, paginate, publish, tmp_path):
    content = paginate([b"one", b"two"])
    judged = content.sha256()
    segment = content.manifest.segments[-1]
    (tmp_path / "store/segments" / segment).unlink()

    with pytest.raises(MissingObjectError, match=segment):
        publish(site_server.site, content, judged=judged)
    assert names(site_server) in ([], [PART])
