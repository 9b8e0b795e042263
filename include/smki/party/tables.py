"""The tables of a copy: what they are made of, and how certificates get into them.

* Bodies, and what identifies them, never change. Statuses stand apart, in rows of some bytes: a day of scattered
  changes writes few pages.
* What several certificates have in common (issuer, role, usage, end) stands once, as their profile.
* Indexes are made when all rows of a full extract are there.
"""

import hashlib
import sqlite3
from collections.abc import Iterable
from importlib.resources import files

from smki.certificates.model import AUTHORITY, CertificateFields
from smki.party.extract_reading import Batch

OURS = 0x534D4B49  # "SMKI", SQLite's application id
VERSION = 2  # of the tables
KNOWN = (
    "SELECT id, status, manufacturing, page FROM certificate_body JOIN certificate_status USING (id) WHERE sha256 = ?"
)
UPDATE_IN_USE = "UPDATE certificate_status SET status = 'I', manufacturing = ?, page = ? WHERE id = ?"
UPDATE = "UPDATE certificate_status SET status = ?, manufacturing = ? WHERE id = ?"
_INDEXES = {
    "certificate_sha256": "UNIQUE INDEX certificate_sha256 ON certificate_body (sha256)",
    "certificate_sha1": "INDEX certificate_sha1 ON certificate_body (sha1)",
    "certificate_eui64": "INDEX certificate_eui64 ON certificate_body (eui64) WHERE eui64 IS NOT NULL",
    "certificate_serial": "INDEX certificate_serial ON certificate_body (serial_number)",
    "certificate_profile": "INDEX certificate_profile ON certificate_status (profile, status)",
    "certificate_page": "INDEX certificate_page ON certificate_status (page)",
    "certificate_not_in_use": "INDEX certificate_not_in_use ON certificate_status (status) WHERE status <> 'I'",
}
_INSERT_BODY = "INSERT INTO certificate_body (id, eui64, serial_number, sha1, sha256, body) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_STATUS = "INSERT INTO certificate_status (id, profile, status, manufacturing, page) VALUES (?, ?, ?, ?, ?)"
_INSERT_PROFILE = "INSERT INTO profile (class, issuer, common_name, role, usage, not_after) VALUES (?, ?, ?, ?, ?, ?)"

Profiles = dict[tuple[object, ...], int]  # what several certificates have in common → its number


def make_all(connection: sqlite3.Connection) -> None:
    """The tables of a copy in which nothing is yet."""
    _run(connection, "copy.sql")
    _run(connection, "certificate.sql")
    make_indexes(connection)
    connection.execute(f"PRAGMA application_id = {OURS}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def begin_anew(connection: sqlite3.Connection) -> None:
    """Empties the tables of certificates, and leaves them without indexes."""
    connection.execute("DROP VIEW certificate")
    connection.execute("DROP TABLE certificate_body")
    connection.execute("DROP TABLE certificate_status")
    _run(connection, "certificate.sql")


def make_indexes(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.IntegrityError where a certificate stands there twice."""
    for index in _INDEXES.values():
        connection.execute(f"CREATE {index}")


def read_profiles(connection: sqlite3.Connection) -> Profiles:
    query = "SELECT id, class, issuer, common_name, role, usage, not_after FROM profile"
    return {tuple(key): number for number, *key in connection.execute(query)}


def insert(connection: sqlite3.Connection, batch: Batch, rows: Iterable[int], profiles: Profiles) -> None:
    """Puts these rows of a batch behind the others; `profiles` learns new ones.

    Raises sqlite3.IntegrityError for a certificate that is there, once there are indexes.
    """
    numbers = [_number_of(connection, fields, profiles) for fields in batch.profiles]
    ((last,),) = connection.execute("SELECT coalesce(max(id), 0) FROM certificate_body")
    numbered = list(enumerate(rows, last + 1))
    bodies = (
        (
            number,
            batch.eui64s[row],
            batch.serial_numbers[row],
            sha1_key(hashlib.sha1(batch.bodies[row], usedforsecurity=False).digest()),
            batch.hashes[row],
            batch.bodies[row],
        )
        for number, row in numbered
    )
    statuses = (
        (
            number,
            numbers[batch.profile[row]],
            batch.statuses[row],
            batch.manufacturing[row],
            None if batch.pages is None else batch.pages[row],
        )
        for number, row in numbered
    )
    connection.executemany(_INSERT_BODY, bodies)
    connection.executemany(_INSERT_STATUS, statuses)


def sha1_key(sha1: bytes) -> int:
    """The number by which a SHA-1 value is indexed."""
    return int.from_bytes(sha1[:8], signed=True)


def _number_of(connection: sqlite3.Connection, fields: CertificateFields, profiles: Profiles) -> int:
    key = (
        str(fields.certificate_class or AUTHORITY),
        fields.issuer,
        fields.common_name,
        fields.role,
        fields.usage and str(fields.usage),
        fields.not_after.isoformat(),
    )
    if (number := profiles.get(key)) is None:
        number = connection.execute(_INSERT_PROFILE, key).lastrowid
        assert number is not None  # noqa: S101  # a row was inserted
        profiles[key] = number
    return number


def _run(connection: sqlite3.Connection, name: str) -> None:
    for statement in files("smki.party").joinpath(name).read_text(encoding="utf-8").split(";\n"):
        connection.execute(statement)
