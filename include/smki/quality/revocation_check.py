"""Verifies a produced revocation list from its own bytes, before anybody may publish it.

* One gzip member, intact, under its name (`single_file`).
* What it holds is, octet for octet, a list that is lodged.
* Its signature verifies, now and from these bytes, under a lodged certificate of its issuer, and its kind is the one
  that its name promises.
* Its nextUpdate has not passed.
"""

from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.revocation_list import read_revocation_list
from smki.errors import RevocationListRefusedError, VerificationError
from smki.quality.single_file import read_single
from smki.repository.database import lost_connections
from smki.repository.revocation import LodgedList, kind_of


def verify_revocation_file(engine: Engine, file: Path, expected: LodgedList, now: datetime) -> None:
    """Raises VerificationError unless `file` is `expected` and fresh at `now` (UTC), StagingError."""
    content = read_single(file)
    if content != expected.body:
        raise _refused(
            file.name, f"it does not hold the octets of {expected}.", "clear the run, so that it is produced again."
        )
    try:
        fields = read_revocation_list(content)
        with lost_connections(), engine.connect() as connection:
            kind = kind_of(connection, fields, content)
    except RevocationListRefusedError as error:
        raise _refused(file.name, f"{error.item}: {error.rule}", error.next_step) from error
    if kind is not expected.kind:
        raise _refused(file.name, f"it holds an {kind} and is to be an {expected.kind}.", "see `smki revocation list`.")
    if fields.next_update <= now:
        raise _refused(
            file.name,
            f"the nextUpdate of {expected}, {fields.next_update:%Y-%m-%d %H:%M:%S} UTC, has passed; it is "
            f"{now:%Y-%m-%d %H:%M:%S}.",
            "have its issuer issue the next list and lodge it; it is published at once.",
        )


def _refused(item: str, rule: str, next_step: str) -> VerificationError:
    return VerificationError(item, rule, "It is not published; what is published stays.", next_step)
