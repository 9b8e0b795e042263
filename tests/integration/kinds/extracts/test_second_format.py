"""A second wire format is one more value: it is planned, rendered, assembled, verified, judged and read by it alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import (
    SMALL_PAGES,
    XSD,
    assembled,
    change,
    cut_off,
    day,
    document,
    during,
    in_use,
    lodge_bodies,
    look_alikes,
    record_of,
    records_of,
    rendered,
    state_as_of,
    store_in,
    written,
    zipped,
)
from smki.annex_b.reading import read_records
from smki.annex_b.version import FORMATS, V1, AnnexB, Element, Field
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError
from smki.gate.bounds import load_quality
from smki.gate.judging import judge
from smki.kinds import Source
from smki.kinds.extracts.evidence import extract_evidence
from smki.kinds.extracts.plan import ExtractPlan, plan_extract
from smki.kinds.extracts.production import produce
from smki.kinds.extracts.reading import ReadExtract, has_rows, read_file, read_stored
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.obligations.catalogue import Obligation, UserGuide
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows
from smki.settings import INCLUDE
from smki.store.manifest import Manifest, get_manifest
from smki.verify.basis import basis_of
from smki.verify.faults import Fault, FaultError
from smki.verify.marks import Marks
from smki.verify.verification import examine_file, examine_stored, need_right, verify_file

SCHEMA = """\
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:example:smki" targetNamespace="urn:example:smki"
           elementFormDefault="qualified">
  <xs:element name="Extract">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="File.Name" type="xs:string"/>
        <xs:element name="Made-By" type="xs:string"/>
        <xs:element name="Entry" minOccurs="0" maxOccurs="unbounded">
          <xs:complexType>
            <xs:sequence>
              <xs:element name="State" type="xs:string"/>
              <xs:element name="Key.Usage" type="xs:string" minOccurs="0"/>
              <xs:element name="Role" type="xs:unsignedByte" minOccurs="0"/>
              <xs:element name="Der" type="xs:base64Binary"/>
              <xs:element name="Manufacturing" type="xs:boolean"/>
              <xs:element name="Serial-Number" type="xs:string"/>
              <xs:element name="Device" type="xs:string" minOccurs="0"/>
              <xs:element name="Subject" type="xs:string" minOccurs="0"/>
            </xs:sequence>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>
