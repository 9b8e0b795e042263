"""The ledger is write-once by site and name, and comes right after a crash at any step."""

import hashlib
import os
import threading
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import create_engine, func, select, text

from builders import cleared, made_artefact
from smki.certificates.set_digest import SetDigest
from smki.errors import (
    PublicationRefusedError,
    RemovalRefusedError,
    RepositoryBusyError,
    RepositoryUnavailableError,
    SiteUnavailableError,
    VerificationError,
)
from smki.publish.ledger import (
    Lane,
    find_publication,
    list_publications,
    publish_artefact,
    record_artefact,
    record_publication,
    site_lock,
)
from smki.publish.recipe import PublishedFile

RUN = "scheduled__2026-03-01"
NAME = "FULL.xml.gz"


def artefact_of(staged, content="c0ffee", name=NAME):
    return made_artefact(
        "full",
        name,
        date(2026, 3, 1),
        staged.sha256(),
        bytes=staged.size,
        content_digest=content,
        xml_bytes=20_000_000,
        records=3,
        set_digest=SetDigest.of([b"a", b"b", b"c"]),
        run="produced by " + RUN,
    )


def publish(repository, site, staged, content="c0ffee", run=RUN):
    artefact = cleared(repository, artefact_of(staged, content))
    return publish_artefact(repository, site, artefact, staged, run, lambda _done, _total: None)


def ledger_of(repository, site="primary"):
    with repository.connect() as connection:
        return list_publications(connection, site)


def test_published_artefact_is_in_the_ledger(repository, sshd, staged):
    publication = publish(repository, sshd.site, staged)

    assert publication.artefact == artefact_of(staged)
    assert (publication.site, publication.path, publication.run) == ("primary", f"outgoing/{NAME}", RUN)
    assert publication.published_at.tzinfo is not None
    assert ledger_of(repository) == [publication]
    assert (sshd.published / NAME).read_bytes() == staged.content


def test_nothing_is_in_the_ledger_before_it_is_published(repository, sshd, staged):
    sshd.stop()

    with pytest.raises(SiteUnavailableError):
        publish(repository, sshd.site, staged)
    assert ledger_of(repository) == []


def test_same_content_again_is_already_published(repository, sshd, staged):
    first = publish(repository, sshd.site, staged)

    assert publish(repository, sshd.site, staged, run="backfill") == first
    assert ledger_of(repository) == [first]


def test_same_content_with_other_compression_is_already_published(repository, sshd, stage):
    first = publish(repository, sshd.site, stage(seed=1))

    assert publish(repository, sshd.site, stage(seed=2)) == first
    assert (sshd.published / NAME).read_bytes() == stage(seed=1).content


def test_other_content_is_refused_before_the_site_is_called(repository, sshd, stage):
    first = publish(repository, sshd.site, stage(seed=1))
    sshd.stop()

    with pytest.raises(PublicationRefusedError, match=f"{NAME} on site primary"):
        publish(repository, sshd.site, stage(seed=2), content="decaf")
    assert ledger_of(repository) == [first]


def test_other_content_is_refused_by_the_table_itself(repository, sshd, stage):
    first = publish(repository, sshd.site, stage(seed=1))
    other = stage(seed=2)

    with repository.begin() as connection:
        record_artefact(connection, artefact_of(other, content="decaf"))
    published = PublishedFile(f"outgoing/{NAME}", 1, other.sha256(), already_there=False)
    with repository.begin() as connection, pytest.raises(PublicationRefusedError):
        record_publication(connection, "primary", NAME, published, RUN)
    assert ledger_of(repository) == [first]


def test_other_content_of_an_unknown_origin_on_the_site_is_refused(repository, sshd, staged):
    sshd.published.mkdir()
    (sshd.published / NAME).write_bytes(b"unknown")

    with pytest.raises(PublicationRefusedError, match=hashlib.sha256(b"unknown").hexdigest()):
        publish(repository, sshd.site, staged)
    assert ledger_of(repository) == []


def test_published_file_that_was_changed_on_the_site_is_refused(repository, sshd, staged):
    publish(repository, sshd.site, staged)
    (sshd.published / NAME).write_bytes(b"changed")

    with pytest.raises(PublicationRefusedError, match=hashlib.sha256(b"changed").hexdigest()):
        publish(repository, sshd.site, staged)


def test_crash_between_rename_and_record_is_found_done(repository, sshd, staged):
    sshd.published.mkdir()
    (sshd.published / NAME).write_bytes(staged.content)

    assert publish(repository, sshd.site, staged).artefact.sha256 == staged.sha256()


