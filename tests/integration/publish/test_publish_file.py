"""A file gets its final name whole, as it was judged, and never over another one."""

import errno
import gzip
import os
import random
import threading
import time
from dataclasses import replace

import asyncssh
import pytest
from asyncssh.sftp import SFTPServerHandler

from smki.errors import (
    ConfigurationError,
    PublicationRefusedError,
    StoreError,
    TransportError,
    UploadDamagedError,
    VerificationError,
)
from smki.publish.readback import remote_sha256
from smki.publish.recipe import KnownFiles
from smki.publish.site import open_sftp

NAME = "FULL.xml.gz"


def names(server):
    return sorted(path.name for path in server.published.iterdir())


def test_file_is_published_whole_under_its_name(site_server, staged, publish):
    published = publish(site_server.site, staged)

    assert (site_server.published / NAME).read_bytes() == staged.content
    assert names(site_server) == [NAME]
    assert (published.path, published.bytes, published.sha256) == (
        f"outgoing/{NAME}",
        staged.size,
        staged.sha256(),
    )
    assert not published.already_there


def test_file_of_pages_is_published_whole(site_server, paginate, publish):
    content = paginate([random.Random(number).randbytes(100_000) for number in range(50)])
    publish(site_server.site, content)

    assert (site_server.published / NAME).read_bytes() == b"".join(content.chunks())
    assert gzip.decompress((site_server.published / NAME).read_bytes()).startswith(b"<head>")


@pytest.mark.parametrize("size", [0, 1, 32_600, 32_601])
def test_file_of_any_size_is_published(site_server, stage, publish, size):
    publish(site_server.site, stage(size=size))

    assert (site_server.published / NAME).stat().st_size == size


def test_progress_goes_from_nothing_to_the_whole_file(sshd, staged, publish):
    seen = []
    publish(sshd.site, staged, progress=lambda done, total: seen.append((done, total)))

    total = staged.size
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)


def test_same_content_again_is_already_there(site_server, staged, publish):
    publish(site_server.site, staged)
    before = (site_server.published / NAME).stat()

    assert publish(site_server.site, staged).already_there
    assert (site_server.published / NAME).stat().st_mtime_ns == before.st_mtime_ns
    assert (site_server.published / NAME).stat().st_ino == before.st_ino


def test_other_content_under_the_same_name_is_refused(site_server, stage, publish):
    publish(site_server.site, stage(seed=1))

    with pytest.raises(PublicationRefusedError, match=stage(seed=1).sha256()):
        publish(site_server.site, stage(seed=2))
    assert (site_server.published / NAME).read_bytes() == stage(seed=1).content
    assert names(site_server) == [NAME]


def test_other_content_that_appears_during_the_upload_is_refused(sshd, staged, publish):
    def somebody_else_writes(_done, _total):
        (sshd.published / NAME).write_bytes(b"of somebody else")

    with pytest.raises(PublicationRefusedError):
        publish(sshd.site, staged, progress=somebody_else_writes)
    assert (sshd.published / NAME).read_bytes() == b"of somebody else"


def test_file_that_changed_after_it_was_judged_is_refused(site_server, stage, staged, publish):
    with pytest.raises(VerificationError, match=stage(seed=2).sha256()):
        publish(site_server.site, staged, judged=stage(seed=2).sha256())
    assert names(site_server) == []


def test_page_that_is_damaged_in_the_store_is_never_sent(site_server, paginate, publish, tmp_path):
    content = paginate([b"one", b"two"])
    judged = content.sha256()
    segment = content.manifest.segments[-1]
    (tmp_path / "store/segments" / segment).write_bytes(bytes(1_000))

    with pytest.raises(StoreError, match=segment):
        publish(site_server.site, content, judged=judged)
    assert NAME not in names(site_server)


def test_reader_never_sees_a_part_of_a_file(sshd, staged, publish):
    seen = []
    done = threading.Event()

    def read_as_a_party_would():
        with open_sftp(sshd.site) as sftp:
            while not done.is_set():
                try:
                    seen.append(remote_sha256(sftp, f"outgoing/{NAME}"))
                except FileNotFoundError:
                    seen.append("absent")

    reader = threading.Thread(target=read_as_a_party_would)
    reader.start()
    while len(seen) <= 10:
        time.sleep(0.01)
    publish(sshd.site, staged)
    looks = len(seen)
    while len(seen) < looks + 2:  # one that began before the end may have been under way
        time.sleep(0.01)
    done.set()
    reader.join()

    assert seen.count("absent") > 10
    assert set(seen) == {"absent", staged.sha256()}


