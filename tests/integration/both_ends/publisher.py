"""The operator's end: a repository, a store, a ledger and a server, worked on as runs and people do."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, text

from builders import XSD, cleared, cut_off, day, store_in, stored_artefact, trust_pki
from conftest import empty
from smki.errors import LedgerBehindError
from smki.kinds.extracts.agreement import check_agreement
from smki.kinds.extracts.production import plan_in_store, produce
from smki.kinds.index.publishing import publish_index
from smki.kinds.index.signing import Signer
from smki.obligations.catalogue import DeltaExtract, FullExtract, Obligation, UserGuide
from smki.party.signed_index import INDEX
from smki.publish.artefact import Publication
from smki.publish.ledger import list_publications, publication_history, publish_artefact
from smki.publish.unknown_files import refuse_if_behind
from smki.recovery.adoption import Adoption, Seen
from smki.repository.database import libpq_url
from smki.repository.tables import metadata
from smki.repository.takeover import take_over
from smki.repository.windows import close_windows
from smki.retention.execution import apply_retention
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.verify.verification import examine_stored, need_right
from smki_demo.generator.pki import Pki

from ..publish.conftest import Faults, FaultyServer

_TABLES = [table.name for table in metadata.sorted_tables]
RUN = "test"


@dataclass(frozen=True)
class Backup:
    """A database as it was: rows of each table, and how far its numbers had come."""

    rows: dict[str, bytes]
    numbers: list[tuple[str, int]]
    days_passed: int = 0


def _silent(_done: int, _of: int) -> None:
    return


@contextmanager
def _quiet(_step: str) -> Iterator[Any]:
    yield _silent


@dataclass
class Publisher:
    engine: Engine
    guide: UserGuide
    server: FaultyServer
    signer: Signer
    folder: Path  # of the store
    empty: Backup
    days_passed: int = 0  # since the first publication
    clock: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))  # by which the index is dated

    @property
    def store(self) -> Store:
        return store_in(self.folder)

    @property
    def standing(self) -> dict[str, bytes]:
        """What is on the server, but parts of uploads."""
        there = self.server.published.iterdir() if self.server.published.exists() else ()
        return {path.name: path.read_bytes() for path in there if not path.name.endswith(".part")}

    @property
    def offered(self) -> list[Publication]:
        """By the ledger."""
        with self.engine.connect() as connection:
            return list_publications(connection, self.server.site.name)

    @property
    def index(self) -> dict[str, Any] | None:
        content = self.standing.get(INDEX)
        return None if content is None else json.loads(content)

    def begin(self) -> None:
        """From nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.rmtree(self.server.root)
        self.server.published.mkdir(parents=True)
        self.server.faults = Faults()
        restore(self.engine, self.empty)

    def pass_numbers(self, count: int) -> None:
        """As lodgings that are rolled back do: so certificates are few, and their pages many."""
        with self.engine.begin() as connection:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence('certificate', 'id'), :last)"),
                {"last": self._last_number() // count * count + count},
            )

    def _last_number(self) -> int:
        query = "SELECT last_value FROM pg_sequences WHERE sequencename = 'certificate_id_seq'"
        with self.engine.connect() as connection:
            return connection.execute(text(query)).scalar_one() or 0

    def close(self, number: int) -> None:
        close_windows(self.engine, day(number), cut_off)

    def publish(self, obligation: Obligation, number: int, faults: Faults, *, from_scratch: bool = False) -> None:
        """Produces and publishes a file, as a run does."""
        plan = plan_in_store(self.engine, self.store, XSD, obligation, day(number), from_scratch=from_scratch)
        _, manifest = produce(libpq_url(self.engine), plan, self.store)
        verification = need_right(examine_stored(self.store, manifest, XSD)[0])
        assert isinstance(obligation.kind, FullExtract | DeltaExtract)
        check_agreement(self.engine, obligation.kind, manifest, verification)
        artefact = replace(stored_artefact(self.store, manifest), set_digest=verification.set_digest)
        refuse_if_behind(self.engine, self.server.site, self.guide, datetime.now(UTC))
        paged = PagedFile.stored(self.store, manifest)
        with self.failing(faults):
            publish_artefact(self.engine, self.server.site, cleared(self.engine, artefact), paged, RUN, _silent)

    def publish_index(self, faults: Faults | None = None) -> None:
        refuse_if_behind(self.engine, self.server.site, self.guide, datetime.now(UTC))
        with self.failing(faults or Faults()):
            publish_index(self.engine, self.store, self.server.site, self.guide, self.signer, lambda: self.clock)

    @contextmanager
    def failing(self, faults: Faults) -> Iterator[None]:
        self.server.faults = faults
        try:
            yield
        finally:
            self.server.faults = Faults()

    def retire(self, days: int) -> set[str]:
        """Days pass, then retention looks; names of what is gone."""
        self.days_passed += days
        self._age(days)
        before = set(self.standing)
        apply_retention(self.engine, self.server.site, self.guide, RUN).raise_problems()
        return before - set(self.standing)

    def _age(self, days: int) -> None:
        query = text(
            "UPDATE publication SET published_at = published_at - :days * interval '1 day', "
            "first_published_at = first_published_at - :days * interval '1 day'"
        )
        with self.engine.begin() as connection:
            connection.execute(query, {"days": days})

    def back_up(self) -> Backup:
        return replace(back_up(self.engine), days_passed=self.days_passed)

    def restore(self, backup: Backup) -> None:
        restore(self.engine, backup)
        self._age(self.days_passed - backup.days_passed)

    def adopt(self) -> list[Seen]:
        return list(Adoption(self.engine, self.store, self.guide, XSD, RUN).adopt(self.server.site, _quiet))

    @property
    def is_behind(self) -> bool:
        """Whether the server has dated files that are newer than all that the ledger knows."""
        try:
            refuse_if_behind(self.engine, self.server.site, self.guide, datetime.now(UTC))
        except LedgerBehindError:
            return True
        return False

    def rebuild(self, names: list[str]) -> None:
        """The database is lost; another one takes over these files, a full extract and the deltas after it."""
        local = self.folder / "taken over"
        local.mkdir(exist_ok=True)
        for name in names:
            (local / name).write_bytes(self.standing[name])
        restore(self.engine, self.empty)
        list(take_over(self.engine, self.guide, local / names[0], [local / name for name in names[1:]]))

    def replace_standing(self, content: dict[str, bytes]) -> None:
        """The server has these files and no others."""
        for name in self.standing:
            (self.server.published / name).unlink()
        for name, bytes_ in content.items():
            (self.server.published / name).write_bytes(bytes_)

    def has_published(self, name: str) -> bool:
        with self.engine.connect() as connection:
            return bool(publication_history(connection, self.server.site.name, name))


def empty_backup(engine: Engine, pki: Pki) -> Backup:
    """Of a repository that has nothing but what it trusts."""
    trust_pki(engine, pki)
    return back_up(engine)


def back_up(engine: Engine) -> Backup:
    with engine.connect() as connection:
        database: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        rows = {}
        for table in _TABLES:
            with database.cursor().copy(f"COPY {table} TO STDOUT (FORMAT BINARY)") as copy:
                rows[table] = b"".join(bytes(piece) for piece in copy)
        query = "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"
        numbers = database.execute(query).fetchall()
        database.rollback()
    return Backup(rows, numbers)


def restore(engine: Engine, backup: Backup) -> None:
    empty(engine)
    with engine.connect() as connection:
        database: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        with database.transaction():
            database.execute("SET LOCAL session_replication_role = replica")  # no trigger: all rows are in the backup
            for table, content in backup.rows.items():
                with database.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
                    copy.write(content)
            for sequence, last in backup.numbers:
                database.execute("SELECT setval(%s, %s)", [sequence, last])
