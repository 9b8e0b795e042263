"""A Party's synchronised copy: which certificates are in use, by the newest FULL and the deltas after it.

* A FULL starts the copy anew: what it holds is in use, nothing else is.
* A delta gives each certificate that it holds its status.
* FULL_D is followed by DELT_(D+1), DELT_(D+2) … without a day missing.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from smki.annex_b.reading import Record, decode_body
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import VerificationError


def deltas_after(full: date, deltas: Iterable[date]) -> list[date]:
    """The deltas to apply after the FULL of that day, up to the newest. Raises VerificationError for a gap."""
    after = sorted(day for day in deltas if day > full)
    for number, day in enumerate(after, start=1):
        if day != (due := full + timedelta(days=number)):
            raise VerificationError(
                f"DELT of {due}",
                f"a Party reaches today by a FULL and each delta after it; after FULL of {full} this is missing.",
                "A Party cannot synchronise.",
                "publish the missing day.",
            )
    return after


@dataclass(slots=True)
class SynchronisedCopy:
    """Status of each certificate, by its SHA-256. Memory grows with the repository: about 150 bytes a certificate."""

    statuses: dict[bytes, str] = field(default_factory=dict)

    def load_full(self, records: Iterable[Record]) -> None:
        self.statuses.clear()
        self.apply_delta(records)

    def apply_delta(self, records: Iterable[Record]) -> None:
        for record in records:
            self.statuses[hashlib.sha256(decode_body(record.body or "")).digest()] = record.status or ""

    def in_use(self) -> SetDigest:
        """Set digest of the certificates with status I."""
        return SetDigest.of_hashes(key for key, status in self.statuses.items() if status == Status.IN_USE)