def test_missing_folder_is_created(sshd, staged, publish):
    publish(replace(sshd.site, folder="anchors"), staged)

    assert (sshd.root / "anchors" / NAME).exists()


def test_folder_below_a_missing_one_is_a_clear_error(site_server, staged, publish):
    with pytest.raises(ConfigurationError, match="missing"):
        publish(replace(site_server.site, folder="missing/outgoing"), staged)


def test_folder_that_is_a_file_is_a_clear_error(site_server, staged, publish):
    site_server.published.write_bytes(b"")

    with pytest.raises(ConfigurationError, match=site_server.site.folder):
        publish(site_server.site, staged)


UNSUPPORTED, FAILURE = asyncssh.SFTPOpUnsupported("Operation not supported"), asyncssh.SFTPFailure("Failure")


@pytest.mark.parametrize("extension", ["fsync", "statvfs"])
@pytest.mark.parametrize(
    "answer",
    [UNSUPPORTED, FAILURE, OSError(errno.EINVAL, "Invalid argument"), asyncssh.SFTPPermissionDenied("no")],
    ids=["unsupported", "failure", "invalid", "denied"],
)
def test_server_that_cannot_sync_or_tell_its_room_gets_the_file_that_is_read_back(
    faulty, staged, publish, caplog, extension, answer
):
    faulty.faults.answers = {extension: answer}

    assert publish(faulty.site, staged).sha256 == staged.sha256()
    assert names(faulty) == [NAME]
    warned = [one for one in caplog.records if one.name.startswith("smki") and one.levelname == "WARNING"]
    assert [extension in one.message for one in warned] == [True] * (extension == "fsync")


def test_server_without_fsync_is_not_believed_either(faulty, staged, publish):
    faulty.faults.answers = {"fsync": FAILURE}
    faulty.faults.flip_read = True

    with pytest.raises(UploadDamagedError):
        publish(faulty.site, staged)
    assert names(faulty) == []


def test_filesystem_without_a_size_is_not_full(faulty, staged, publish):
    faulty.faults.no_size = True

    assert publish(faulty.site, staged).sha256 == staged.sha256()


@pytest.mark.parametrize(
    ("answer", "listed", "error"),
    [
        (UNSUPPORTED, True, ConfigurationError),
        (UNSUPPORTED, False, ConfigurationError),
        (FAILURE, False, ConfigurationError),
        (FAILURE, True, TransportError),
    ],
)
def test_server_that_refuses_posix_rename_gets_new_names_and_replaces_no_file(
    faulty, stage, publish, monkeypatch, answer, listed, error
):
    staged = stage(size=100_000)
    old = stage(seed=2)
    faulty.published.mkdir()
    (faulty.published / NAME).write_bytes(old.content)
    known = KnownFiles(replaceable={old.sha256()})
    faulty.faults.answers = {"posix_rename": answer}
    if not listed:
        others = [pair for pair in SFTPServerHandler._extensions if not pair[0].startswith(b"posix-rename")]
        monkeypatch.setattr(SFTPServerHandler, "_extensions", others)

    assert publish(faulty.site, staged, name="DELT.xml.gz").sha256 == staged.sha256()
    with pytest.raises(error, match="posix-rename"):
        publish(faulty.site, staged, known=known)
    assert names(faulty) == [f".{NAME}.part", "DELT.xml.gz", NAME]
    assert (faulty.published / NAME).read_bytes() == old.content

    faulty.faults.answers = {}
    assert publish(faulty.site, staged, known=known).sha256 == staged.sha256()


def test_what_is_no_file_under_the_final_name_is_refused_and_never_opened(sshd, staged, publish):
    sshd.published.mkdir()
    os.mkfifo(sshd.published / NAME)

    with pytest.raises(PublicationRefusedError, match="a named pipe"):
        publish(sshd.site, staged)
    assert names(sshd) == [NAME]


def test_answers_that_hold_less_than_asked_for_are_completed(faulty, staged, publish):
    faulty.faults.short_reads = True

    assert publish(faulty.site, staged).sha256 == staged.sha256()
