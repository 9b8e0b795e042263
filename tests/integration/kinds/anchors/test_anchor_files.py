"""The files of a signed repository: what Appendix O 2.3.3 (e), (f) asks of them, and what stops them."""

import csv
import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from lxml import etree, html
from sqlalchemy import Engine

from builders import XSD, change, contents_of, lodge_bodies, records_of, zipped
from smki.certificates.model import Role, Status, Usage
from smki.certificates.reading import read_certificate
from smki.errors import AnchorSlotError, AnchorSlotsUnsetError, DataError, VerificationError
from smki.kinds.anchors.files import HeldCertificate, own_certificates, read_region
from smki.kinds.anchors.production import content_digests, produce_set
from smki.kinds.anchors.slots import Region, Slot
from smki_demo.generator.anchor_slots import write_anchor_slots
from smki_demo.generator.pki import Pki

from .conftest import NOW, Anchors

NORTH, SOUTH = "SMKIKR_ANCHOR_NORTH.xml.gz", "SMKIKR_ANCHOR_CENTRAL_SOUTH.xml.gz"
PAGE, TABLE = "SMKIKR_ANCHOR_SLOTS.html", "SMKIKR_ANCHOR_SLOTS.csv"


def test_clause_2_3_3_e_north_file_is_one_annex_b_xml_of_organisation_and_oca_certificates(anchors: Anchors):
    anchors.produced()
    file = anchors.folder / NORTH
    with gzip.open(file) as stream:
        document = etree.fromstring(stream.read())
    etree.XMLSchema(etree.parse(XSD)).assertValid(document)
    fields = [read_certificate(body) for body in contents_of(file)]
    assert {one.certificate_class for one in fields} == {None, "ORGANISATION"}  # None: an authority
    assert {record.status for record in records_of(file)} == {"I"}
    assert {x509.load_der_x509_certificate(body).subject.rfc4514_string() for body in contents_of(file)} >= {
        "CN=OCA0,OU=00"
    }


def test_clause_2_3_3_f_files_are_the_same_other_than_the_wan_provider(anchors: Anchors):
    anchors.produced()
    north, south = (contents_of(anchors.folder / name) for name in (NORTH, SOUTH))
    (only_north,), (only_south,) = north.keys() - south.keys(), south.keys() - north.keys()
    for body, name in ((only_north, "WAN NORTH"), (only_south, "WAN SOUTH")):
        fields = read_certificate(body)
        assert (fields.role, fields.usage, fields.common_name) == (Role.WAN_PROVIDER, Usage.DIGITAL_SIGNATURE, name)
    others = [[body for body in contents if body in north and body in south] for contents in (north, south)]
    assert others[0] == others[1], "in the same order, too"


