"""Revocation lists that authorities issue one after the other, and what becomes of them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from sqlalchemy import Engine, Row, select

from builders import reference
from smki.errors import RevocationListRefusedError
from smki.kinds.revocation.lodging import (
    ListLodgement,
    ListLodgingReport,
    lodge_revocation_lists,
)
from smki.repository.offers import RevocationListOffer
from smki.repository.tables import certificate, issuer, rejected_lodgement, status_event
from smki.repository.tables import revocation_list as lists_table
from smki_demo.generator.pki import Authority
from smki_demo.generator.revocation import CRL_VALIDITY, Revoked, revocation_list

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORGANISATION, OTHER = 4, 5  # among `signed`: the first Organisations after the CAs


@dataclass
class Lister:
    """An authority that issues lists, one number after the other."""

    authority: Authority
    validity: timedelta = CRL_VALIDITY
    number: int = 0

    def next(self, *revoked: bytes, at: datetime = NOW, number: int | None = None) -> bytes:
        """Its next list, with the certificates given as DER."""
        self.number = number if number is not None else self.number + 1
        entries = [
            Revoked(reference(body).serial_number, at - HOUR, x509.ReasonFlags.key_compromise) for body in revoked
        ]
        return revocation_list(self.authority, self.number, at, at + self.validity, entries)


def offer(engine: Engine, *bodies: bytes, now: datetime = NOW) -> ListLodgingReport:
    return lodge_revocation_lists(engine, [RevocationListOffer(body, "test") for body in bodies], now)


def lodge_one(engine: Engine, body: bytes, now: datetime = NOW) -> ListLodgement:
    report = offer(engine, body, now=now)
    assert not report.refusals, str(report.refusals[0].error)
    return report.lodgements[0]


def rows(engine: Engine, table: Any) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def status_of(engine: Engine, body: bytes) -> str:
    with engine.connect() as connection:
        status: str = connection.execute(select(certificate.c.status).where(certificate.c.body == body)).scalar_one()
    return status


def refuse(engine: Engine, body: bytes, says: str, now: datetime = NOW) -> None:
    """The list is refused by name and kept, and nothing else changes."""
    before = [rows(engine, table) for table in (issuer, certificate, status_event, lists_table)]
    report = offer(engine, body, now=now)
    assert report.lodgements == []
    (refusal,) = report.refusals
    assert isinstance(refusal.error, RevocationListRefusedError)
    assert says in refusal.error.rule, refusal.error.rule
    assert refusal.error.consequence == "It is not lodged and not published; its bytes and this reason are kept."
    assert [rows(engine, table) for table in (issuer, certificate, status_event, lists_table)] == before
    kept = {row.body: row.reason for row in rows(engine, rejected_lodgement)}
    assert kept[body] == str(refusal.error)
