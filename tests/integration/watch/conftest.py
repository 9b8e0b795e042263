"""A site that is as it should be, on a real sshd and in a real ledger, to make one thing after another wrong there."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from builders import cleared, lodge_bodies, look_alikes, made_artefact, store_in
from smki.kinds.index.publishing import publish_index
from smki.kinds.index.signing import load_signer
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Artefact
from smki.publish.ledger import publish_artefact
from smki.publish.site import Site
from smki.repository.tables import audited_file, page_reading, publication
from smki.repository.windows import close_windows
from smki.settings import Settings
from smki.store.content import Content, SmallFile
from smki.store.gzip_writer import write_single
from smki.store.objects import Store
from smki.watch import auditor
from smki.watch.auditor import Audit, audit_site
from smki.watch.findings import Kind
from smki.watch.findings_ledger import list_open_findings
from smki_demo import mail_server
from smki_demo.generator.index_signer import make_signer

from ..publish.conftest import FaultyServer, OpenSshServer, faulty, sshd  # noqa: F401  # fixtures

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date()
SUNDAY = TODAY - (1 + TODAY.weekday()) % 7 * DAY  # of the world's full extract: its delta is in no recovery chain
NOON = datetime.combine(TODAY, time(12), UTC)  # after every publish-by of the day
LATER = NOON + timedelta(minutes=10)


@dataclass
class World:
    """A repository, its ledger, and the server."""

    engine: Engine
    guide: UserGuide
    sshd: OpenSshServer | FaultyServer
    folder: Path
    bytes_a_day: int = 144_000_000  # 1 MB a look

    @property
    def store(self) -> Store:
        return store_in(self.folder)

    @property
    def site(self) -> Site:
        return self.sshd.site

    def on_server(self, obligation: str, day: date = TODAY) -> Path:
        return self.sshd.published / self.guide.obligation(obligation).file_name(day)

    def publish(
        self,
        name: str,
        day: date = TODAY,
        content: bytes | None = None,
        at: datetime | None = None,
        version: int = 1,
    ) -> Path:
        """Publishes a file of the day, judged and published an hour after its cut-off or at the given time."""
        obligation = self.guide.obligation(name)
        at = at or obligation.cut_off.at(day) + timedelta(hours=1)
        local = self.folder / obligation.file_name(day)
        content = content or f"{local.name} {day} {'.' * 200}".encode()
        if local.suffix == ".gz":
            write_single(local, content, at)
        else:
            local.write_bytes(content)
        artefact = made_artefact(
            name,
            local.name,
            day,
            hashlib.sha256(local.read_bytes()).hexdigest(),
            bytes=local.stat().st_size,
            content_digest=hashlib.sha256(content).hexdigest(),
            run=f"test/{local.name}",
            version=version if obligation.replaced_in_place else None,
        )
        self.publish_file(artefact, local, at)
        return self.on_server(name, day)

    def publish_file(self, artefact: Artefact, local: Path, at: datetime) -> None:
        """Publishes an artefact as if it were done at the given time."""
        self.publish_content(artefact, SmallFile(local.name, local.read_bytes()), at)

    def publish_content(self, artefact: Artefact, content: Content, at: datetime) -> None:
        """The same for content that is no file here."""
        cleared(self.engine, replace(artefact, verified_at=at))
        publish_artefact(self.engine, self.site, artefact, content, artefact.run, lambda _done, _total: None)
        with self.engine.begin() as connection:
            published = connection.execute(
                update(publication)
                .where(publication.c.name == artefact.name, publication.c.ended_at.is_(None))
                .values(published_at=at, first_published_at=at)
                .returning(publication.c.id)
            ).scalar_one()
            connection.execute(
                update(page_reading).where(page_reading.c.publication_id == published).values(since=at, read_at=at)
            )

    def publish_index(self) -> None:
        """Publishes what the ledger offers as the signed index."""
        stated = make_signer(self.folder)
        signer = load_signer(Settings.from_environment(stated))
        assert signer is not None
        publish_index(self.engine, self.store, self.site, self.guide, signer, partial(datetime.now, UTC))

    def audit(self, now: datetime = NOON, site: Site | None = None, *, record: bool = True) -> Audit:
        return audit_site(
            self.engine,
            self.store,
            site or self.site,
            self.guide,
            now,
            bytes_a_day=self.bytes_a_day,
            record=record,
        )

    def kinds(self, now: datetime = NOON) -> set[tuple[Kind, str]]:
        return {(finding.kind, finding.item) for finding in self.audit(now).findings}


def changed(world: World, at: datetime = LATER) -> tuple[list[Kind], list[Kind]]:
    """Kinds of what opened and of what closed in one more look."""
    reconciled = world.audit(at).reconciled
    assert reconciled is not None
    return [known.finding.kind for known in reconciled.opened], [known.finding.kind for known in reconciled.closed]


def assert_opens_and_closes_once(world: World, kind: Kind, item: str) -> None:
    """It is seen, opens once however often it is seen, and does not close meanwhile."""
    assert (kind, item) in world.kinds()
    assert changed(world) == ([], [])
    known = [one for one in list_open_findings(world.engine) if one.finding.kind is kind]
    assert [one.finding.item for one in known] == [item]
    assert (known[0].first_seen, known[0].last_seen) == (NOON, LATER)
    assert known[0].finding.next_step.endswith(f"(docs/runbook.md#{str(kind).replace(' ', '-')})")


def assert_closes(world: World, *kinds: Kind) -> None:
    opened, closed = changed(world, LATER + timedelta(minutes=10))
    assert (opened, sorted(closed)) == ([], sorted(kinds))
    assert list_open_findings(world.engine) == []


@pytest.fixture
def world(
    repository: Engine,
    sshd: OpenSshServer,  # noqa: F811  # the fixture
    user_guide: UserGuide,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """Seven deltas, the full extract before them, windows closed up to today: nothing is wrong."""
    monkeypatch.setattr(auditor, "_AGAIN_AFTER_S", (0.05, 0.05))
    staged = tmp_path / "staged"
    staged.mkdir()
    world = World(repository, user_guide, sshd, staged)
    first = datetime.combine(TODAY - 14 * DAY, time(12), UTC)
    lodge_bodies(repository, look_alikes(1), first)
    close_windows(repository, TODAY, user_guide.delta.cut_off.at)
    for ago in reversed(range(7)):
        world.publish("delta", TODAY - ago * DAY)
    world.publish("full", SUNDAY)
    return world


async def _end_sessions() -> None:
    sessions = asyncio.all_tasks() - {asyncio.current_task()}
    for session in sessions:
        session.cancel()
    await asyncio.gather(*sessions, return_exceptions=True)


@contextmanager
def in_the_background() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs servers in a thread of their own; the callable runs a coroutine there and returns what it returns."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    asyncio.run_coroutine_threadsafe(_end_sessions(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Folder and port of a mail server."""
    folder = tmp_path / "mail"
    with in_the_background() as run:
        server = run(mail_server.start(folder))
        yield folder, server.sockets[0].getsockname()[1]
        server.get_loop().call_soon_threadsafe(server.close)


def files_read(world: World) -> int:
    with world.engine.connect() as connection:
        return len(connection.execute(select(audited_file)).all())
