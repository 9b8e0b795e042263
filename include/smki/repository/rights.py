"""Who may do what in the repository, as rights that PostgreSQL holds.

| role | whose logins have it | may |
|---|---|---|
| the owner | who runs `smki init`, and nobody else | everything: the tables are the owner's |
| smki_publisher | Airflow's tasks, and people who lodge | read; add certificates, events and rows of the ledger |
| smki_auditor | `smki audit` from another machine | read; record what it read back, and findings |
| smki_reader | the board, reports, `smki status` | read |

* The ledger only grows: of these roles none may delete a row of it or empty it, and of what is written only the columns
  that `MAY` names may change, such as how a publication ended, or the window that claims an event.
* The roles have no login; `GRANT smki_publisher TO login` gives one its rights. They belong to the server: repositories
  on one server share them.
* `smki init` grants anew, so a table that a migration brings is covered. It makes the roles where it may.
"""

from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from smki.repository.database import writing
from smki.repository.migrate import MIGRATION_LOCK

PUBLISHER, AUDITOR, READER = ROLES = ("smki_publisher", "smki_auditor", "smki_reader")


@dataclass(frozen=True, slots=True)
class _May:
    """What somebody may do with a table beside reading it."""

    insert: bool = False
    delete: bool = False
    update: tuple[str, ...] = ()  # columns

    def rights(self) -> str:
        """As GRANT has them; empty: none."""
        rights = ["INSERT"] * self.insert + ["DELETE"] * self.delete
        if self.update:
            rights.append(f"UPDATE ({', '.join(self.update)})")
        return ", ".join(rights)


_ADDS = _May(insert=True)
_FINDINGS = _May(insert=True, update=("last_seen", "rule", "closed_at", "opening_told_at", "closing_told_at"))
_READINGS = _May(
    insert=True, update=("bytes", "modified_at", "as_published", "since", "unread", "wrong", "again", "read_at")
)
_LOOKS = _May(insert=True, update=("looked_at",))
_AUDITED = _May(insert=True, delete=True, update=("bytes", "modified_at", "sha256", "hashed_at"))

# Every table has its line for the publisher: a test says so.
MAY: dict[str, dict[str, _May]] = {
    PUBLISHER: {
        # the repository
        "issuer": _ADDS,
        "certificate": _May(insert=True, update=("status",)),
        "body_hash": _ADDS,
        "status_event": _May(insert=True, update=("window_seq",)),
        "trusted_root": _May(insert=True, update=("sha256", "class", "stated_at")),
        "unchecked_issuer": _May(insert=True, update=("comparable", "name", "class", "reason", "stated_at")),
        "rejected_lodgement": _May(insert=True, update=("offers", "last_offered_at", "origin", "reason")),
        "revocation_list": _ADDS,
        "listed_certificate": _ADDS,
        # the ledger
        "delta_window": _ADDS,
        "artefact": _May(insert=True, update=("version", "manifest")),
        "publication": _May(
            insert=True,
            update=(
                *("artefact_id", "path", "copied_bytes", "run", "published_at"),  # a lost file that was put there again
                *("ended_at", "ended_by", "end_reason"),
            ),
        ),
        "index_signer": _May(insert=True, update=("certificate", "stated_at")),
        "gate_run": _ADDS,
        "gate_decision": _ADDS,
        # what the watch knows
        "finding": _FINDINGS,
        "site_look": _LOOKS,
        "page_reading": _READINGS,
        "audited_file": _AUDITED,
        "task_failure": _May(insert=True, delete=True),
    },
    AUDITOR: {"finding": _FINDINGS, "site_look": _LOOKS, "page_reading": _READINGS, "audited_file": _AUDITED},
    READER: {},
}


def grant_rights(engine: Engine) -> tuple[str, ...]:
    """Gives the roles their rights, and no others; makes those that are missing where the login may.

    Returns the roles that are missing still: their logins have to wait. Call it as the tables' owner, once the schema
    is up to date. Raises RepositoryUnavailableError.
    """
    with writing(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        there = [role for role in ROLES if _make_role(connection, role)]
        for role in there:
            _grant(connection, role)
    return tuple(role for role in ROLES if role not in there)


def _make_role(connection: Connection, role: str) -> bool:
    """Whether the role is there, at the latest now."""
    known = text("SELECT count(*) FROM pg_roles WHERE rolname = :role")
    if connection.scalar(known, {"role": role}):
        return True
    try:
        with connection.begin_nested():
            connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            return False
        if not isinstance(error.orig, psycopg.errors.DuplicateObject):  # another repository's `init` was faster
            raise
    return True


def _grant(connection: Connection, role: str) -> None:
    schema, database = connection.execute(
        text("SELECT quote_ident(current_schema()), quote_ident(current_database())")
    ).one()
    statements = [
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        *(f"GRANT {may.rights()} ON {schema}.{table} TO {role}" for table, may in MAY[role].items()),
    ]
    if role == PUBLISHER:
        statements.append(f"GRANT TEMPORARY ON DATABASE {database} TO {role}")  # lodging in bulk
    for statement in statements:
        connection.execute(text(statement))
