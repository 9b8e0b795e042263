"""What is offered to the repository, and how what is refused of it is kept.

* What cannot be lodged goes to `rejected_lodgement` with its bytes and the reason. A private key's bytes go nowhere.
* What has to wait, as its issuer is not known yet, waits in a file, however much there is.
"""

import hashlib
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from smki.certificates.model import Status
from smki.certificates.reading import is_private_key
from smki.errors import DataError, PrivateKeyRefusedError

_IN_MEMORY = 1 << 24  # bytes of offers that wait for their issuers; beyond it they are on disk
_REJECT = """
INSERT INTO rejected_lodgement (sha256, body, origin, reason, offers) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (sha256) DO UPDATE
SET offers = rejected_lodgement.offers + excluded.offers, last_offered_at = clock_timestamp(), origin = excluded.origin,
    reason = excluded.reason
"""


@dataclass(frozen=True, slots=True)
class Lodgement:
    """A certificate that is offered to the repository."""

    body: bytes  # DER
    origin: str  # where it came from, for reports
    status: Status | None = None  # None: not stated; it is lodged as in use
    manufacturing: bool | None = None  # None: not stated; it is lodged without the flag
    recorded_at: datetime | None = None  # UTC; None: the database's clock


@dataclass(frozen=True, slots=True)
class RevocationListOffer:
    body: bytes  # DER
    origin: str  # where it came from, for reports


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not lodged; `body` is empty where there are none, or where they must not be kept."""

    body: bytes
    origin: str
    error: DataError


class Waiting:
    """Offers whose issuers are not known yet: in a file, however many there are."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed once it is read
        self.count = 0

    def add(self, offer: Lodgement) -> None:
        pickle.dump(offer, self._file)
        self.count += 1

    def offers(self) -> Iterator[Lodgement]:
        """What waits, in its order; once."""
        with self._file:
            self._file.seek(0)
            for _ in range(self.count):
                yield pickle.load(self._file)  # noqa: S301  # written by `add`, in a file without a name


def keep_refused(database: psycopg.Connection[Any], refusals: Iterable[Refusal]) -> None:
    """Puts what was refused into `rejected_lodgement`, with its newest reason; a private key's bytes go nowhere."""
    rows = [_rejected_row(refusal) for refusal in refusals if _may_be_kept(refusal)]
    offers = Counter(sha256 for sha256, *_ in rows)
    newest = {row[0]: row for row in rows}
    with database.cursor() as cursor:
        cursor.executemany(_REJECT, [(*row, offers[sha256]) for sha256, row in sorted(newest.items())])


def _may_be_kept(refusal: Refusal) -> bool:
    """Whether no private key is among the bytes, for whatever reason they were refused."""
    return not isinstance(refusal.error, PrivateKeyRefusedError) and not is_private_key(refusal.body)


def storable(text: str) -> str:
    """A text as PostgreSQL takes it: no NUL, no half of a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _rejected_row(refusal: Refusal) -> tuple[bytes, bytes, str, str]:
    origin, reason = storable(refusal.origin), storable(str(refusal.error))
    return hashlib.sha256(refusal.body or origin.encode()).digest(), refusal.body, origin, reason
