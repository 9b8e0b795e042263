import base64
import gzip
import json
import os
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path

import pytest
from asn1crypto import pem
from cryptography import x509 as strict_x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from sqlalchemy import Engine, select

from builders import (
    XSD,
    cut_off,
    day,
    document,
    during,
    have_not_issuers,
    lodge_bodies,
    look_alikes,
    produced,
    record_of,
    zipped,
)
from conftest import NewRepository
from smki.annex_b.reading import decode_body, pybase64
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError, PrivateKeyRefusedError, VerificationError
from smki.obligations.catalogue import UserGuide
from smki.repository.offers import RevocationListOffer
from smki.repository.sources import offers_of
from smki.repository.tables import certificate
from smki.repository.windows import close_windows, in_use_digest
from smki.verify.verification import verify_file
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import CRL_VALIDITY, revocation_list

from .offering import bodies, kept, lodge_paths


def key_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


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
    assert dict(map(tuple, lodged)) == {body: "PIN"[row % 3] for row, body in enumerate(signed)}


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


@pytest.mark.parametrize("pretty", [False, True], ids=["one line", "many lines"])
def test_record_whose_fields_are_not_its_certificates_is_refused_as_verify_does(
    repository: Engine, signed: list[bytes], tmp_path: Path, pretty: bool
) -> None:
    """Two records whose bodies were swapped, and one of each other kind; the records between them are lodged."""
    first, second, *others = (record_of(body) for body in signed[4:24])
    wrong = [
        first._replace(body=second.body, status="R"),
        second._replace(body=first.body),
        others[0]._replace(role="99"),
        others[1]._replace(serial=None),
        others[2]._replace(usage="DS" if others[2].usage == "KA" else "KA"),
        others[3]._replace(subject_name="00-00-00-00-00-00-00-01"),
        others[4]._replace(serial=others[4].serial.lower()) if others[4].serial else others[4],
    ]
    right = others[5:]
    records = [record for pair in zip(right, wrong, strict=False) for record in pair] + right[len(wrong) :]
    file = zipped(tmp_path, document(records, pretty=pretty))
    with pytest.raises(VerificationError):
        verify_file(file, XSD)
    report = lodge_paths(repository, file)
    assert (report.lodged, report.refused) == (len(right), len(wrong))
    assert {refusal.origin for refusal in report.refusals} == {f"{file}, record {n}" for n in range(2, 15, 2)}
    assert bodies(repository) == [decode_body(record.body or "") for record in right]


def test_record_with_more_than_a_record_has_is_refused(repository: Engine, tmp_path: Path) -> None:
    records = [record_of(body) for body in look_alikes(4)]
    xml = document(records)
    for number, element in enumerate((f"<CertificateBody>{records[0].body}</CertificateBody>", "<More/>"), start=1):
        at = xml.index(b"<CertificateBody>" + (records[number].body or "").encode())
        xml = xml[:at] + element.encode() + xml[at:]
    report = lodge_paths(repository, zipped(tmp_path, xml))
    assert (report.lodged, report.refused) == (2, 2)


def test_document_whose_head_is_wrong_is_refused_once(repository: Engine, tmp_path: Path) -> None:
    xml = document([record_of(body) for body in look_alikes(5)]).replace(b"<ResponseCode>200</ResponseCode>", b"")
    (refusal,) = lodge_paths(repository, zipped(tmp_path, xml)).refusals
    assert isinstance(refusal.error, DocumentRefusedError)