def test_document_and_table_agree_with_the_files(anchors: Anchors):
    anchors.produced()
    page = html.document_fromstring((anchors.folder / PAGE).read_bytes())
    cards = page.xpath("//article[contains(@class, 'card')]")
    shown = {"".join(card.xpath(".//dt[.='SHA-256']/../dd")[0].itertext()) for card in cards}
    with (anchors.folder / TABLE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for region, name in ((Region.NORTH, NORTH), (Region.CENTRAL_SOUTH, SOUTH)):
        held = {hashlib.sha256(body).hexdigest() for body in contents_of(anchors.folder / name)}
        assert {row["sha256"] for row in rows if row["region"] == region} == held
        assert held < shown
    for name in (NORTH, SOUTH):
        with gzip.open(anchors.folder / name) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() in page.text_content()


def test_files_depend_on_configuration_and_certificates_only(anchors: Anchors):
    first = {file.name: (anchors.folder / file.name).read_bytes() for file in anchors.produced()}
    anchors.configuration.write_text("# a comment changes nothing\n" + anchors.configuration.read_text())
    later = {
        file.name: (anchors.folder / file.name).read_bytes()
        for file in anchors.produced(datetime(2027, 1, 1, tzinfo=UTC))
    }
    assert later == first
    digests = content_digests(anchors.checked(), anchors.guide)
    assert digests == {file.name: file.written.content_digest for file in anchors.produced()}


def refusal(anchors: Anchors, now: datetime = NOW) -> str:
    with pytest.raises(AnchorSlotError) as refused:
        anchors.produced(now)
    assert not anchors.folder.exists(), "never a half set"
    return str(refused.value)


def bodies_with(signed: list[bytes], serial: str) -> list[bytes]:
    return [body for body in signed if read_certificate(body).serial_number.hex().upper() == serial]


def test_revoked_certificate_stops_the_whole_set(anchors: Anchors, signed: list[bytes]):
    (serial,) = anchors.serials(Slot.TRANSITIONAL_COS_DS)
    change(anchors.engine, bodies_with(signed, serial), Status.REVOKED)
    message = refusal(anchors)
    assert f"[base] transitional_cos_ds, certificate OCA1 {serial}" in message
    assert "it is revoked (status R)" in message


def test_missing_certificate_stops_the_whole_set(anchors: Anchors):
    (serial,) = anchors.serials(Slot.RECOVERY_DS)
    anchors.edit(serial, "5E" * 16)
    assert "no such certificate is lodged" in refusal(anchors)


def test_pending_certificate_stops_the_whole_set(anchors: Anchors, pki: Pki):
    body = pki.organisation_certificate(
        Role.RECOVERY, Usage.DIGITAL_SIGNATURE, b"\x02SMKI\x01\x00\x09", datetime(2025, 1, 1, tzinfo=UTC)
    )
    lodge_bodies(anchors.engine, [body], status=Status.PENDING)
    (serial,) = anchors.serials(Slot.RECOVERY_DS)
    anchors.edit(serial, read_certificate(body).serial_number.hex())
    assert "it is pending: not in use yet (status P)" in refusal(anchors)


def test_certificates_are_judged_at_the_given_instant(anchors: Anchors):
    assert "19 rules are broken" in refusal(anchors, datetime(2036, 1, 1, tzinfo=UTC)), "all but the root have expired"
    assert "it is not valid before 2025-01-01" in refusal(anchors, datetime(2024, 1, 1, tzinfo=UTC))


def test_wrong_role_and_wrong_usage_stop_the_whole_set(anchors: Anchors):
    (recovery,), (broker,) = anchors.serials(Slot.RECOVERY_DS), anchors.serials(Slot.ACCESS_CONTROL_BROKER_KA)
    (load,) = anchors.serials(Slot.LOAD_CONTROLLER_KA)
    anchors.edit(recovery, broker)
    anchors.edit(load, anchors.serials(Slot.LOAD_CONTROLLER_DS)[0])
    message = refusal(anchors)
    assert "its role is access control broker (4), and the slot takes" in message
    assert "its usage is DS, and the slot takes" in message
    assert "a certificate has one slot" in message


def test_device_certificate_is_no_anchor(anchors: Anchors, signed: list[bytes]):
    (serial,) = anchors.serials(Slot.RECOVERY_DS)
    device = read_certificate(signed[-1])
    anchors.edit(f'issuer = "OCA1", serial = "{serial}"', f'issuer = "DCA1", serial = "{device.serial_number.hex()}"')
    assert "it is of class DEVICE" in refusal(anchors)


def own(anchors: Anchors, south: Path | None = None) -> dict[Region, list[HeldCertificate]]:
    files = {Region.NORTH: anchors.folder / NORTH, Region.CENTRAL_SOUTH: south or anchors.folder / SOUTH}
    return own_certificates({region: read_region(file) for region, file in files.items()})


def test_what_one_region_has_alone_is_found_in_the_finished_files(anchors: Anchors, tmp_path: Path):
    anchors.produced()
    assert [[one.is_regional for one in held] for held in own(anchors).values()] == [[True], [True]]
    with gzip.open(anchors.folder / SOUTH) as stream:
        document = etree.fromstring(stream.read())
    document.remove(document.findall("CertificateResponse")[1])
    fewer = own(anchors, zipped(tmp_path, etree.tostring(document), SOUTH))
    assert sorted(one.is_regional for one in fewer[Region.NORTH]) == [False, True]
    with gzip.open(anchors.folder / NORTH) as stream:
        same = own(anchors, zipped(tmp_path, stream.read(), SOUTH))
    assert same == {Region.NORTH: [], Region.CENTRAL_SOUTH: []}


def test_damaged_file_is_refused(anchors: Anchors):
    anchors.produced()
    file = anchors.folder / NORTH
    damaged = bytearray(file.read_bytes())
    damaged[200] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(VerificationError):
        read_region(file)


def test_without_a_configuration_nothing_is_produced(anchors: Anchors):
    anchors.configuration.unlink()
    with pytest.raises(AnchorSlotsUnsetError):
        produce_set(anchors.checked(), anchors.guide, anchors.folder)
    assert not anchors.folder.exists()


def test_generator_needs_a_repository_with_every_role(repository: Engine, tmp_path: Path):
    with pytest.raises(DataError, match="no certificate in use fits it"):
        write_anchor_slots(repository, tmp_path / "anchor_slots.toml")
    assert not (tmp_path / "anchor_slots.toml").exists()
