import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from asn1crypto import x509
from sqlalchemy import CheckConstraint, Engine, inspect, select, text
from sqlalchemy.exc import IntegrityError

from builders import during, lodge_bodies, look_alikes
from conftest import NewRepository
from smki.certificates.names import comparable_name
from smki.errors import MigrationRefusedError
from smki.repository.migrate import alembic_config, migrate
from smki.repository.tables import body_hash, listed_certificate, metadata
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import Revoked, revocation_list


def test_migrations_make_the_tables_that_the_code_names(repository: Engine) -> None:
    with repository.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_make_the_check_constraints_that_the_code_names(repository: Engine) -> None:
    def letters(rule: str) -> list[str]:
        return sorted(re.findall(r"'(\w+)'|\b(\d+)\b", rule))

    inspector = inspect(repository)
    for table in metadata.sorted_tables:
        constraints = table.constraints.union(*(column.constraints for column in table.columns))
        stated = {c.name: letters(str(c.sqltext)) for c in constraints if isinstance(c, CheckConstraint)}
        made = {c["name"]: letters(c["sqltext"]) for c in inspector.get_check_constraints(table.name)}
        assert made == stated


@pytest.mark.parametrize("column", ["class", "status", "usage", "eui64"])
def test_store_itself_refuses_a_value_outside_the_domain(repository: Engine, column: str) -> None:
    values = {"class": "'DEVICE'", "status": "'I'", "usage": "'DS'", "eui64": "'\\x0102030405060708'::bytea"}
    insert = "INSERT INTO certificate (issuer_id, serial_number, not_after, body, {}) VALUES (1, '1', now(), '1', {})"
    with repository.begin() as connection:
        connection.execute(text(insert.format(", ".join(values), ", ".join(values.values()))))
    wrong = values | {column: "'X'"}
    with pytest.raises(IntegrityError, match=f"certificate_{column}_check"), repository.begin() as connection:
        connection.execute(text(insert.format(", ".join(wrong), ", ".join(wrong.values()))))


def test_migrations_can_be_taken_back_and_made_again(repository: Engine) -> None:
    with repository.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert inspect(repository).get_table_names() == ["alembic_version"]
    migrate(repository)
    assert set(metadata.tables) < set(inspect(repository).get_table_names())


def test_certificates_that_were_lodged_before_get_their_hashes(repository: Engine) -> None:
    bodies = look_alikes(3)
    lodge_bodies(repository, bodies[:2], during(1))
    with repository.begin() as connection:
        command.downgrade(alembic_config(connection), "0009")
    migrate(repository)
    lodge_bodies(repository, bodies[2:], during(1))
    with repository.connect() as connection:
        kept = connection.execute(select(body_hash.c.sha256).order_by(body_hash.c.certificate_id)).scalars().all()
    assert kept == [hashlib.sha256(body).digest() for body in bodies]


def test_certificate_that_is_lodged_while_hashes_are_taken_gets_its_own(repository: Engine, server: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(1))
    with repository.begin() as connection:
        command.downgrade(alembic_config(connection), "0009")
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name")
    with ThreadPoolExecutor(1) as pool, repository.begin() as lodging:
        lodging.execute(
            text(
                "INSERT INTO certificate (serial_number, class, issuer_id, not_after, body, status) "
                "SELECT '\\x77', class, issuer_id, not_after, body, status FROM certificate"
            )
        )
        migrating = pool.submit(migrate, repository)
        deadline = monotonic() + 30
        with server.connect() as connection:
            while not connection.scalar(waits, {"name": repository.url.database}):
                assert monotonic() < deadline, "nothing waits"
                sleep(0.05)
        lodging.commit()
        migrating.result()
    with repository.connect() as connection:
        assert len(connection.execute(select(body_hash)).all()) == 2


def test_several_processes_may_migrate_at_once(new_repository: NewRepository) -> None:
    engine = new_repository()
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [engine] * 4))
    assert "certificate" in inspect(engine).get_table_names()


PRINTABLE, UTF8, OTHER = (
    x509.Name.build({"common_name": one}, printable).dump()
    for one, printable in [("OCA1", True), ("oca1", False), ("OCA2", False)]
)