Form = Callable[[bytes, bytes], bytes]
PEM_FORMS: dict[str, tuple[Form, int]] = {  # of two blocks; how many of them are whole
    "as it is": (lambda a, b: a + b, 2),
    "joined": (lambda a, b: a.rstrip(b"\n") + b, 2),
    "byte order mark": (lambda a, b: b"\xef\xbb\xbf" + a + b"\xef\xbb\xbf" + b, 2),
    "cut off": (lambda a, b: (a + b)[:-40], 1),
    "end line cut off": (lambda a, b: (a + b)[:-12], 1),
    "indented": (lambda a, b: a + re.sub(rb"(?m)^", b"    ", b), 2),
    "quoted": (lambda a, b: a + re.sub(rb"(?m)^", b"> ", b), 2),
    "begin line cut off": (lambda a, b: a + b[:18], 1),
    "begin cut off": (lambda a, b: a + b[:7], 1),
    "dashes lost": (lambda a, b: a.replace(b"E-----", b"E") + b, 2),
    "no end line": (lambda a, b: a.replace(b"-----END CERTIFICATE-----\n", b"") + b, 1),
    "no begin line": (lambda a, b: a + b.replace(b"-----BEGIN CERTIFICATE-----\n", b""), 1),
    "another end line": (lambda a, b: a.replace(b"END CERTIFICATE", b"END X509 CRL") + b, 1),
    "fewer dashes": (lambda a, b: a + b.replace(b"-----B", b"---B").replace(b"E-----", b"E--"), 2),
    "Windows line ends": (lambda a, b: (a + b).replace(b"\n", b"\r\n"), 2),
    "line ends of old": (lambda a, b: (a + b).replace(b"\n", b"\r"), 2),
    "one line": (lambda a, b: (a + b).replace(b"\n", b""), 2),
    "in JSON": (lambda a, b: json.dumps([a.decode(), b.decode()]).encode(), 2),
    "header": (lambda a, b: a.replace(b"-----\n", b"-----\nComment: x\n\n", 1) + b, 2),
    "text between": (lambda a, b: b"a note\n" * 99_999 + a + b"Bag Attributes\n    localKeyID: 01\n" + b, 2),
    "UTF-16": (lambda a, b: (a + b).decode().encode("utf-16"), 2),
    "UTF-16 without a mark": (lambda a, b: (a + b).decode().encode("utf-16-be"), 2),
    "other label": (lambda a, b: (a + b).replace(b" CERTIFICATE", b" X509 CERTIFICATE"), 2),
    "letter lost": (lambda a, b: a[:100] + a[101:] + b, 1),
    "padding lost": (lambda a, b: a + b.replace(b"=\n", b"\n"), 1),
    "request": (lambda a, b: a + b.replace(b" CERTIFICATE", b" CERTIFICATE REQUEST"), 1),
}


@pytest.mark.parametrize("form", PEM_FORMS)
@pytest.mark.parametrize("packed", [False, True], ids=["pem", "pem.gz"])
def test_every_block_of_pem_is_lodged_or_named(repository: Engine, tmp_path: Path, form: str, packed: bool) -> None:
    write, whole = PEM_FORMS[form]
    offered = [body for body in look_alikes(60) if len(body) % 3][:2]
    content = write(*(pem.armor("CERTIFICATE", body) for body in offered))
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (whole, 2 - whole)
    assert len(kept(repository)) == 2 - whole


def test_trusted_certificate_of_openssl_is_lodged_without_what_follows_it(repository: Engine, tmp_path: Path) -> None:
    (body,) = look_alikes(1)
    (tmp_path / "x.pem").write_bytes(
        pem.armor("TRUSTED CERTIFICATE", body + bytes.fromhex("300c300a06082b06010505070301"))
    )
    assert lodge_paths(repository, tmp_path).lodged == 1
    assert bodies(repository) == [body]


@pytest.mark.parametrize("form", ["p7b", "PEM", "p7b.gz"])
def test_bundle_offers_all_that_is_in_it(repository: Engine, signed: list[bytes], tmp_path: Path, form: str) -> None:
    certificates = [strict_x509.load_der_x509_certificate(body) for body in signed[:5]]
    encoding = Encoding.PEM if form == "PEM" else Encoding.DER
    content = pkcs7.serialize_certificates(certificates, encoding)
    (tmp_path / "x").write_bytes(gzip.compress(content) if form.endswith("gz") else content)
    assert lodge_paths(repository, tmp_path).lodged == 5
    assert set(bodies(repository)) == set(signed[:5])


def test_der_values_one_after_the_other_are_offered_each(repository: Engine, tmp_path: Path) -> None:
    offered = look_alikes(4)
    (tmp_path / "a").write_bytes(b"".join(offered[:2]) + b"\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(offered[2]) + bytes(512) + gzip.compress(offered[3]) + bytes(99))
    (tmp_path / "c").write_bytes(offered[0] + b"and more")
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.already_there, report.refused) == (4, 1, 1)
    assert list(kept(repository)) == [f"{tmp_path / 'c'}, value 2"]


@pytest.mark.parametrize("form", ["der", "pem"])
def test_list_is_found_in_gzip_too(pki: Pki, tmp_path: Path, form: str) -> None:
    now = datetime.now(UTC)
    body = revocation_list(pki.issuing_oca, 1, now, now + CRL_VALIDITY)
    content = body if form == "der" else pem.armor("X509 CRL", body)
    (tmp_path / "x.crl.gz").write_bytes(gzip.compress(content))
    assert list(offers_of([tmp_path], Status.IN_USE)) == [
        RevocationListOffer(body, f"{tmp_path / 'x.crl.gz'}" + (", block 1" if form == "pem" else ""))
    ]


