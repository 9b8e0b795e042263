"""What the ledger's history of a name says of an artefact that is offered under it."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from smki.certificates.set_digest import SetDigest
from smki.errors import PublicationRefusedError
from smki.publish.artefact import Artefact, Publication
from smki.publish.ledger import Decision, decide

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DATED = Artefact("delta", "DELT", date(2026, 3, 1), 1, 9, "aa", "content 1", 9, 1, SetDigest(), "run", NOW)
REPLACED = replace(DATED, obligation="crl", name="CRL", version=7)


def published(artefact: Artefact, *, ended: bool = False) -> Publication:
    return Publication("primary", artefact, f"/{artefact.name}", "run", NOW, NOW if ended else None)


def test_name_without_history_is_published():
    assert decide([], DATED) is Decision.PUBLISH


def test_equal_content_is_published_already():
    assert decide([published(DATED)], replace(DATED, sha256="bb")) is Decision.ALREADY_PUBLISHED


def test_dated_file_that_retention_removed_does_not_come_back():
    assert decide([published(DATED, ended=True)], DATED) is Decision.REMOVED


@pytest.mark.parametrize("ended", [False, True])
def test_other_content_under_a_dated_name_is_refused_for_ever(ended: bool):
    with pytest.raises(PublicationRefusedError):
        decide([published(DATED, ended=ended)], replace(DATED, content_digest="content 2"))


def test_higher_version_replaces():
    assert decide([published(REPLACED)], replace(REPLACED, content_digest="new", version=8)) is Decision.REPLACE


@pytest.mark.parametrize("version", [6, 7])
def test_version_that_is_not_higher_is_superseded(version: int):
    offered = replace(REPLACED, content_digest="other", version=version)
    assert decide([published(REPLACED)], offered) is Decision.SUPERSEDED


def test_only_the_latest_publication_decides():
    newer = replace(REPLACED, content_digest="newer", version=9)
    history = [published(REPLACED, ended=True), published(newer)]
    assert decide(history, replace(REPLACED, version=7)) is Decision.SUPERSEDED
    assert decide(history, newer) is Decision.ALREADY_PUBLISHED