def test_crash_between_rename_and_record_is_found_done_with_other_compression(repository, sshd, stage):
    standing, offered = stage(seed=1), stage(seed=2)
    with repository.begin() as connection:
        record_artefact(connection, artefact_of(standing))
    sshd.published.mkdir()
    (sshd.published / NAME).write_bytes(standing.content)

    assert publish(repository, sshd.site, offered).artefact.sha256 == standing.sha256()


def test_file_that_the_site_lost_is_put_there_again(repository, sshd, staged, caplog):
    publish(repository, sshd.site, staged)
    (sshd.published / NAME).unlink()

    again = publish(repository, sshd.site, staged, run="restore")
    assert (sshd.published / NAME).read_bytes() == staged.content
    assert ledger_of(repository) == [again]
    assert again.run == "restore"
    assert f"publication restored site=primary name={NAME}" in caplog.text


def test_ledger_names_the_file_that_stands_after_a_restore_with_other_compression(repository, sshd, stage):
    publish(repository, sshd.site, stage(seed=1))
    (sshd.published / NAME).unlink()

    publish(repository, sshd.site, stage(seed=2))
    assert [publication.artefact.sha256 for publication in ledger_of(repository)] == [stage(seed=2).sha256()]


def test_crash_before_the_record_of_a_restore_with_other_compression_is_put_right(repository, sshd, stage):
    publish(repository, sshd.site, stage(seed=1))
    restored = stage(seed=2)
    with repository.begin() as connection:
        record_artefact(connection, artefact_of(restored))
    (sshd.published / NAME).write_bytes(restored.content)

    again = publish(repository, sshd.site, restored)
    assert again.artefact.sha256 == restored.sha256()
    assert ledger_of(repository) == [again]
    assert publish(repository, sshd.site, stage(seed=1)) == again, "and it stays so"


def publish_version(repository, site, staged, version):
    """A file that is replaced in place."""
    artefact = replace(artefact_of(staged, content=f"{version}"), window_seq=None, version=version)
    cleared(repository, artefact)
    return publish_artefact(repository, site, artefact, staged, RUN, lambda _done, _total: None)


@pytest.mark.parametrize("version", [1, 2])
def test_file_whose_folder_changed_leaves_the_old_one(repository, sshd, stage, version):
    publish_version(repository, sshd.site, stage(seed=1), 1)
    old = sshd.published / NAME
    os.utime(old, (old.stat().st_mtime - 60,) * 2)

    moved = replace(sshd.site, folder="moved")
    publication = publish_version(repository, moved, stage(seed=version), version)
    assert publication.path == f"moved/{NAME}"
    assert ledger_of(repository) == [publication]
    assert (sshd.published.parent / "moved" / NAME).read_bytes() == stage(seed=version).content
    assert not old.exists()


def test_crash_before_the_old_folder_is_cleared_leaves_that_to_the_next_try(repository, sshd, stage):
    publish_version(repository, sshd.site, stage(seed=1), 1)
    old, new = sshd.published / NAME, sshd.published.parent / "moved" / NAME
    os.utime(old, (old.stat().st_mtime - 60,) * 2)
    new.parent.mkdir()
    new.write_bytes(stage(seed=2).content)

    publish_version(repository, replace(sshd.site, folder="moved"), stage(seed=2), 2)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_was_changed_in_the_old_folder_stays_and_is_told_while_the_new_one_is_recorded(repository, sshd, stage):
    publish_version(repository, sshd.site, stage(seed=1), 1)
    (sshd.published / NAME).write_bytes(b"changed")

    with pytest.raises(RemovalRefusedError) as caught:
        publish_version(repository, replace(sshd.site, folder="moved"), stage(seed=2), 2)
    assert caught.value.item == f"outgoing/{NAME}"
    assert (sshd.published / NAME).read_bytes() == b"changed"
    assert [one.path for one in ledger_of(repository)] == [f"moved/{NAME}"]


def test_another_path_of_the_same_file_is_no_old_file(repository, sshd, stage):
    publish_version(repository, sshd.site, stage(seed=1), 1)
    (sshd.published.parent / "link").symlink_to(sshd.published.name)

    publish_version(repository, replace(sshd.site, folder="link"), stage(seed=1), 1)
    assert (sshd.published / NAME).read_bytes() == stage(seed=1).content


def test_other_content_is_not_put_in_place_of_a_lost_file(repository, sshd, stage):
    publish(repository, sshd.site, stage(seed=1))
    (sshd.published / NAME).unlink()

    with pytest.raises(PublicationRefusedError):
        publish(repository, sshd.site, stage(seed=2), content="decaf")
    assert not (sshd.published / NAME).exists()


