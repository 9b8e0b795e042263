"""What a server has already is copied there; whatever it does instead, what is published is the judged file."""

import os
import random

import pytest
from asyncssh.sftp import SFTPServerHandler
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.publish.recording import record
from smki.errors import PublicationRefusedError, SiteUnavailableError, UploadDamagedError
from smki.publish.part_writer import OVERLAP_BYTES
from smki.publish.recipe import KnownFiles, publish_file
from smki.publish.site import open_sftp

NAME, OLD = "FULL.xml.gz", "OLD.xml.gz"
PART = f".{NAME}.part"


def random_pages(count, size=30_000, seed=1):
    return [random.Random(f"{seed}-{number}").randbytes(size) for number in range(count)]


def names(server):
    return sorted(path.name for path in server.published.iterdir())


def published_whole(server, content):
    return (server.published / NAME).read_bytes() == b"".join(content.chunks()) and PART not in names(server)


@pytest.fixture
def renewed(paginate):
    """A file of 40 pages, and its successor, which has three others in the middle."""
    pages = random_pages(40)
    others = [*pages[:10], *random_pages(3, seed=2), *pages[13:]]
    return paginate(pages, OLD), paginate(others)


@pytest.mark.parametrize("known_whole", [True, False])
def test_pages_that_the_server_has_are_copied_there(site_server, renewed, copy_source, publish, known_whole):
    old, new = renewed
    published = publish(site_server.site, new, source=copy_source(site_server, old, new, known_whole=known_whole))

    assert published_whole(site_server, new)
    assert published.copied == 37 * int(new.manifest.pages["deflate_bytes"][0])
    assert published.unread == ((*range(10), *range(13, 40)) if known_whole else ())
    assert published.modified_at == int((site_server.published / NAME).stat().st_mtime)


CONTENTS = st.lists(st.integers(0, 12), max_size=25)


@settings(max_examples=25)
@given(new=CONTENTS, old=CONTENTS, known_whole=st.booleans())
def test_published_file_is_the_local_one_whatever_the_pair(sshd, paginate, copy_source, new, old, known_whole):
    pages = random_pages(13, size=500)
    before, after = (paginate([pages[one] for one in chosen], name) for chosen, name in ((old, OLD), (new, NAME)))
    source = copy_source(sshd, before, after, known_whole=known_whole)
    (sshd.published / NAME).unlink(missing_ok=True)
    with open_sftp(sshd.site) as sftp:
        recording = record(sftp)
        final = f"{sshd.site.folder}/{NAME}"
        published = publish_file(sftp, after, final, after.sha256(), lambda _done, _total: None, source=source)
    assert published_whole(sshd, after)
    assert recording.written() + published.copied == after.size


def test_old_file_that_is_damaged_and_was_never_read_is_found_out_and_all_is_sent(
    site_server, renewed, copy_source, publish, caplog
):
    old, new = renewed
    source = copy_source(site_server, old, new)
    damage(site_server.published / OLD, old, 20)
    published = publish(site_server.site, new, source=source)

    assert published_whole(site_server, new)
    assert published.copied == 0
    assert "copied wrongly" in caplog.text


def damage(file, paged, place):
    """Changes a byte of a page; the file keeps its size and its time."""
    stated = file.stat()
    with file.open("r+b") as stream:
        stream.seek(int(paged.manifest.offsets[place]) + 5)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    os.utime(file, ns=(stated.st_atime_ns, stated.st_mtime_ns))


def test_old_file_that_has_changed_since_it_was_read_is_not_trusted(site_server, renewed, copy_source, publish):
    old, new = renewed
    source = copy_source(site_server, old, new, known_whole=True)
    damage(site_server.published / OLD, old, 20)
    os.utime(site_server.published / OLD, (1, 1))
    published = publish(site_server.site, new, source=source)

    assert published_whole(site_server, new)
    assert (published.copied, published.unread) == (0, ())


def test_copies_of_a_file_that_was_whole_are_left_to_the_auditor_and_sent_again_once_they_are_wrong(
    faulty, renewed, copy_source, publish
):
    old, new = renewed
    source = copy_source(faulty, old, new, known_whole=True)
    faulty.faults.lie_about = {OLD}
    published = publish(faulty.site, new, source=source)
    assert not published_whole(faulty, new)
    assert published.unread == (*range(10), *range(13, 40))

    with pytest.raises(PublicationRefusedError):
        publish(faulty.site, new)
    ours = KnownFiles(copied=(published.bytes, published.modified_at))
    again = publish(faulty.site, new, known=ours)
    assert published_whole(faulty, new)
    assert (again.copied, again.unread) == (0, ())


def test_file_that_somebody_changed_after_it_was_copied_is_never_replaced(site_server, renewed, copy_source, publish):
    old, new = renewed
    published = publish(site_server.site, new, source=copy_source(site_server, old, new))
    damage(site_server.published / NAME, new, 20)
    os.utime(site_server.published / NAME, (1, 1))

    with pytest.raises(PublicationRefusedError):
        publish(site_server.site, new, known=KnownFiles(copied=(published.bytes, published.modified_at)))


