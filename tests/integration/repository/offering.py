"""Offering files, and what became of them."""

from pathlib import Path

from sqlalchemy import Engine, select

from smki.certificates.model import Status
from smki.repository.lodging import LodgingReport, lodge
from smki.repository.sources import offers_of
from smki.repository.tables import certificate, rejected_lodgement


def lodge_paths(engine: Engine, *paths: Path, status: Status = Status.IN_USE) -> LodgingReport:
    return lodge(engine, offers_of(paths, status))


def bodies(engine: Engine) -> list[bytes]:
    with engine.connect() as connection:
        return list(connection.execute(select(certificate.c.body).order_by(certificate.c.id)).scalars())


def kept(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        query = select(rejected_lodgement.c.origin, rejected_lodgement.c.reason)
        return {origin: reason for origin, reason in connection.execute(query)}  # noqa: C416  # rows, typed
