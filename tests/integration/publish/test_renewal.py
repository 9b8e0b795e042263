"""A full extract that succeeds another one: what is copied, what is sent, and what the ledger records of it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from builders import (
    SMALL_PAGES,
    change,
    cleared,
    cut_off,
    day,
    during,
    lodge_bodies,
    look_alikes,
    produced,
    store_in,
    stored_artefact,
)
from integration.publish.recording import RecordingChannel, record
from smki.certificates.model import Status
from smki.obligations.catalogue import UserGuide
from smki.publish import ledger
from smki.publish.artefact import Publication
from smki.publish.ledger import publish_artefact
from smki.publish.readings import find_reading, record_reading
from smki.publish.site import SftpSession, Site, open_sftp
from smki.repository.tables import publication
from smki.repository.windows import close_windows
from smki.store.paged_file import PagedFile

from .conftest import OpenSshServer

CERTIFICATES = 800
Publish = Callable[[PagedFile], Publication]


@pytest.fixture
def fulls(repository: Engine, user_guide: UserGuide, tmp_path: Path) -> list[PagedFile]:
    """Of two windows: in the second one, certificates on 15 % of the pages have changed."""
    bodies = look_alikes(CERTIFICATES)
    lodge_bodies(repository, bodies, during(1))
    touched = range(0, CERTIFICATES, SMALL_PAGES.certificates * 100 // 15)
    change(repository, [bodies[number] for number in touched], Status.NOT_IN_USE, during(2))
    close_windows(repository, day(3), cut_off)
    manifests = [
        produced(repository, user_guide.full, day(window), tmp_path, page_format=SMALL_PAGES)[1] for window in (1, 2)
    ]
    return [PagedFile.stored(store_in(tmp_path), manifest) for manifest in manifests]


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[RecordingChannel]:
    """What the ledger's sessions send."""
    recordings: list[RecordingChannel] = []

    @contextmanager
    def open_recorded(site: Site) -> Iterator[SftpSession]:
        with open_sftp(site) as sftp:
            recordings.append(record(sftp))
            yield sftp

    monkeypatch.setattr(ledger, "open_sftp", open_recorded)
    return recordings


@pytest.fixture
def publish(repository: Engine, sshd: OpenSshServer, tmp_path: Path) -> Publish:
    def run(paged: PagedFile) -> Publication:
        artefact = stored_artefact(store_in(tmp_path), paged.manifest)
        cleared(repository, artefact)
        return publish_artefact(repository, sshd.site, artefact, paged, "test", lambda _done, _total: None)

    return run


def test_of_a_renewal_of_15_percent_at_most_20_percent_are_sent(
    sshd: OpenSshServer, fulls: list[PagedFile], publish: Publish, sessions: list[RecordingChannel]
) -> None:
    first, second = map(publish, fulls)

    assert (sshd.published / second.name).read_bytes() == b"".join(fulls[1].chunks())
    assert sessions[0].written() == first.sent_bytes == fulls[0].size
    assert sessions[1].written() == second.sent_bytes <= 0.2 * fulls[1].size
    assert second.copied_bytes == fulls[1].size - second.sent_bytes


def test_ledger_knows_which_pages_nobody_has_read(
    repository: Engine, fulls: list[PagedFile], publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = map(publish, fulls)
    with repository.connect() as connection:
        whole, copied = (find_reading(connection, "primary", one.name) for one in (first, second))

    assert whole is not None
    assert whole.is_whole
    assert (whole.bytes, whole.as_published) == (fulls[0].size, True)
    assert copied is not None
    assert not copied.is_whole
    unread = fulls[1].manifest.pages["deflate_bytes"][copied.unread].sum()
    assert unread == second.copied_bytes
    assert f"bytes_sent={second.sent_bytes} bytes_copied={second.copied_bytes}" in caplog.text


def test_what_was_copied_and_not_read_is_read_when_it_is_copied_on(
    repository: Engine, fulls: list[PagedFile], publish: Publish
) -> None:
    for full in fulls:
        publish(full)
    third = publish(renamed(fulls[1], "NEXT.xml.gz", window=3))
    with repository.connect() as connection:
        reading = find_reading(connection, "primary", third.name)
    assert third.copied_bytes == fulls[1].manifest.pages["deflate_bytes"].sum(), "from the newest one"
    assert reading is not None
    assert reading.is_whole


def renamed(paged: PagedFile, name: str, window: int) -> PagedFile:
    """The same pages in another window's file."""
    return PagedFile.stored(paged.store, replace(paged.manifest, name=name, window_seq=window))


def test_lost_file_is_sent_as_a_whole(
    repository: Engine, sshd: OpenSshServer, fulls: list[PagedFile], publish: Publish, sessions: list[RecordingChannel]
) -> None:
    for full in fulls:
        publish(full)
    (sshd.published / fulls[1].name).unlink()
    again = publish(fulls[1])

    assert (again.copied_bytes, sessions[-1].written()) == (0, fulls[1].size)
    with repository.connect() as connection:
        reading = find_reading(connection, "primary", again.name)
        assert connection.execute(select(publication).order_by(publication.c.id)).all()[1].copied_bytes == 0
    assert reading is not None
    assert reading.is_whole


def test_predecessor_that_the_server_lost_is_not_copied_from(
    sshd: OpenSshServer, fulls: list[PagedFile], publish: Publish
) -> None:
    first = publish(fulls[0])
    (sshd.published / first.name).unlink()
    second = publish(fulls[1])

    assert second.copied_bytes == 0
    assert (sshd.published / second.name).read_bytes() == b"".join(fulls[1].chunks())


def test_predecessor_whose_manifest_the_store_has_lost_is_not_copied_from(
    fulls: list[PagedFile], publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    first = publish(fulls[0])
    fulls[0].store.remove([f"manifests/{first.artefact.manifest}"])
    assert publish(fulls[1]).copied_bytes == 0
    assert "nothing is copied" in caplog.text


def test_file_of_which_a_page_is_wrong_is_not_copied_from(
    repository: Engine, fulls: list[PagedFile], publish: Publish
) -> None:
    first = publish(fulls[0])
    with repository.begin() as connection:
        reading = find_reading(connection, "primary", first.name)
        assert reading is not None
        record_reading(connection, "primary", first.name, replace(reading, wrong=(3,)))
    assert publish(fulls[1]).copied_bytes == 0
