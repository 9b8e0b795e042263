"""Published files on real servers and in a real ledger, as old as a test wants them."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, text, update

from builders import cleared, made_artefact
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import publish_artefact
from smki.publish.site import Site
from smki.repository.tables import publication as publication_table
from smki.store.content import SmallFile

from ..publish.conftest import FaultyServer, OpenSshServer, faulty, sshd  # noqa: F401  # fixtures

Offer = Callable[..., Publication]
TODAY = datetime.now(UTC).date()


@pytest.fixture
def offer(repository: Engine, user_guide: UserGuide, tmp_path: Path) -> Offer:
    """Publishes a made-up file for the day so many days ago, and has the ledger say that it was done then."""

    def publish(site: Site, name: str, days_ago: float) -> Publication:
        day: date = TODAY - timedelta(days=int(days_ago))
        obligation = user_guide.obligation(name)
        local = tmp_path / obligation.file_name(day)
        local.write_bytes(f"{local.name} {'.' * day.day}".encode())
        artefact = made_artefact(
            name,
            local.name,
            day,
            hashlib.sha256(local.read_bytes()).hexdigest(),
            bytes=local.stat().st_size,
            content_digest=local.name,
            run="produced",
            verified_at=datetime.now(UTC),
            version=1 if obligation.replaced_in_place else None,
        )
        cleared(repository, artefact)
        content = SmallFile(local.name, local.read_bytes())
        published = publish_artefact(repository, site, artefact, content, "published", lambda _done, _total: None)
        published_at = func.clock_timestamp() - text(f"interval '{days_ago} days'")
        with repository.begin() as connection:
            connection.execute(
                update(publication_table)
                .where(publication_table.c.name == artefact.name)
                .values(published_at=published_at)
            )
        return replace(published, published_at=published.published_at - timedelta(days=days_ago))

    return publish
