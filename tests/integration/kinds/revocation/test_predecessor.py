"""A ledger that was restored from a backup: the newest list goes out over one that the ledger does not know."""

import gzip
import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from builders import cleared, lodge_bodies
from conftest import NewRepository
from smki.errors import PublicationRefusedError
from smki.kinds.revocation.file import newest_list, write_revocation_file
from smki.kinds.revocation.lodging import lodge_revocation_lists
from smki.kinds.revocation.predecessor import follows
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import publish_artefact
from smki.repository.offers import RevocationListOffer
from smki.store.content import SmallFile
from smki.store.gzip_writer import write_single
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import CRL_VALIDITY, revocation_list

from ...publish.conftest import OpenSshServer, sshd  # noqa: F401  # a fixture

NOW = datetime.now(UTC).replace(microsecond=0)


def crl(pki: Pki, number: int) -> bytes:
    at = NOW - timedelta(hours=2) + timedelta(minutes=number)
    return revocation_list(pki.issuing_oca, number, at, at + CRL_VALIDITY)


class Publisher:
    """A repository that publishes its newest CRL on a site."""

    def __init__(
        self, engine: Engine, guide: UserGuide, server: OpenSshServer, folder: Path, signed: list[bytes]
    ) -> None:
        self.engine, self.terms, self.site, self.folder = engine, guide.obligation("crl"), server.site, folder
        lodge_bodies(engine, signed[:8])

    def lodge_and_publish(self, *lists: bytes) -> Publication:
        report = lodge_revocation_lists(self.engine, [RevocationListOffer(body, "test") for body in lists], NOW)
        assert not report.refusals
        lodged = newest_list(self.engine, self.terms)
        assert lodged is not None
        artefact = cleared(self.engine, write_revocation_file(self.terms, lodged, self.folder, NOW, "test"))
        content = SmallFile(artefact.name, (self.folder / artefact.name).read_bytes())
        known = partial(follows, self.engine, content)
        return publish_artefact(self.engine, self.site, artefact, content, "test", lambda _done, _total: None, known)


@pytest.fixture
def published(
    new_repository: NewRepository,
    user_guide: UserGuide,
    sshd: OpenSshServer,  # noqa: F811
    signed: list[bytes],
    pki: Pki,
    tmp_path: Path,
) -> tuple[Publisher, Path]:
    """A restored publisher, whose ledger ends with list 10, and the file on the server, which has list 11."""
    before, restored = (Publisher(new_repository(), user_guide, sshd, tmp_path, signed) for _ in range(2))
    restored.lodge_and_publish(crl(pki, 10))
    (sshd.published / "SMKIKR_ORGANISATION_CRL.crl.gz").unlink()
    publication = before.lodge_and_publish(crl(pki, 11))
    return restored, sshd.root / publication.path


@pytest.mark.parametrize("numbers", [[12], [11, 12]])
def test_newest_list_replaces_one_that_a_restored_ledger_does_not_know(
    published: tuple[Publisher, Path], pki: Pki, numbers: list[int]
) -> None:
    restored, file = published
    publication = restored.lodge_and_publish(*(crl(pki, number) for number in numbers))
    assert publication.artefact.sha256 == _sha256(file)
    with restored.engine.connect() as connection:
        offered = "SELECT count(*) FROM publication WHERE ended_at IS NULL"
        assert connection.scalar(text(offered)) == 1


def test_newer_list_on_the_server_is_to_be_lodged(published: tuple[Publisher, Path], pki: Pki) -> None:
    restored, file = published
    at = NOW - timedelta(hours=2) + timedelta(minutes=12)
    newer = crl(pki, 12)
    write_single(file, newer, at)
    with pytest.raises(PublicationRefusedError, match="list 12"):
        restored.lodge_and_publish(crl(pki, 11))
    assert restored.lodge_and_publish(newer).artefact.sha256 == _sha256(file)


def test_same_list_that_was_compressed_otherwise_is_no_foreign_file(
    published: tuple[Publisher, Path], pki: Pki
) -> None:
    """Another processor, or another version of ISA-L, makes other bytes of it."""
    restored, file = published
    newest = crl(pki, 11)
    file.write_bytes(gzip.compress(newest))
    assert restored.lodge_and_publish(newest).artefact.sha256 == _sha256(file)
    assert gzip.decompress(file.read_bytes()) == newest


def test_younger_list_of_an_issuer_that_was_restored_too_replaces_one_with_a_higher_number(
    published: tuple[Publisher, Path], pki: Pki
) -> None:
    restored, file = published
    at = NOW - timedelta(hours=1)
    young = revocation_list(pki.issuing_oca, 5, at, at + CRL_VALIDITY)
    assert restored.lodge_and_publish(young).artefact.sha256 == _sha256(file)


@pytest.mark.parametrize("damage", ["not gzip", "no list", "another's key", "another issuer", "same place"])
def test_anything_else_on_the_server_stays_for_a_person_to_look_at(
    published: tuple[Publisher, Path], pki: Pki, damage: str
) -> None:
    restored, file = published
    at = NOW - timedelta(hours=1, minutes=49)
    body = {
        "not gzip": b"",
        "no list": b"something else",
        "another's key": revocation_list(Pki.create(NOW - timedelta(days=9)).issuing_oca, 11, at, at + CRL_VALIDITY),
        "another issuer": revocation_list(pki.root_oca, 11, at, at + CRL_VALIDITY),
        "same place": revocation_list(pki.issuing_oca, 12, at + timedelta(minutes=1), at + 2 * CRL_VALIDITY),
    }[damage]
    if damage == "not gzip":
        file.write_bytes(b"foreign")
    else:
        write_single(file, body, at)
    foreign = file.read_bytes()
    with pytest.raises(PublicationRefusedError):
        restored.lodge_and_publish(crl(pki, 12))
    assert file.read_bytes() == foreign


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
