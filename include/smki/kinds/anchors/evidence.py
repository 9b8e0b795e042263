"""The evidence on the anchor-slot files, for the gate: each of the four, with the two regions' files side by side.

* A region's file holds exactly the certificates that the configuration names for the region, each in use.
* The two are the same but for the WAN provider slot (Appendix O 2.3.3 (e), (f)), and each region has its own.
* Document and table name, by fingerprint, every certificate that the two files hold.
"""

import hashlib
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd

from smki.certificates.reading import is_private_key
from smki.certificates.set_digest import SetDigest
from smki.errors import DataError, VerificationError
from smki.gate.evidence import Evidence, Source, Table
from smki.gate.figures import figure
from smki.kinds.anchors.files import digest_of, own_certificates
from smki.kinds.anchors.production import REGION_OF, content_digests
from smki.kinds.anchors.slots import AnchorSet, Region
from smki.kinds.extracts.evidence import segment_table, xml_row
from smki.obligations.catalogue import Obligation, UserGuide
from smki.repository.holdings import named
from smki.verify.marks import Marks
from smki.verify.verification import Verification, examine_file


def set_evidence(source: Source, folder: Path, anchor_set: AnchorSet, day: date) -> list[Evidence]:
    """What the four files in `folder` are judged on; `day` is when they were made.

    Raises VerificationError where one is missing, RepositoryUnavailableError.
    """
    return [
        file_evidence(source, obligation, folder / obligation.file, anchor_set, day)
        for obligation in source.guide.anchors().values()
    ]


def file_evidence(source: Source, obligation: Obligation, file: Path, anchor_set: AnchorSet, day: date) -> Evidence:
    """What one of the four is judged on; the regions' files lie beside it. Raises the same."""
    anchors = source.guide.anchors()
    regions = {region: file.parent / anchors[part].file for part, region in REGION_OF.items()}
    own = REGION_OF.get(next(part for part, one in anchors.items() if one == obligation))
    if own:
        regions[own] = file
    for path in (file, *regions.values()):
        if not path.is_file():
            raise VerificationError(
                str(path),
                "the files of the base set are judged beside each other, and this one is not there.",
                "The set cannot be judged.",
                "put the files of one version into one folder.",
            )
    examined = {region: _examined(source, path) for region, path in regions.items()}
    if own:
        return _region_evidence(source, obligation, own, regions, examined[own][0], anchor_set, day)
    held = {sha256 for _, hashes in examined.values() for sha256 in hashes}
    return _document_evidence(source.guide, obligation, file, anchor_set, held, day)


def _region_evidence(
    source: Source,
    obligation: Obligation,
    region: Region,
    regions: dict[Region, Path],
    verification: Verification,
    anchor_set: AnchorSet,
    day: date,
) -> Evidence:
    expected = SetDigest.of(certificate.body for certificate in anchor_set.certificates(region))
    octets_fault = wan_provider_fault = ""
    if verification.set_digest != expected:
        octets_fault = f"it holds set digest {verification.set_digest} and the configuration says {expected}."
    rows: list[dict[str, str]] = []
    try:
        for one, own in own_certificates(regions).items():
            rows += [
                {"own": f"role {fields.role}", "item": f"{named(fields.serial_number.hex().upper(), None)}: {one} only"}
                for fields in own
            ]
            if not own:
                wan_provider_fault = f"{one} has no WAN provider of its own."
    except (DataError, ValueError) as error:  # what cannot be read is a fault of its file, by its name
        wan_provider_fault = f"the regions cannot be compared: {error.rule if isinstance(error, DataError) else error}"
    row = xml_row(source.engine, obligation.file, verification)
    return Evidence(
        obligation=obligation,
        name=verification.name,
        business_date=day,
        bytes=verification.bytes,
        sha256=verification.sha256,
        tables={
            Table.FILE: pd.DataFrame([row | {"octets_fault": octets_fault, "wan_provider_fault": wan_provider_fault}]),
            Table.SEGMENTS: segment_table(verification),
            Table.REGIONS: pd.DataFrame(rows, columns=["own", "item"]),
        },
        figures=(
            figure("records", "Certificates", "", verification.records, ()),
            figure("bytes", "Size of the file", "octets", verification.bytes, ()),
        ),
    )


def _document_evidence(
    guide: UserGuide, obligation: Obligation, file: Path, anchor_set: AnchorSet, held: set[bytes], day: date
) -> Evidence:
    content = file.read_bytes()
    text = content.replace(b"<wbr>", b"")  # where a line of the document may break
    unnamed = [sha256.hex() for sha256 in sorted(held) if sha256.hex().encode() not in text]
    document_fault = f"{len(unnamed)} of {len(held)} certificates of the two files are not in it." if unnamed else ""
    named_here = {one.sha256 for one in anchor_set.certificates() if one.sha256.encode() in text}
    if foreign := named_here - {sha256.hex() for sha256 in held}:
        document_fault += f" It names {len(foreign)} certificates that neither file holds."
    is_as_configured = digest_of(content) == content_digests(anchor_set, guide).get(obligation.file)
    if not held:
        document_fault = "the two files that it is about cannot be read."
    row = {
        "name": file.name,
        "expected_name": obligation.file,
        "private_key_fault": "it holds a private key." if is_private_key(content) else "",
        "document_fault": document_fault.strip(),
        "octets_fault": "" if is_as_configured else "it is not what anchor_slots.toml makes.",
    }
    return Evidence(
        obligation=obligation,
        name=file.name,
        business_date=day,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        tables={Table.FILE: pd.DataFrame([row])},
        figures=(figure("bytes", "Size of the file", "octets", len(content), ()),),
        named={"document.files": [f"certificate with fingerprint {sha256}" for sha256 in unnamed]},
    )


def _examined(source: Source, file: Path) -> tuple[Verification, list[bytes]]:
    """A region's file as the verifier reads it, and the SHA-256 of each certificate in it."""
    with tempfile.TemporaryDirectory(prefix="smki-") as folder:
        marks = Marks(Path(folder))
        verification = examine_file(file, source.schema, marks, keep_rows=True)
        rows = marks.rows(segment.number for segment in verification.segments if not segment.fault)
        return verification, rows["sha256"].to_pylist()