def test_sites_have_ledgers_of_their_own(repository, sshd, faulty, staged):
    publish(repository, sshd.site, staged)
    publish(repository, replace(faulty.site, name="dr"), staged)

    assert [publication.site for publication in ledger_of(repository)] == ["primary"]
    assert [publication.site for publication in ledger_of(repository, "dr")] == ["dr"]
    with repository.connect() as connection:
        assert find_publication(connection, "tertiary", NAME) is None


def test_publications_are_listed_oldest_first(repository, sshd, staged):
    for name in ("b", "c", "a"):
        artefact = cleared(repository, artefact_of(staged, name=name))
        publish_artefact(repository, sshd.site, artefact, staged, RUN, lambda _done, _total: None)

    assert [publication.name for publication in ledger_of(repository)] == ["b", "c", "a"]


def test_two_publishers_at_once_publish_once(repository, sshd, staged):
    results = []
    publishers = [
        threading.Thread(target=lambda: results.append(publish(repository, sshd.site, staged))) for _ in range(2)
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()

    assert results == ledger_of(repository) * 2


def test_second_publisher_waits_for_the_first(repository):
    order = []

    def second():
        with repository.connect() as connection, site_lock(connection, "primary"):
            order.append("second")

    with repository.connect() as connection:
        with site_lock(connection, "primary"):
            waiting = threading.Thread(target=second)
            waiting.start()
            with repository.connect() as other, site_lock(other, "dr"):
                order.append("other site")
            waiting.join(timeout=0.3)
            order.append("first")
        waiting.join()
    assert order == ["other site", "first", "second"]


def test_what_is_replaced_in_place_waits_for_no_extract_and_for_its_like(repository, sshd, staged):
    lists = replace(artefact_of(staged, name="CRL.crl.gz"), version=1)
    with repository.connect() as connection, site_lock(connection, "primary"):
        publish_artefact(repository, sshd.site, cleared(repository, lists), staged, RUN, lambda _done, _total: None)
    assert [one.name for one in ledger_of(repository)] == ["CRL.crl.gz"]
    with repository.connect() as holder, site_lock(holder, "primary", Lane.IN_PLACE):
        with repository.connect() as connection, site_lock(connection, "primary"):
            pass
        with repository.connect() as connection:
            connection.execute(text("SET lock_timeout = '100ms'"))
            connection.commit()
            with pytest.raises(RepositoryBusyError), site_lock(connection, "primary", Lane.IN_PLACE):
                pytest.fail("two publishers have the lane")


def test_wait_for_another_publisher_has_an_end(repository):
    with repository.connect() as holder, site_lock(holder, "primary"), repository.connect() as connection:
        connection.execute(text("SET lock_timeout = '100ms'"))
        connection.commit()
        with pytest.raises(RepositoryBusyError, match="site primary"), site_lock(connection, "primary"):
            pytest.fail("two publishers have the lock")


def test_lock_ends_with_a_publisher_that_fails(repository):
    with repository.connect() as connection:
        with pytest.raises(RuntimeError), site_lock(connection, "primary"):
            raise RuntimeError
        assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0


def test_lock_ends_with_a_connection_that_is_lost(repository):
    with repository.connect() as connection, site_lock(connection, "primary"):
        backend = connection.scalar(select(func.pg_backend_pid()))
        connection.commit()
        with repository.connect() as administrator:
            administrator.scalar(select(func.pg_terminate_backend(backend)))
    with repository.connect() as connection, site_lock(connection, "primary"):
        pass


def test_database_that_is_down_is_a_clear_error(sshd, staged):
    nobody = create_engine("postgresql+psycopg://postgres@127.0.0.1:1/smki")

    with pytest.raises(RepositoryUnavailableError):
        publish(nobody, sshd.site, staged)
    assert not sshd.published.exists()


def test_what_the_gate_did_not_clear_is_refused_before_the_site_is_called(repository, sshd, staged):
    artefact = artefact_of(staged)
    with pytest.raises(PublicationRefusedError, match=NAME):
        publish_artefact(repository, sshd.site, artefact, staged, RUN, lambda _done, _total: None)
    cleared(repository, replace(artefact, sha256="0" * 64))
    with pytest.raises(PublicationRefusedError, match=staged.sha256()):
        publish_artefact(repository, sshd.site, artefact, staged, RUN, lambda _done, _total: None)

    assert ledger_of(repository) == []


def test_bytes_that_changed_after_the_gate_are_not_published(repository, sshd, stage, staged):
    artefact = cleared(repository, artefact_of(staged))
    with pytest.raises(VerificationError):
        publish_artefact(repository, sshd.site, artefact, stage(seed=2), RUN, lambda _done, _total: None)

    assert ledger_of(repository) == []