def before_comparable_names(engine: Engine, pki: Pki, serials: list[bytes]) -> None:
    """A repository of the schema that told issuers apart by their spelling; issuers 1, 2, 3 have a certificate each.

    The second one has a revocation list with an entry.
    """
    at = datetime(2026, 7, 1, tzinfo=UTC)
    body = revocation_list(pki.issuing_oca, 7, at, at, [Revoked(b"\xab\1", at)])
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0008")
        for name in (PRINTABLE, UTF8, OTHER):
            connection.execute(text("INSERT INTO issuer (name, display) VALUES (:name, 'an issuer')"), {"name": name})
        for issuer_id, serial in enumerate(serials, start=1):
            connection.execute(
                text(
                    "INSERT INTO certificate (class, issuer_id, serial_number, not_after, body, status) "
                    "VALUES ('ORGANISATION', :issuer, :serial, now(), :serial, 'I')"
                ),
                {"issuer": issuer_id, "serial": serial},
            )
        connection.execute(
            text(
                "INSERT INTO revocation_list (kind, issuer_id, number, this_update, next_update, entries, body) "
                "VALUES ('CRL', 2, 7, now(), now(), 1, :body)"
            ),
            {"body": body},
        )


def test_spellings_of_an_issuers_name_become_one_issuer(repository: Engine, pki: Pki) -> None:
    before_comparable_names(repository, pki, [b"\1", b"\2", b"\1"])
    migrate(repository)
    with repository.connect() as connection:
        issuers = connection.execute(text("SELECT id, name, comparable FROM issuer ORDER BY id")).all()
        certificates = connection.execute(text("SELECT issuer_id FROM certificate ORDER BY id")).scalars().all()
        lists = connection.execute(text("SELECT issuer_id FROM revocation_list")).scalars().all()
        listed = connection.execute(select(listed_certificate)).all()
    assert issuers == [(1, PRINTABLE, comparable_name(UTF8)), (3, OTHER, comparable_name(OTHER))]
    assert (certificates, lists) == ([1, 1, 3], [1])
    reason = "on CRL 7 of an issuer: unspecified, revoked at 2026-07-01 00:00:00 UTC"
    assert listed == [(1, b"\xab\1", reason, datetime(2026, 7, 1, tzinfo=UTC))]


def test_certificates_that_would_become_one_stop_the_migration_by_name(repository: Engine, pki: Pki) -> None:
    before_comparable_names(repository, pki, [b"\xab\1", b"\xab\1", b"\2"])
    with pytest.raises(MigrationRefusedError, match="ab01"):
        migrate(repository)
    with repository.connect() as connection:
        assert len(connection.execute(text("SELECT name FROM issuer")).all()) == 3
    with repository.begin() as connection:
        connection.execute(text("DELETE FROM certificate WHERE issuer_id = 2"))
    migrate(repository)


def test_entries_of_lists_that_were_followed_come_back(repository: Engine, pki: Pki) -> None:
    at = datetime(2026, 7, 1, tzinfo=UTC)
    bodies = [
        revocation_list(pki.issuing_oca, number, at, at + timedelta(days=9), [Revoked(serial, at)])
        for number, serial in enumerate([b"\xab\1", b"\xab\2"], 1)
    ]
    with repository.begin() as connection:
        command.downgrade(alembic_config(connection), "0020")
        connection.execute(
            text("INSERT INTO issuer (name, comparable, display) VALUES ('one', 'one', 'an issuer')"),
        )
        for number, body in enumerate(bodies, 1):
            connection.execute(
                text(
                    "INSERT INTO revocation_list (kind, issuer_id, number, this_update, next_update, entries, body) "
                    "VALUES ('CRL', 1, :number, now(), now(), 1, :body)"
                ),
                {"number": number, "body": body},
            )
        connection.execute(text("INSERT INTO listed_certificate VALUES (1, '\\xab02', 'of the current list', now())"))
    migrate(repository)
    with repository.connect() as connection:
        listed = connection.execute(select(listed_certificate).order_by(listed_certificate.c.serial_number)).all()
    reason = "on CRL 1 of an issuer: unspecified, revoked at 2026-07-01 00:00:00 UTC"
    assert [(row.serial_number, row.reason) for row in listed] == [
        (b"\xab\1", reason),
        (b"\xab\2", "of the current list"),
    ]
