"""The evidence on the anchor-slot files, for the gate: each of the four, with the two regions' files side by side.

* A region's file holds exactly the certificates that the configuration names for the region, each in use.
* The two are the same but for the WAN provider slot (Appendix O 2.3.3 (e), (f)), and each region has its own.
* Document and table name, by fingerprint, every certificate that the two files hold.

Both regions' files are read once, whatever is judged by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from smki.annex_b.gzip_reader import inflate_small
from smki.certificates.reading import is_private_key
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError, VerificationError
from smki.gate.checks import KeyRow, NameRow
from smki.gate.evidence import Evidence
from smki.gate.figures import BYTES, RECORDS
from smki.kinds import Source
from smki.kinds.anchors.checks import DOCUMENT, REGION_FILE, DocumentRow, OwnRow, RegionRow
from smki.kinds.anchors.files import HeldCertificate, own_certificates
from smki.kinds.anchors.production import REGION_OF, digest_of, render_set
from smki.kinds.anchors.slots import AnchorSet, Region
from smki.kinds.extracts.checks import SegmentRow
from smki.kinds.extracts.evidence import issuers_of, segment_rows, xml_rows
from smki.obligations.catalogue import AnchorPart, Obligation
from smki.repository.holdings import certificate_in_words
from smki.verify.marks import Marks
from smki.verify.verification import Verification, examine_file


@dataclass(frozen=True, slots=True)
class _RegionFile:
    """A region's file as the verifier reads it."""

    verification: Verification
    held: frozenset[HeldCertificate]  # of the parts that could be read

    @property
    def unread(self) -> str:
        """Why it cannot be compared with the other region's; empty where it can."""
        faults = [segment.fault_text for segment in self.verification.segments if segment.fault]
        if not self.verification.segments:
            faults = [fault.text for fault in self.verification.faults]
        return "; ".join(faults)


@dataclass(frozen=True, slots=True)
class _Set:
    """What each of the four is judged by."""

    source: Source
    anchor_set: AnchorSet
    day: date  # when they were made
    regions: Mapping[Region, _RegionFile]
    contents: Mapping[AnchorPart, bytes]  # what they are to hold


def set_evidence(source: Source, folder: Path, anchor_set: AnchorSet, day: date) -> list[Evidence]:
    """What the four files in `folder` are judged on; `day` is when they were made.

    Raises VerificationError where one is missing, RepositoryUnavailableError.
    """
    files = {part: folder / one.file for part, one in source.guide.anchors().items()}
    read = _read_set(source, files, anchor_set, day)
    return [_evidence(read, part, file) for part, file in files.items()]


def file_evidence(source: Source, obligation: Obligation, file: Path, anchor_set: AnchorSet, day: date) -> Evidence:
    """What one of the four is judged on; the regions' files lie beside it. Raises the same."""
    anchors = source.guide.anchors()
    part = next(part for part, one in anchors.items() if one == obligation)
    files = {one: file.with_name(anchors[one].file) for one in REGION_OF} | {part: file}
    return _evidence(_read_set(source, files, anchor_set, day), part, file)


def _read_set(source: Source, files: Mapping[AnchorPart, Path], anchor_set: AnchorSet, day: date) -> _Set:
    for file in files.values():
        if not file.is_file():
            raise VerificationError(
                str(file),
                "the files of the base set are judged beside each other, and this one is not there.",
                "The set cannot be judged.",
                "put the files of one version into one folder.",
            )
    regions = {region: _read_region(source, files[part]) for part, region in REGION_OF.items()}
    return _Set(source, anchor_set, day, regions, render_set(anchor_set, source.guide))


def _read_region(source: Source, file: Path) -> _RegionFile:
    with TemporaryDirectory(prefix="smki-") as folder:
        marks = Marks.folder(Path(folder))
        verification = examine_file(file, source.schema, marks, keep_rows=True)
        rows = marks.rows(segment.number for segment in verification.segments if not segment.fault)
        held = (rows[name].to_pylist() for name in ("sha256", "serial_number", "role"))
        return _RegionFile(verification, frozenset(map(HeldCertificate, *held)))


def _evidence(read: _Set, part: AnchorPart, file: Path) -> Evidence:
    region = REGION_OF.get(part)
    return _document_evidence(read, part, file) if region is None else _region_evidence(read, part, region, file)


def _region_evidence(read: _Set, part: AnchorPart, region: Region, file: Path) -> Evidence:
    obligation, verification = read.source.guide.anchors()[part], read.regions[region].verification
    expected = SetDigest.of(certificate.body for certificate in read.anchor_set.certificates(region))
    octets_fault = wan_provider_fault = ""
    if verification.set_digest != expected:
        octets_fault = f"it holds set digest {verification.set_digest} and the configuration says {expected}."
    elif not read.regions[region].unread and _inflated(file) != read.contents[part]:
        octets_fault = "it has the certificates that the configuration says, but is not what it makes."
    own: list[OwnRow] = []
    if unread := "; ".join(filter(None, (one.unread for one in read.regions.values()))):
        wan_provider_fault = f"the regions cannot be compared: {unread}"
    else:
        for of, certificates in own_certificates({of: one.held for of, one in read.regions.items()}).items():
            own += [
                OwnRow(f"role {one.role}", f"{certificate_in_words(one.serial_number.hex().upper(), None)}: {of} only")
                for one in certificates
            ]
            if not certificates:
                wan_provider_fault = f"{of} has no WAN provider of its own."
    return Evidence(
        obligation=obligation,
        name=verification.name,
        business_date=read.day,
        bytes=verification.bytes,
        sha256=verification.sha256,
        checks=REGION_FILE,
        file=(*xml_rows(read.source, obligation.file, verification), RegionRow(octets_fault, wan_provider_fault)),
        rows={SegmentRow: segment_rows(verification), OwnRow: own},
        figures=(RECORDS.figure(verification.records), BYTES.figure(verification.bytes)),
        remarks=tuple(issuers_of(read.source, verification)[1]),
    )


def _inflated(file: Path) -> bytes | None:
    try:
        return inflate_small(file.read_bytes(), file.name)
    except DocumentRefusedError:  # which its own check says
        return None


def _document_evidence(read: _Set, part: AnchorPart, file: Path) -> Evidence:
    obligation, content = read.source.guide.anchors()[part], file.read_bytes()
    text = content.replace(b"<wbr>", b"")  # where a line of the document may break
    held = {one.sha256.hex() for region in read.regions.values() for one in region.held}
    unnamed = [sha256 for sha256 in sorted(held) if sha256.encode() not in text]
    faults = [f"{len(unnamed)} of {len(held)} certificates of the two files are not in it."] if unnamed else []
    named_here = {one.sha256 for one in read.anchor_set.certificates() if one.sha256.encode() in text}
    if foreign := named_here - held:
        faults.append(f"It names {len(foreign)} certificates that neither file holds.")
    if not held:
        faults = ["the two files that it is about cannot be read."]
    return Evidence(
        obligation=obligation,
        name=file.name,
        business_date=read.day,
        bytes=len(content),
        sha256=digest_of(content),
        checks=DOCUMENT,
        file=(
            NameRow(file.name, obligation.file),
            KeyRow("it holds a private key." if is_private_key(content) else ""),
            DocumentRow(
                octets_fault="" if content == read.contents[part] else "it is not what anchor_slots.toml makes.",
                document_fault=" ".join(faults),
            ),
        ),
        figures=(BYTES.figure(len(content)),),
        concerned={"document.files": [f"certificate with fingerprint {sha256}" for sha256 in unnamed]},
    )