def test_new_bytes_are_read_back_at_once(faulty, renewed, copy_source, publish):
    old, new = renewed
    faulty.faults.lie_about = {PART}
    with pytest.raises(UploadDamagedError, match="wrong pages"):
        publish(faulty.site, new, source=copy_source(faulty, old, new, known_whole=True))
    assert names(faulty) == [OLD]


def test_server_without_the_extension_gets_all(faulty, renewed, copy_source, publish, monkeypatch):
    others = [pair for pair in SFTPServerHandler._extensions if pair[0] != b"copy-data"]
    monkeypatch.setattr(SFTPServerHandler, "_extensions", others)
    old, new = renewed
    published = publish(faulty.site, new, source=copy_source(faulty, old, new, known_whole=True))

    assert published_whole(faulty, new)
    assert published.copied == 0


def test_server_that_lists_the_extension_and_refuses_it_gets_all(faulty, renewed, copy_source, publish):
    old, new = renewed
    faulty.faults.refuse_read_of = {OLD}
    published = publish(faulty.site, new, source=copy_source(faulty, old, new, known_whole=True))

    assert published_whole(faulty, new)
    assert published.copied == 0


@pytest.mark.parametrize("changed", [lambda file: file.unlink(), lambda file: os.truncate(file, 100)])
def test_old_file_that_was_removed_or_cut_meanwhile_is_not_copied_from(
    site_server, renewed, copy_source, publish, changed
):
    old, new = renewed
    source = copy_source(site_server, old, new, known_whole=True)
    changed(site_server.published / OLD)
    published = publish(site_server.site, new, source=source)

    assert published_whole(site_server, new)
    assert published.copied == 0


@pytest.mark.parametrize("known_whole", [True, False])
def test_crash_between_copying_and_the_rename_comes_right_without_sending_again(
    sshd, renewed, copy_source, publish, known_whole
):
    old, new = renewed
    source = copy_source(sshd, old, new, known_whole=known_whole)

    def stop_after_copying(done, total):
        if done == total:
            sshd.stop()

    with pytest.raises(SiteUnavailableError):
        publish(sshd.site, new, source=source, progress=stop_after_copying)
    assert names(sshd) == [PART, OLD]
    copies = bytearray((sshd.published / PART).read_bytes())
    copies[int(new.manifest.offsets[20]) + 5] ^= 1  # what an earlier try copied is not believed
    (sshd.published / PART).write_bytes(copies)

    sshd.start()
    with open_sftp(sshd.site) as sftp:
        recording = record(sftp)
        final = f"{sshd.site.folder}/{NAME}"
        publish_file(sftp, new, final, new.sha256(), lambda _done, _total: None, source=source)
    assert recording.written() == 0
    assert published_whole(sshd, new)


def test_sending_goes_on_where_the_connection_broke(faulty, paginate, copy_source, publish):
    pages = random_pages(160)
    changed = random_pages(160, seed=2)
    old = paginate(pages, OLD)
    new = paginate([page if place % 2 else changed[place] for place, page in enumerate(pages)])
    source = copy_source(faulty, old, new, known_whole=True)
    faulty.faults.drop_at = new.size - 1_000_000
    with pytest.raises(SiteUnavailableError):
        publish(faulty.site, new, source=source)
    left = (faulty.published / PART).stat().st_size
    assert left > 2 * OVERLAP_BYTES * 0.9

    seen = []
    publish(faulty.site, new, source=source, progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] > left * 0.45
    assert seen[-1] == (new.size, new.size)
    assert published_whole(faulty, new)


@pytest.mark.parametrize("known_whole", [True, False])
def test_part_with_damage_far_from_its_end_is_sent_anew_by_the_same_call(
    faulty, paginate, copy_source, publish, known_whole
):
    pages = random_pages(160)
    changed = random_pages(160, seed=2)
    old = paginate(pages, OLD)
    new = paginate([page if place % 2 else changed[place] for place, page in enumerate(pages)])
    source = copy_source(faulty, old, new, known_whole=known_whole)
    faulty.faults.drop_at = new.size - 1_000_000
    with pytest.raises(SiteUnavailableError):
        publish(faulty.site, new, source=source)
    part = bytearray((faulty.published / PART).read_bytes())
    part[int(new.manifest.offsets[0]) + 5] ^= 1
    (faulty.published / PART).write_bytes(part)

    publish(faulty.site, new, source=source)
    assert published_whole(faulty, new)


def test_part_of_another_try_that_had_nothing_to_copy_is_gone_on_with(site_server, renewed, copy_source, publish):
    """As after the old file has been published meanwhile, or has been removed."""
    old, new = renewed
    source = copy_source(site_server, old, new, known_whole=True)
    whole = b"".join(new.chunks())
    (site_server.published / PART).write_bytes(whole[: len(whole) // 2])
    publish(site_server.site, new, source=source)
    assert published_whole(site_server, new)
