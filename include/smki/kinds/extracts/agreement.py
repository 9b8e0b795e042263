"""What the repository's windows say that an extract has to hold.

* DELT of window w: the certificates that the window changed.
* FULL as of window w: Σ entered − Σ departed over the windows 1 … w.

The windows' digests were taken from the bodies when the windows were closed; the file's were taken from its own bytes.
"""

from datetime import date

from sqlalchemy import Engine

from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import Obligation
from smki.repository.windows import find_window, in_use_digest
from smki.store.manifest import Manifest
from smki.verify.faults import Fault, refused
from smki.verify.verification import Verification


def expected_digest(engine: Engine, obligation: Obligation, business_date: date) -> SetDigest:
    """Set digest of the certificates that the extract of that day has to hold. Raises WindowError."""
    window = find_window(engine, business_date)
    return in_use_digest(engine, window.seq) if obligation is Obligation.FULL else window.changed


def check_agreement(engine: Engine, manifest: Manifest, verification: Verification) -> None:
    """Raises VerificationError unless the file holds exactly the certificates that its window says."""
    expected = expected_digest(engine, manifest.obligation, manifest.business_date)
    if verification.set_digest != expected:
        what = "in use as of" if manifest.obligation is Obligation.FULL else "changed by"
        raise refused(
            Fault.CONTENT,
            verification.name,
            f"it holds {verification.records} certificates with set digest {verification.set_digest} and those "
            f"{what} window {manifest.window_seq} are {expected}.",
        )
