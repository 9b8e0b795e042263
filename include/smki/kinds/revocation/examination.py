"""Examines a produced revocation list from its own bytes.

* One gzip member, intact, under its name (`frame`); no private key material.
* What it holds is, octet for octet, a list that is lodged.
* Its signature verifies, now and from these bytes, under a lodged certificate of its issuer, and its kind is the one
  that its name promises.
* Its thisUpdate has come and its nextUpdate has not passed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.reading import is_private_key
from smki.errors import RevocationListRefusedError
from smki.kinds.revocation.lodging import CLOCK_SKEW, LodgedList, kind_of
from smki.kinds.revocation.reading import RevocationListFields, read_revocation_list
from smki.repository.database import lost_connections
from smki.verify.faults import Fault, FaultError
from smki.verify.frame import read_single


@dataclass(frozen=True, slots=True)
class ListExamination:
    """What a list's file holds, and what is wrong with it."""

    name: str
    bytes: int  # of the file
    sha256: str  # of the file, hex
    fields: RevocationListFields | None  # none where it cannot be read
    faults: tuple[FaultError, ...]


def verify_revocation_file(engine: Engine, file: Path, expected: LodgedList, now: datetime) -> None:
    """Raises VerificationError unless `file` is `expected` and fresh at `now` (UTC), StagingError."""
    for fault in examine_revocation_file(engine, file, expected, now).faults:
        raise fault


def examine_revocation_file(engine: Engine, file: Path, expected: LodgedList, now: datetime) -> ListExamination:
    """What `file` holds, held against the lodged list that it has to be, at `now` (UTC). Raises StagingError."""
    fields, faults = None, []
    try:
        content = read_single(file)
    except FaultError as fault:
        faults.append(fault)
    else:
        faults += _octet_faults(file, content, expected)
        try:
            fields = read_revocation_list(content)
            faults += _list_faults(engine, file, fields, content, expected, now)
        except RevocationListRefusedError as error:
            faults.append(_refused(Fault.SIGNATURE, file.name, f"{error.item}: {error.rule}", error.next_step))
    octets = file.read_bytes()
    return ListExamination(file.name, len(octets), hashlib.sha256(octets).hexdigest(), fields, tuple(faults))


def _octet_faults(file: Path, content: bytes, expected: LodgedList) -> Iterator[FaultError]:
    if is_private_key(content):
        yield _refused(
            Fault.PRIVATE_KEY, file.name, "it holds a private key.", "have the key replaced wherever it is in use."
        )
    if content != expected.body:
        yield _refused(
            Fault.CONTENT,
            file.name,
            f"it does not hold the octets of {expected}.",
            "clear the run, so that it is produced again.",
        )


def _list_faults(
    engine: Engine, file: Path, fields: RevocationListFields, content: bytes, expected: LodgedList, now: datetime
) -> Iterator[FaultError]:
    """Raises RevocationListRefusedError for a list without an issuer or whose signature does not verify."""
    if not fields.this_update - CLOCK_SKEW <= now < fields.next_update:
        yield _refused(
            Fault.FRESHNESS,
            file.name,
            f"the {'nextUpdate' if fields.next_update <= now else 'thisUpdate'} of {expected} "
            f"{'has passed' if fields.next_update <= now else 'has not come'}: it is valid from "
            f"{fields.this_update:%Y-%m-%d %H:%M:%S} to {fields.next_update:%Y-%m-%d %H:%M:%S} UTC and it is "
            f"{now:%Y-%m-%d %H:%M:%S}.",
            "have its issuer issue the next list and lodge it; it is published at once.",
        )
    with lost_connections(), engine.connect() as connection:
        kind = kind_of(connection, fields, content)
    if kind is not expected.kind:
        yield _refused(
            Fault.SIGNATURE,
            file.name,
            f"it holds an {kind} and is to be an {expected.kind}.",
            "see `smki revocation list`.",
        )


def _refused(fault: Fault, item: str, rule: str, next_step: str) -> FaultError:
    return FaultError(fault, item, rule, "It is not published; what is published stays.", next_step)
