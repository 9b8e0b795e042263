"""Whether a verified extract agrees with the repository's windows.

* DELT of window w: its set digest is that of the certificates that the window changed.
* FULL as of window w: its set digest is Σ entered − Σ departed over the windows 1 … w.

The windows' digests were taken from the bodies when the windows were closed; the file's were taken from its own bytes.
"""

from sqlalchemy import Engine

from smki.extract.manifest import Manifest
from smki.obligations.user_guide import Obligation
from smki.quality.record_check import refused
from smki.quality.verification import Verification
from smki.repository.windows import find_window, in_use_digest


def check_agreement(engine: Engine, manifest: Manifest, verification: Verification) -> None:
    """Raises VerificationError unless the file holds exactly the certificates that its window says."""
    if manifest.obligation is Obligation.FULL:
        expected, what = in_use_digest(engine, manifest.window_seq), "in use as of"
    else:
        expected, what = find_window(engine, manifest.business_date).changed, "changed by"
    if verification.set_digest != expected:
        raise refused(
            verification.name,
            f"it holds {verification.records} certificates with set digest {verification.set_digest} and those "
            f"{what} window {manifest.window_seq} are {expected}.",
        )
