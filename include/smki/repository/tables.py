"""The tables of the repository and of the ledger, for SQLAlchemy Core.

The migrations create them; a test says that both agree. A status or class is text of one constrained set, a digest is
the text of `SetDigest`, a time is a timestamptz in UTC.

certificate and status_event have no foreign keys: each is written by one module, in one statement with the row that it
points to, nothing is ever deleted, and checks a row took a third of the time of lodging.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

NEVER_EXPIRES = "'9999-12-31 00:00:00+00'"  # notAfter from then on: 99991231235959Z says never (RFC 5280, 4.1.2.5)
STATUSES = "'P', 'I', 'N', 'E', 'R'"
_NOW = text("clock_timestamp()")


def _when(name: str, **options: object) -> Column[object]:
    return Column(name, DateTime(timezone=True), **options)  # type: ignore[arg-type]


def _subject() -> Column[str]:
    return Column("subject", Text, nullable=False, server_default="", comment="whom the file is for; empty: all")


issuer = Table(
    "issuer",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", LargeBinary, nullable=False, comment="the issuer's Name, DER, as it was spelled first"),
    Column("comparable", LargeBinary, nullable=False, unique=True, comment="equal for all spellings of the Name"),
    Column("display", Text, nullable=False),
)

certificate = Table(
    "certificate",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="lodging order"),
    Column(
        "class", Text, CheckConstraint("class IN ('OCA', 'DCA', 'ORGANISATION', 'DEVICE')", "class"), nullable=False
    ),
    Column("issuer_id", Integer, nullable=False),
    Column("serial_number", LargeBinary, nullable=False, comment="big-endian magnitude"),
    Column("eui64", LargeBinary, CheckConstraint("octet_length(eui64) = 8", "eui64")),
    Column("common_name", Text),
    Column("role", SmallInteger),
    Column("usage", Text, CheckConstraint("usage IN ('DS', 'KA')", "usage")),
    Column("manufacturing", Boolean, nullable=False, server_default=text("false")),
    _when("not_after", nullable=False),
    Column("body", LargeBinary, nullable=False, comment="DER, exactly as lodged"),
    Column("status", Text, CheckConstraint(f"status IN ({STATUSES})", "status"), nullable=False, comment="latest"),
    Column("note", Text, comment="why a strict parser refuses the body"),
    _when("lodged_at", nullable=False, server_default=_NOW),
    UniqueConstraint("serial_number", "issuer_id"),  # in this order it finds a serial number alone, too
    Index("certificate_expiring_idx", "not_after", postgresql_where=text(f"not_after < {NEVER_EXPIRES}")),
    Index("certificate_authority_idx", "class", postgresql_where=text("class IN ('OCA', 'DCA')")),
    # None names the status, so that a change of it need not touch any.
    Index("certificate_revocable_idx", "issuer_id", postgresql_where=text("class <> 'DEVICE'")),
    Index("certificate_manufacturing_idx", "id", postgresql_where=text("manufacturing")),
)

# A trigger on certificate fills it. It has a tenth of the pages, and no change of status rewrites it.
body_hash = Table(
    "body_hash",
    metadata,
    Column("certificate_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", LargeBinary, nullable=False, comment="of the body, as lodged"),
)

status_event = Table(
    "status_event",
    metadata,
    Column("certificate_id", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="order in which changes took effect"),
    Column("status", Text, CheckConstraint(f"status IN ({STATUSES})", "status"), nullable=False),
    Column("reason", Text, nullable=False),
    _when("recorded_at", nullable=False, server_default=_NOW),
    Column("window_seq", Integer, comment="null until a window claims the event"),
    Index(None, "window_seq", "certificate_id", postgresql_where=text("window_seq IS NOT NULL")),
    Index("status_event_final_idx", "certificate_id", "id", postgresql_where=text("status IN ('E', 'R')")),
    Index("status_event_unclaimed_idx", "certificate_id", postgresql_where=text("window_seq IS NULL")),
)

_AUTHORITY_CLASS = "class IN ('OCA', 'DCA')"

trusted_root = Table(
    "trusted_root",
    metadata,
    Column("sha256", LargeBinary, primary_key=True, comment="of the CA certificate's DER"),
    Column("class", Text, CheckConstraint(_AUTHORITY_CLASS, "class"), nullable=False),
    _when("stated_at", nullable=False, server_default=_NOW),
)

unchecked_issuer = Table(
    "unchecked_issuer",
    metadata,
    Column("comparable", LargeBinary, primary_key=True, comment="equal for equal Names (RFC 5280, 7.1)"),
    Column("name", LargeBinary, nullable=False, comment="the issuer's Name, DER"),
    Column("class", Text, CheckConstraint(_AUTHORITY_CLASS, "class"), nullable=False),
    Column("reason", Text, nullable=False, comment="why its certificate cannot be had"),
    _when("stated_at", nullable=False, server_default=_NOW),
)

delta_window = Table(
    "delta_window",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False, comment="1, 2, 3 … without holes; 0: a baseline"),
    Column("business_date", Date, nullable=False, unique=True),
    _when("cutoff", nullable=False),
    _when("closed_at", nullable=False, server_default=_NOW),
    Column("events", Integer, nullable=False),
    Column("changed", Text, nullable=False, comment="set digest of the certificates that the delta holds"),
    Column("entered", Text, nullable=False, comment="set digest of what came into status I"),
    Column("departed", Text, nullable=False, comment="set digest of what left status I"),
    Column(
        "taken_over", Boolean, nullable=False, server_default=text("false"), comment="its file was published before"
    ),
)

rejected_lodgement = Table(
    "rejected_lodgement",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "sha256",
        LargeBinary,
        nullable=False,
        comment="of the body, or of the origin where there is none; a second offer of the same counts up",
    ),
    Column("body", LargeBinary, nullable=False),
    Column("origin", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("offers", Integer, nullable=False, server_default=text("1")),
    _when("first_offered_at", nullable=False, server_default=_NOW),
    _when("last_offered_at", nullable=False, server_default=_NOW),
    UniqueConstraint("sha256"),
)

artefact = Table(
    "artefact",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("obligation", Text, nullable=False),
    _subject(),
    Column("name", Text, nullable=False),
    Column("business_date", Date, nullable=False),
    Column("window_seq", ForeignKey("delta_window.seq")),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False, comment="of the file, hex"),
    Column("content_digest", Text, nullable=False, comment="of the XML, hex; equal for equal content"),
    Column("xml_bytes", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("set_digest", Text, nullable=False),
    Column("version", BigInteger, comment="of a file that is replaced in place: rises with its content; else null"),
    Column(
        "manifest",
        Text,
        nullable=False,
        server_default="",
        comment="SHA-256 of its manifest, hex; empty: the file is one object",
    ),
    Column("run", Text, nullable=False, comment="who produced it: an Airflow run or a command line"),
    _when("verified_at", nullable=False, server_default=_NOW),
    UniqueConstraint("name", "sha256"),
)

publication = Table(
    "publication",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("site", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("artefact_id", ForeignKey("artefact.id"), nullable=False),
    Column("path", Text, nullable=False, comment="on the server"),
    Column(
        "copied_bytes",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="that the server copied from another file; the rest was sent",
    ),
    Column("run", Text, nullable=False),
    _when("first_published_at", nullable=False, server_default=_NOW, comment="lateness is judged by it"),
    _when("published_at", nullable=False, server_default=_NOW, comment="also when a lost file was put there again"),
    _when("ended_at", comment="when its file was replaced or removed; null while it is offered"),
    Column("ended_by", Text, comment="who did it: an Airflow run or a command line"),
    Column("end_reason", Text, comment="replaced, or the retention rule"),
    Index("publication_offered_key", "site", "name", unique=True, postgresql_where=text("ended_at IS NULL")),
)

index_signer = Table(
    "index_signer",
    metadata,
    Column("site", Text, primary_key=True),
    Column("certificate", LargeBinary, nullable=False, comment="DER"),
    _when("stated_at", nullable=False, server_default=_NOW),
)

page_reading = Table(
    "page_reading",
    metadata,
    Column("publication_id", ForeignKey("publication.id"), primary_key=True, autoincrement=False),
    Column("bytes", BigInteger, nullable=False),
    _when(
        "modified_at",
        nullable=False,
        comment="as the server states it; with other bytes or another time nothing here holds",
    ),
    Column("as_published", Boolean, nullable=False, comment="bytes and time are those that publishing left"),
    _when("since", nullable=False, comment="when it was published, or seen to have changed"),
    Column("unread", LargeBinary, nullable=False, comment="pages that nobody has read since: a bit each"),
    Column("wrong", ARRAY(Integer), nullable=False, comment="places of what was read and is wrong"),
    Column("again", Integer, nullable=False, comment="page that is read next, where none is unread"),
    _when("read_at", nullable=False, comment="when pages were read last"),
)

gate_run = Table(
    "gate_run",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("obligation", Text, nullable=False),
    _subject(),
    Column("name", Text, nullable=False, comment="of the judged file"),
    Column("sha256", Text, nullable=False, comment="of the judged file, hex"),
    Column(
        "manifest",
        Text,
        nullable=False,
        server_default="",
        comment="SHA-256 of the judged file's manifest, hex; empty: the file is one object",
    ),
    Column("business_date", Date, nullable=False),
    Column("verdict", Text, CheckConstraint("verdict IN ('PASS', 'HOLD', 'FAIL')", "verdict"), nullable=False),
    Column("suite_version", Text, nullable=False),
    Column("run", Text, nullable=False, comment="who judged: an Airflow run or a command line"),
    _when("judged_at", nullable=False),
    Column("judgement", JSONB, nullable=False, comment="every result and figure; the report is made of it"),
    Index(None, "name", "sha256"),
    Index(None, "obligation", "business_date"),
)

gate_decision = Table(
    "gate_decision",
    metadata,
    Column("gate_run_id", ForeignKey("gate_run.id"), primary_key=True, autoincrement=False),
    Column("released", Boolean, nullable=False, comment="false: rejected"),
    Column("reason", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    _when("decided_at", nullable=False),
)

finding = Table(
    "finding",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("site", Text, nullable=False, comment="empty: it is not of one site"),
    Column("item", Text, nullable=False, comment="the file, or what else it is about"),
    Column("obligation", Text),
    _subject(),
    Column("business_date", Date),
    Column("rule", Text, nullable=False, comment="what is wrong, as seen last"),
    Column("next_step", Text, nullable=False),
    _when("first_seen", nullable=False),
    _when("last_seen", nullable=False),
    _when("closed_at", comment="null while it is open"),
    _when("opening_told_at", comment="when people were told of it; null: they are to be"),
    _when("closing_told_at"),
    Index("finding_open_key", "kind", "site", "item", unique=True, postgresql_where=text("closed_at IS NULL")),
    Index(None, "closed_at"),
)

site_look = Table(
    "site_look",
    metadata,
    Column("site", Text, primary_key=True),
    _when("looked_at", nullable=False, comment="when the last recorded look at it began"),
)

audited_file = Table(
    "audited_file",
    metadata,
    Column("site", Text, primary_key=True),
    Column("path", Text, primary_key=True, comment="on the server"),
    Column("bytes", BigInteger, nullable=False),
    _when("modified_at", nullable=False, comment="as the server states it"),
    Column("sha256", Text, nullable=False, comment="read back whole, hex"),
    _when("hashed_at", nullable=False),
)

task_failure = Table(
    "task_failure",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("dag", Text, nullable=False),
    Column("run", Text, nullable=False, comment="the run's label: DAG/RUN"),
    Column("task", Text, nullable=False),
    Column("business_date", Date, comment="null where an event began the run"),
    Column("error", Text, nullable=False),
    _when("failed_at", nullable=False),
    Index(None, "dag", "failed_at"),
)

revocation_list = Table(
    "revocation_list",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="lodging order"),
    Column("kind", Text, CheckConstraint("kind IN ('ARL', 'CRL')", "kind"), nullable=False),
    Column("issuer_id", Integer, nullable=False),
    Column("number", Numeric(60, 0), nullable=False, comment="CRL number (RFC 5280, 5.2.3)"),
    _when("this_update", nullable=False),
    _when("next_update", nullable=False),
    Column("entries", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="DER, exactly as lodged"),
    _when("lodged_at", nullable=False, server_default=_NOW),
    # Not unique: an issuer that was restored from a backup gives a number twice.
    Index("revocation_list_number_idx", "issuer_id", "number"),
)

# The entries of all lists that were lodged, so that what is lodged after a list gets status R, too.
listed_certificate = Table(
    "listed_certificate",
    metadata,
    Column("issuer_id", Integer, primary_key=True, autoincrement=False),
    Column("serial_number", LargeBinary, primary_key=True, comment="big-endian magnitude"),
    Column(
        "reason",
        Text,
        nullable=False,
        comment="the first list that had it, and its reason, as the status event has them",
    ),
    _when("revoked_at", nullable=False),
)
