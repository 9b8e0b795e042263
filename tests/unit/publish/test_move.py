"""What the ledger's history of a name says of an artefact that is offered under it."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from smki.certificates.set_digest import SetDigest
from smki.errors import PublicationRefusedError
from smki.publish.artefact import Artefact, Publication
from smki.publish.ledger import Move, choose_move

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DATED = Artefact("delta", "DELT", date(2026, 3, 1), 1, 9, "aa", "content 1", 9, 1, SetDigest(), "run", NOW)
REPLACED = replace(DATED, obligation="crl", name="CRL", version=7)


def published(artefact: Artefact, *, ended: bool = False) -> Publication:
    return Publication("primary", artefact, f"/{artefact.name}", "run", NOW, NOW if ended else None)


def test_name_without_history_is_published():
    assert choose_move([], DATED) is Move.PUBLISH


def test_equal_content_is_published_already():
    assert choose_move([published(DATED)], replace(DATED, sha256="bb")) is Move.ALREADY_PUBLISHED


def test_dated_file_that_retention_removed_does_not_come_back():
    assert choose_move([published(DATED, ended=True)], DATED) is Move.REMOVED


@pytest.mark.parametrize("ended", [False, True])
def test_other_content_under_a_dated_name_is_refused_for_ever(ended: bool):
    with pytest.raises(PublicationRefusedError):
        choose_move([published(DATED, ended=ended)], replace(DATED, content_digest="content 2"))


def test_higher_version_replaces():
    assert choose_move([published(REPLACED)], replace(REPLACED, content_digest="new", version=8)) is Move.REPLACE


@pytest.mark.parametrize("version", [6, 7])
def test_version_that_is_not_higher_is_superseded(version: int):
    offered = replace(REPLACED, content_digest="other", version=version)
    assert choose_move([published(REPLACED)], offered) is Move.SUPERSEDED


def test_only_the_latest_publication_decides():
    newer = replace(REPLACED, content_digest="newer", version=9)
    history = [published(REPLACED, ended=True), published(newer)]
    assert choose_move(history, replace(REPLACED, version=7)) is Move.SUPERSEDED
    assert choose_move(history, newer) is Move.ALREADY_PUBLISHED
