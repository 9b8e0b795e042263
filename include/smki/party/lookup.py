"""Finds certificates in a copy, by what people know of them: `smki find`. Every question is one of an index."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import x509

from smki.certificates.model import Status, eui64_text
from smki.certificates.names import comparable_name, name_in_words
from smki.certificates.signatures import public_key, signature_verifies
from smki.party.copy import LocalCopy
from smki.party.tables import sha1_key

_MOST_ABOVE = 8  # authorities above a certificate; the real ones have two
_ITS_PROFILE = "profile ON profile.id = profile"
_COLUMNS = (
    "SELECT certificate_body.id, class, issuer, common_name, role, usage, not_after, "
    "status, manufacturing, eui64, serial_number, body"
)
# SQLite keeps to the order of a CROSS JOIN: what identifies a certificate comes first, or what few have in common.
_BY_BODY = f"{_COLUMNS} FROM certificate_body CROSS JOIN certificate_status USING (id) CROSS JOIN {_ITS_PROFILE}"
_BY_STATUS = f"{_COLUMNS} FROM certificate_status CROSS JOIN certificate_body USING (id) CROSS JOIN {_ITS_PROFILE}"
_BY_PROFILE = (
    f"{_COLUMNS} FROM profile CROSS JOIN certificate_status ON profile = profile.id "
    "CROSS JOIN certificate_body ON certificate_body.id = certificate_status.id"
)
_WITH_SUBJECT = "certificate_body.id IN (SELECT certificate FROM authority WHERE subject = ?)"
_ISSUERS = f"{_BY_BODY} WHERE {_WITH_SUBJECT} ORDER BY status = 'I' DESC, certificate_body.id DESC"


@dataclass(frozen=True, slots=True)
class Question:
    """What a certificate has to be; None: anything."""

    eui64: bytes | None = None
    serial_number: bytes | None = None  # big-endian magnitude
    sha1: bytes | None = None
    sha256: bytes | None = None
    role: int | None = None
    usage: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate as the copy holds it."""

    id: int  # in the copy
    certificate_class: str  # OCA and DCA are not told apart by a certificate's own bytes: CA
    issuer: bytes  # Name, DER
    common_name: str | None
    role: int | None
    usage: str | None
    not_after: datetime  # UTC
    status: str
    manufacturing: bool
    eui64: bytes | None
    serial_number: bytes  # big-endian magnitude
    body: bytes  # DER

    @property
    def facts(self) -> dict[str, object]:
        """All that is told of it, but its body."""
        return {
            "class": self.certificate_class,
            "eui64": self.eui64 and eui64_text(self.eui64),
            "common_name": self.common_name,
            "serial_number": self.serial_number.hex().upper(),
            "serial_number_decimal": str(int.from_bytes(self.serial_number)),
            "status": self.status,
            "role": self.role,
            "usage": self.usage,
            "issuer": name_in_words(self.issuer),
            "not_after": self.not_after,
            "manufacturing": self.manufacturing,
            "sha1": hashlib.sha1(self.body, usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(self.body).hexdigest(),
        }


def find(copy: LocalCopy, question: Question, limit: int) -> list[Held]:
    """At most so many of the certificates that answer a question, in the order in which the copy has them.

    Raises SyncRefusedError for a copy that is damaged.
    """
    identifying = {
        "eui64 = ?": question.eui64,
        "serial_number = ?": question.serial_number,
        "sha1 = ?": question.sha1 and sha1_key(question.sha1),
        "sha256 = ?": question.sha256,
    }
    common = {"role = ?": question.role, "usage = ?": question.usage, "status = ?": question.status}
    is_identified = any(value is not None for value in identifying.values())
    asked = {term: value for term, value in (identifying | common).items() if value is not None}
    terms = list(asked)
    if not is_identified and question.status not in (None, Status.IN_USE):
        terms.append("status <> 'I'")  # as the index has it
    of_profile = (question.role, question.usage) != (None, None)
    query = _BY_BODY if is_identified else _BY_PROFILE if of_profile else _BY_STATUS
    rows = copy.read(f"{query} WHERE {' AND '.join(terms) or 'true'} LIMIT ?", (*asked.values(), limit))
    found = [_held(row) for row in rows]
    if question.sha1 is not None:  # the index has the first bytes of it
        found = [one for one in found if hashlib.sha1(one.body, usedforsecurity=False).digest() == question.sha1]
    return found


def chain(copy: LocalCopy, held: Held) -> Iterator[Held]:
    """The authorities above a certificate that the copy holds: each signed the one before."""
    for _ in range(_MOST_ABOVE):
        above = _issuer(copy, held)
        if above is None or above.id == held.id:
            return
        yield above
        held = above


def _issuer(copy: LocalCopy, held: Held) -> Held | None:
    """The authority that signed a certificate; of several with one key the one that is in use."""
    for row in copy.read(_ISSUERS, (comparable_name(held.issuer),)):
        above = _held(row)
        if signature_verifies(held.body, public_key(x509.Certificate.load(above.body))):
            return above
    return None


def _held(row: Sequence[Any]) -> Held:
    number, of_class, issuer, common_name, role, usage, not_after, status, manufacturing, *rest = row
    until = datetime.fromisoformat(not_after)
    return Held(number, of_class, issuer, common_name, role, usage, until, status, bool(manufacturing), *rest)