@pytest.mark.parametrize(
    ("more", "counts"),
    [("the same again", (5, 4, 2)), ("an empty one", (5, 0, 1))],  # the first record again has a document's end in it
)
def test_document_in_several_members_is_refused_as_verify_does_and_its_records_are_lodged(
    repository: Engine, tmp_path: Path, more: str, counts: tuple[int, int, int]
) -> None:
    file = zipped(tmp_path, document([record_of(body) for body in look_alikes(5)]))
    whole = file.read_bytes()
    file.write_bytes(whole + (whole if more == "the same again" else gzip.compress(b"")))
    with pytest.raises(VerificationError):
        verify_file(file, XSD)
    report = lodge_paths(repository, file)
    assert (report.lodged, report.already_there, report.refused) == counts
    assert "2 gzip members" in str(report.refusals[-1].error)


@pytest.mark.parametrize(
    "content",
    [b"", gzip.compress(b""), gzip.compress(gzip.compress(b"x")), b"\x1f\x8b"],
    ids=["no bytes", "gzip of nothing", "gzip of gzip", "head of a gzip"],
)
def test_file_of_nothing_is_kept_with_its_reason(repository: Engine, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert lodge_paths(repository, tmp_path).refused == 1
    assert list(kept(repository)) == [str(tmp_path / "x")]


HOSTILE: dict[str, Callable[[], Iterator[bytes]]] = {
    "block without an end": lambda: chain([b"-----BEGIN CERTIFICATE-----\n"], repeat(b"A" * 63 + b"\n", 1 << 21)),
    "dashes": lambda: repeat(b"-" * (1 << 20), 128),
    "record without an end": lambda: chain(
        [b"<CertificateDataResponse>"], repeat(b"<CertificateResponse>" * 99, 1 << 16)
    ),
    "large value": lambda: chain([b"\x30\x84\x08\0\0\0"], repeat(bytes(1 << 20), 128)),
    "certificates of 60 kB": lambda: repeat(b"\x30\x82\xf0\0" + os.urandom(0xF000), 3_000),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_file_is_refused_in_bounded_memory(tmp_path: Path, what: str) -> None:
    with (tmp_path / "x").open("wb") as stream:
        stream.writelines(HOSTILE[what]())
    tracemalloc.start()
    offers = sum(1 for _ in offers_of([tmp_path], Status.IN_USE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert offers > 0
    assert peak < 260 << 20


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


@pytest.mark.parametrize("form", ["xml", "pem", "der"])
def test_gzip_with_a_wrong_check_sum_is_refused_and_what_it_holds_is_lodged(
    repository: Engine, tmp_path: Path, form: str
) -> None:
    offered = look_alikes(30)
    content = {
        "xml": document([record_of(body) for body in offered]),
        "pem": b"".join(pem.armor("CERTIFICATE", body) for body in offered),
        "der": b"".join(offered),
    }[form]
    packed = bytearray(gzip.compress(content))
    packed[-8] ^= 1
    (tmp_path / "x.gz").write_bytes(packed)
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (30, 1)
    assert isinstance(report.refusals[0].error, DocumentRefusedError)
    assert list(kept(repository)) == [str(tmp_path / "x.gz")]


def test_gzip_bomb_is_refused_before_it_expands(repository: Engine, tmp_path: Path) -> None:
    (tmp_path / "bomb.pem.gz").write_bytes(gzip.compress(b" " * (64 << 20)))
    (refusal,) = lodge_paths(repository, tmp_path).refusals
    assert "expands beyond" in str(refusal.error)


def test_certificate_that_something_stands_behind_or_is_damaged_at_its_joints_stops_no_other(
    repository: Engine, signed: list[bytes], tmp_path: Path
) -> None:
    lodge_bodies(repository, signed[:4])
    good = signed[4]
    signature = good.rindex(b"\x03", 0, len(good) - 64)  # its BIT STRING
    damaged = {
        "longer": b"\x30\x82" + (len(good) - 2).to_bytes(2) + good[4:] + b"\x05\0",
        "joint": good[:signature] + bytes([good[signature], good[signature + 1] ^ 1]) + good[signature + 2 :],
    }
    for name, body in {**damaged, "a": signed[5], "z": signed[6]}.items():
        (tmp_path / name).write_bytes(body)
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, {refusal.body for refusal in report.refusals}) == (2, set(damaged.values()))
    for body in damaged.values():
        xml = document([record_of(signed[7]), record_of(good)._replace(body=base64.b64encode(body).decode())])
        assert lodge_paths(repository, zipped(tmp_path, xml, "records.xml.gz")).refused == 1


def test_real_certificates_are_lodged_byte_for_byte(
    repository: Engine, real_certificates: dict[str, bytes], tmp_path: Path
) -> None:
    for name, body in real_certificates.items():
        (tmp_path / name).write_bytes(body)
    have_not_issuers(repository, real_certificates.values())
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (len(real_certificates), 0)
    assert bodies(repository) == list(real_certificates.values())