"""


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnnexB:
    """Another order, other names, a namespace, a schema of its own."""
    schema = tmp_path / "second.xsd"
    schema.write_text(SCHEMA)
    value = AnnexB(
        version="second",
        namespace="urn:example:smki",
        root="Extract",
        head=(("File.Name", "{name}"), ("Made-By", "a test")),
        record="Entry",
        elements=(
            Element("State", Field.STATUS),
            Element("Key.Usage", Field.USAGE, optional=True),
            Element("Role", Field.ROLE, optional=True),
            Element("Der", Field.BODY),
            Element("Manufacturing", Field.MANUFACTURING),
            Element("Serial-Number", Field.SERIAL),
            Element("Device", Field.SUBJECT_ALT_NAME, optional=True),
            Element("Subject", Field.SUBJECT_NAME, optional=True),
        ),
        schema=str(schema),
    )
    monkeypatch.setitem(FORMATS, value.version, value)
    return value


@pytest.fixture
def filled(repository: Engine, signed: list[bytes]) -> Engine:
    """Window 8 is closed: certificates of all classes, some of which it took out of use."""
    bodies = [*signed, *look_alikes(60)]
    lodge_bodies(repository, bodies, during(1))
    change(repository, bodies[-10:], Status.NOT_IN_USE, during(8))
    close_windows(repository, day(8), cut_off)
    return repository


def produced(engine: Engine, obligation: Obligation, annex_b: AnnexB, folder: Path) -> tuple[Path, Manifest]:
    """The extract of window 8, by plan and manifest as one task hands them to the next."""
    store, basis = store_in(folder), basis_of(annex_b, XSD)
    plan = plan_extract(engine, obligation, day(8), basis=basis, annex_b=annex_b, page_format=SMALL_PAGES)
    sha256, _ = produce(libpq_url(engine), ExtractPlan.get(store, plan.put(store)), store)
    return written(folder, get_manifest(store, sha256))


def test_extracts_are_produced_verified_and_read_by_their_own_format(
    filled: Engine, second: AnnexB, user_guide: UserGuide, tmp_path: Path
) -> None:
    for obligation, expected, status in (
        (user_guide.full, in_use(state_as_of(filled, 8)), "I"),
        (user_guide.delta, look_alikes(60)[-10:], "N"),
    ):
        file, manifest = produced(filled, obligation, second, tmp_path)
        assert manifest.format is second
        assert records_of(file, second) == [record_of(body, status) for body in expected]
        for verified in (
            verify_file(file, XSD, manifest=manifest),
            verify_file(file, XSD, manifest=manifest, workers=2),
            need_right(examine_stored(store_in(tmp_path), manifest, XSD)[0]),
            verify_file(file, XSD),
        ):
            assert (verified.format, verified.set_digest) == (second, SetDigest.of(expected))
            assert not any(segment.parsed for segment in verified.segments), "it is plain in its own format"


def test_second_format_changes_nothing_of_the_first(
    filled: Engine, second: AnnexB, user_guide: UserGuide, tmp_path: Path
) -> None:
    file, _ = produced(filled, user_guide.full, V1, tmp_path)
    assert verify_file(file, XSD).format == V1 != second
    assert records_of(file) == [record_of(body) for body in in_use(state_as_of(filled, 8))]


@pytest.mark.parametrize("prefix", ["", "smki"])
@pytest.mark.parametrize("pretty", [False, True], ids=["one line", "many lines"])
def test_document_of_others_is_verified_and_read_from_its_tree(
    second: AnnexB, signed: list[bytes], tmp_path: Path, prefix: str, pretty: bool
) -> None:
    records = [record_of(body) for body in signed]
    xml = document(records, annex_b=second, prefix=prefix, pretty=pretty).replace(b"\n", b"\n<!-- by others -->", 1)
    file = zipped(tmp_path, xml)
    verified = verify_file(file, XSD)
    assert (verified.format, verified.set_digest) == (second, SetDigest.of(signed))
    assert any(segment.parsed for segment in verified.segments)
    (tmp_path / "x.xml").write_bytes(xml)
    with (tmp_path / "x.xml").open("rb") as stream:
        assert list(read_records(stream, "x.xml")) == records


@pytest.mark.parametrize("in_segments", [False, True], ids=["in one piece", "in segments"])
def test_what_breaks_the_second_format_is_refused_by_it(
    second: AnnexB, signed: list[bytes], tmp_path: Path, in_segments: bool
) -> None:
    head, records, tail = render_head("x.xml", second), rendered(signed, annex_b=second), render_tail(second)
    in_another_order = replace(second, elements=second.elements[::-1])
    first_device = records.index(b"<Device>") + len(b"<Device>")
    damages = [
        ((head, rendered(signed, annex_b=in_another_order), tail), Fault.XML),
        ((head.replace(b"urn:example:smki", b"urn:example:other"), records, tail), Fault.XML),
        ((head, rendered(signed), tail), Fault.XML),
        ((head, records[:first_device] + b"F" + records[first_device + 1 :], tail), Fault.FIELDS),
        ((head, records + rendered(signed[:1], annex_b=second), tail), Fault.DUPLICATE),
        ((head, records[: records.index(b"<Der>")] + b"<!--" + records, tail), Fault.XML),
    ]
    for parts, fault in damages:
        file, manifest = assembled(tmp_path, parts, annex_b=second)
        with pytest.raises(FaultError) as caught:
            verify_file(file, XSD, manifest=manifest if in_segments else None)
        assert caught.value.fault is fault


def test_file_of_one_format_is_not_verified_by_the_other(second: AnnexB, signed: list[bytes], tmp_path: Path) -> None:
    parts = [render_head("x.xml", second), rendered(signed, annex_b=second), render_tail(second)]
    file, manifest = assembled(tmp_path, parts, annex_b=second)
    mistaken, marks = replace(manifest, format=V1), Marks.folder(tmp_path / "marks")
    for examined in (
        examine_file(file, XSD, marks, manifest=mistaken),
        examine_stored(store_in(tmp_path), mistaken, XSD)[0],
    ):
        assert {segment.fault for segment in examined.segments} == {Fault.XML}


def test_document_of_no_known_format_is_refused(second: AnnexB, tmp_path: Path) -> None:
    xml = document([record_of(look_alikes(1)[0])], annex_b=replace(second, namespace="urn:example:third"))
    with pytest.raises(FaultError) as caught:
        verify_file(zipped(tmp_path, xml), XSD)
    assert caught.value.fault is Fault.XML
    (tmp_path / "x.xml").write_bytes(xml)
    with (tmp_path / "x.xml").open("rb") as stream, pytest.raises(DocumentRefusedError):
        list(read_records(stream, "x.xml"))


def test_gate_judges_an_extract_by_its_own_format(
    filled: Engine, second: AnnexB, user_guide: UserGuide, tmp_path: Path
) -> None:
    source = Source(filled, user_guide, load_quality(INCLUDE / "config"), XSD, INCLUDE / "config" / "anchor_slots.toml")

    def failed(obligation: Obligation, read: ReadExtract) -> set[str]:
        evidence = extract_evidence(source, obligation, day(8), read)
        return {result.id for result in judge(evidence, "test", cut_off(day(8))).failed}

    def failed_everywhere(obligation: Obligation, file: Path, manifest: Manifest) -> set[str]:
        """What trips for a file with its manifest, which trips in the store, too."""
        with read_file(file, obligation.kind, XSD) as read:
            found = failed(obligation, read)
        store, keep_rows = store_in(tmp_path), has_rows(obligation.kind)
        read = read_stored(store, manifest, XSD, *examine_stored(store, manifest, XSD, keep_rows=keep_rows))
        assert failed(obligation, read) == found
        return found

    for obligation in (user_guide.full, user_guide.delta):
        assert failed_everywhere(obligation, *produced(filled, obligation, second, tmp_path)) == set()
    bodies, name = in_use(state_as_of(filled, 8)), user_guide.full.file_name(day(8))
    for head, wrong in ((render_head(name.removesuffix(".gz"), second), False), (render_head("x.xml", second), True)):
        made = assembled(tmp_path, [head, rendered(bodies, annex_b=second), render_tail(second)], name, second)
        assert ("xml.head" in failed_everywhere(user_guide.full, *made)) is wrong
