"""What the repository's windows say that an extract has to hold.

* DELT of window w: the certificates that the window changed.
* FULL as of window w: Σ entered − Σ departed over the windows 1 … w. A full extract of other statuses has no such sum:
  the repository itself is read.

The windows' digests were taken from the bodies when the windows were closed; the file's were taken from its own bytes.
"""

from datetime import date, datetime
from typing import assert_never

from sqlalchemy import Engine

from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import DeltaExtract, FullExtract, Obligation, is_recovery_start
from smki.publish.artefact import Artefact
from smki.repository.holdings import digests_of_statuses
from smki.repository.windows import find_window, in_use_digest
from smki.store.manifest import Manifest
from smki.verify.faults import Fault, FaultError
from smki.verify.verification import Verification


def expected_digest(engine: Engine, kind: FullExtract | DeltaExtract, business_date: date) -> SetDigest:
    """Set digest of the certificates that the extract of that day has to hold. Raises WindowError."""
    window = find_window(engine, business_date)
    match kind:
        case DeltaExtract():
            return window.changed
        case FullExtract(statuses):
            if is_recovery_start(kind):
                return in_use_digest(engine, window.seq)
            return sum(digests_of_statuses(engine, window.seq, statuses).values(), SetDigest())
        case never:
            assert_never(never)


def check_agreement(
    engine: Engine, kind: FullExtract | DeltaExtract, manifest: Manifest, verification: Verification
) -> None:
    """Raises VerificationError unless the file holds exactly the certificates that its window says."""
    expected = expected_digest(engine, kind, manifest.business_date)
    if verification.set_digest != expected:
        what = "as of" if isinstance(kind, FullExtract) else "changed by"
        raise FaultError(
            Fault.CONTENT,
            verification.name,
            f"it holds {verification.records} certificates with set digest {verification.set_digest} and those "
            f"{what} window {manifest.window_seq} are {expected}.",
        )


def extract_artefact(
    obligation: Obligation,
    of_manifest: str,
    manifest: Manifest,
    verification: Verification,
    run: str,
    verified_at: datetime,
) -> Artefact:
    """What is published of an extract that was verified; `of_manifest` is the SHA-256 (hex) of its manifest."""
    return Artefact(
        obligation=obligation.name,
        name=manifest.name,
        business_date=manifest.business_date,
        window_seq=manifest.window_seq,
        bytes=verification.bytes,
        sha256=verification.sha256,
        content_digest=manifest.content_digest,
        xml_bytes=verification.xml_bytes,
        records=verification.records,
        set_digest=verification.set_digest,
        run=run,
        verified_at=verified_at,
        subject=obligation.subject,
        manifest=of_manifest,
    )
