import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Engine, select

from builders import cut_off, day, document, during, lodge_bodies, look_alikes, produced, record_of, zipped
from conftest import NewRepository
from smki.annex_b.reading import pybase64
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError, PrivateKeyRefusedError
from smki.obligations.catalogue import UserGuide
from smki.repository.lodging import LodgingReport, lodge
from smki.repository.sources import offers_of
from smki.repository.tables import certificate, rejected_lodgement
from smki.repository.windows import close_windows, in_use_digest


def lodge_paths(engine: Engine, *paths: Path, status: Status = Status.IN_USE) -> LodgingReport:
    return lodge(engine, offers_of(paths, status))


def bodies(engine: Engine) -> list[bytes]:
    with engine.connect() as connection:
        return list(connection.execute(select(certificate.c.body).order_by(certificate.c.id)).scalars())


def kept(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        query = select(rejected_lodgement.c.origin, rejected_lodgement.c.reason)
        return {origin: reason for origin, reason in connection.execute(query)}  # noqa: C416  # rows, typed


def key_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_folder_offers_all_files_below_it_in_name_order(repository: Engine, tmp_path: Path) -> None:
    first, second, third = look_alikes(3)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.der").write_bytes(second)
    (tmp_path / "c.bin").write_bytes(third)
    (tmp_path / "a.crt").write_bytes(first)
    assert lodge_paths(repository, tmp_path).lodged == 3
    assert bodies(repository) == [first, second, third]


def test_pem_file_with_several_certificates_and_text_around_them(repository: Engine, tmp_path: Path) -> None:
    offered = look_alikes(3)
    text = b"a note\n" * 500 + b"\n".join(pem.armor("CERTIFICATE", body) + b"and so on\n" for body in offered)
    (tmp_path / "bundle").write_bytes(text.replace(b"\n", b"\r\n"))
    assert lodge_paths(repository, tmp_path).lodged == 3
    assert bodies(repository) == offered


@pytest.mark.parametrize("preamble", [b"", b"note\n" * 1_000], ids=["at once", "after much text"])
def test_private_key_in_a_pem_file_is_refused_and_the_certificates_beside_it_are_not(
    repository: Engine, tmp_path: Path, preamble: bytes
) -> None:
    offered = look_alikes(2)
    first, second = (pem.armor("CERTIFICATE", body) for body in offered)
    (tmp_path / "bundle.pem").write_bytes(preamble + first + key_pem() + second)
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (2, 1)
    assert isinstance(report.refusals[0].error, PrivateKeyRefusedError)
    assert kept(repository) == {}


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
@pytest.mark.parametrize("cut", [0, 40], ids=["whole", "cut off"])
def test_private_key_file_is_kept_nowhere_however_damaged(
    repository: Engine, tmp_path: Path, encoding: str, cut: int
) -> None:
    text = key_pem().decode()
    (tmp_path / "key").write_bytes(text[: len(text) - cut].encode(encoding))
    assert lodge_paths(repository, tmp_path).refused == 1
    assert kept(repository) == {}


def test_private_key_in_an_annex_b_record_is_kept_nowhere(repository: Engine, tmp_path: Path) -> None:
    _, _, der = pem.unarmor(key_pem())
    record = record_of(look_alikes(1)[0])._replace(body=pybase64.b64encode(der).decode())
    (tmp_path / "x.xml").write_bytes(document([record, record._replace(status="?")]))
    assert lodge_paths(repository, tmp_path).refused == 2
    assert kept(repository) == {}


@pytest.mark.parametrize("pretty", [False, True], ids=["one line", "many lines"])
@pytest.mark.parametrize("compressed", [False, True], ids=["xml", "xml.gz"])
def test_annex_b_file_of_others_is_lodged_with_its_statuses(
    repository: Engine, signed: list[bytes], tmp_path: Path, pretty: bool, compressed: bool
) -> None:
    xml = document([record_of(body, "PIN"[row % 3]) for row, body in enumerate(signed)], pretty=pretty)
    (tmp_path / "file").write_bytes(gzip.compress(xml) if compressed else b"\xef\xbb\xbf" + xml)
    assert lodge_paths(repository, tmp_path, status=Status.EXPIRED).lodged == len(signed)
    with repository.connect() as connection:
        lodged = connection.execute(select(certificate.c.body, certificate.c.status).order_by(certificate.c.id)).all()
    assert [tuple(row) for row in lodged] == [(body, "PIN"[row % 3]) for row, body in enumerate(signed)]


def test_full_extract_lodged_into_another_repository_gives_the_same_set(
    new_repository: NewRepository, signed: list[bytes], user_guide: UserGuide, tmp_path: Path
) -> None:
    source, copy = new_repository(), new_repository()
    lodge_bodies(source, [*signed, *look_alikes(500)], during(1))
    close_windows(source, day(7), cut_off)
    file, _ = produced(source, user_guide.full, day(7), tmp_path)
    assert lodge_paths(copy, file).lodged == len(signed) + 500
    with copy.begin() as connection:
        connection.exec_driver_sql("UPDATE status_event SET recorded_at = '2025-06-01 12:00+00'")
    close_windows(copy, day(1), cut_off)
    assert in_use_digest(copy, 1) == in_use_digest(source, 7) == SetDigest.of([*signed, *look_alikes(500)])


def test_record_that_breaks_annex_b_is_kept_with_its_place_and_the_others_are_lodged(
    repository: Engine, tmp_path: Path
) -> None:
    good, other, bad = (record_of(body) for body in look_alikes(3))
    records = [good, bad._replace(status="X"), bad._replace(body="!!!!"), bad._replace(body=None), other]
    file = tmp_path / "x.xml"
    file.write_bytes(document(records))
    report = lodge_paths(repository, file)
    assert (report.lodged, report.refused) == (2, 3)
    assert [refusal.origin for refusal in report.refusals] == [f"{file}, record {n}" for n in (2, 3, 4)]
    assert set(kept(repository)) == {f"{file}, record {n}" for n in (2, 3, 4)}


DTD = '<!DOCTYPE CertificateDataResponse [<!ENTITY a "{}">]>'


@pytest.mark.parametrize(
    ("xml", "rule"),
    [
        (DTD.format("1") + "<CertificateDataResponse>&a;</CertificateDataResponse>", "document type"),
        (DTD.format("1") + "<CertificateDataResponse/>", "document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><CertificateDataResponse/>', "document type"),
        ("<CertificateDataResponse>&b;</CertificateDataResponse>", "not well-formed"),
        ("<Other/>", "root element is Other"),
        ("<CertificateDataResponse>", "not well-formed"),
        ("<", "not well-formed"),
        ("<CertificateDataResponse/>x", "not well-formed"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True], ids=["xml", "xml.gz"])
def test_document_that_is_not_safe_to_read_is_refused(
    repository: Engine, tmp_path: Path, xml: str, rule: str, compressed: bool
) -> None:
    file = tmp_path / "x"
    file.write_bytes(gzip.compress(xml.encode()) if compressed else xml.encode())
    (refusal,) = lodge_paths(repository, file).refusals
    assert isinstance(refusal.error, DocumentRefusedError)
    assert rule in str(refusal.error)
    assert list(kept(repository)) == [str(file)]


def test_document_that_breaks_off_loses_nothing_that_stands_before(repository: Engine, tmp_path: Path) -> None:
    offered = look_alikes(2_000)
    whole = zipped(tmp_path, document([record_of(body) for body in offered]))
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    report = lodge_paths(repository, whole)
    assert 0 < report.lodged < 2_000
    assert "ends in the middle" in str(report.refusals[0].error)
    assert bodies(repository) == offered[: report.lodged]


def test_gzip_bomb_is_refused_before_it_expands(repository: Engine, tmp_path: Path) -> None:
    xml = b"<CertificateDataResponse>" + (b"<x>" + b" " * 1_000_000 + b"</x>") * 64
    (tmp_path / "bomb.xml.gz").write_bytes(gzip.compress(xml))
    (refusal,) = lodge_paths(repository, tmp_path).refusals
    assert "expands beyond" in str(refusal.error)


def test_files_that_are_nothing_are_named_and_the_rest_is_lodged(repository: Engine, tmp_path: Path) -> None:
    (good,) = look_alikes(1)
    contents = {
        "1-empty": b"",
        "2-garbage": os.urandom(200).replace(b"\x1f", b"\0"),
        "3-truncated": good[:-1],
        "4-large": b"\0" * (1 << 20) + b"\0",
        "5-pem": b"-----BEGIN CERTIFICATE-----\n!!!\n",
        "6-request": pem.armor("CERTIFICATE REQUEST", b"0\0"),
        "7-good": good,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "8-dangling").symlink_to(tmp_path / "nowhere")  # no file, so nothing is offered
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (1, 6)
    assert sorted(refusal.origin.rsplit("/")[-1][0] for refusal in report.refusals) == list("123456")
    assert len(kept(repository)) == 6


def test_file_that_cannot_be_read_is_named(repository: Engine, tmp_path: Path) -> None:
    (refusal,) = lodge_paths(repository, tmp_path / "gone.der").refusals
    assert "cannot be read (No such file or directory)" in str(refusal.error)


def test_file_whose_name_is_no_text_is_named_legibly(repository: Engine, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.der", "wb") as stream:  # noqa: PTH123  # a name in bytes
        stream.write(b"garbage")
    assert lodge_paths(repository, tmp_path).refused == 1
    assert list(kept(repository)) == [f"{tmp_path}/caf\\xe9.der"]


def test_real_certificates_are_lodged_byte_for_byte(
    repository: Engine, real_certificates: dict[str, bytes], tmp_path: Path
) -> None:
    for name, body in real_certificates.items():
        (tmp_path / name).write_bytes(body)
    at = datetime.now(UTC)
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (len(real_certificates), 0), f"since {at}: {report.refusals}"
    assert bodies(repository) == list(real_certificates.values())
