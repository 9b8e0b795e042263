"""What can go wrong, in three kinds that decide what happens next.

* `DataError`: the input or the state is wrong. Trying again gives the same answer, so nothing retries it.
* `TransportError`: a disk, a network or a server is. The same call succeeds once the cause is gone.
* `ConfigurationError`: the operator has to change a setting first.

A message names the item, the rule that it breaks, the consequence and the next step, in that order. Consequence and
next step belong to the error's class; a place that knows better gives its own. They are written for whoever made the
call, on a command line or in a program: Airflow's side adds what to do there.
"""

from typing import ClassVar


class SmkiError(Exception):
    """Base of all errors that the publisher raises on purpose."""

    CONSEQUENCE: ClassVar[str] = "Nothing was done."
    NEXT_STEP: ClassVar[str] = "put right what is named, then try again."

    def __init__(self, item: str, rule: str, consequence: str = "", next_step: str = "") -> None:
        self.item = item
        self.rule = rule
        self.consequence = consequence or self.CONSEQUENCE
        self.next_step = next_step or self.NEXT_STEP
        super().__init__(item, rule, self.consequence, self.next_step)

    def __str__(self) -> str:
        return f"{self.item}: {self.rule} {self.consequence} Next: {self.next_step}"


class DataError(SmkiError):
    """The data break a rule."""


class TransportError(SmkiError):
    """Something between us and the data failed; a retry may succeed."""

    NEXT_STEP = "try again; if it comes back, have the server or disk looked at."


class ConfigurationError(SmkiError):
    """A setting is missing or contradicts another."""

    NEXT_STEP = "correct the setting."


class CertificateRefusedError(DataError):
    """Bytes that cannot be lodged as a certificate."""

    CONSEQUENCE = "It is not lodged; its bytes and this reason are kept."
    NEXT_STEP = "ask its issuer for a whole one that keeps the rule, and lodge that."


class UnknownIssuerError(CertificateRefusedError):
    """A certificate whose issuer is not known; one that is offered later may make it known."""

    NEXT_STEP = "lodge its issuer and what is above it, or state that it cannot be had: `smki authority unchecked`."


class StatementRefusedError(DataError):
    """A root or an issuer is stated with another class than the one by which certificates are lodged."""

    CONSEQUENCE = "Nothing was stated."
    NEXT_STEP = "see `smki authority list`; where the lodged certificates are wrong, begin with a new repository."


class PrivateKeyRefusedError(CertificateRefusedError):
    """A private key was offered; its bytes are never kept."""

    CONSEQUENCE = "Nothing of it is stored."
    NEXT_STEP = "treat the key as disclosed if it was sent to you, and lodge the certificate instead."


class DocumentRefusedError(DataError):
    """An input file is not a document that can be read safely (DTD, entities, gzip bomb, damage)."""

    CONSEQUENCE = "It is not read any further."
    NEXT_STEP = "get the file again from whoever made it."


class RevocationListRefusedError(DataError):
    """A revocation list that cannot be lodged."""

    CONSEQUENCE = "It is not lodged and not published; its bytes and this reason are kept."
    NEXT_STEP = "ask its issuer for a whole one that keeps the rule, and lodge that."


class TransitionRefusedError(DataError):
    """A status change that the rules do not allow."""

    CONSEQUENCE = "No status was changed."
    NEXT_STEP = "check the serial number."


class UnknownCertificateError(DataError):
    """No certificate, or more than one, answers to the reference."""

    CONSEQUENCE = "No status was changed."
    NEXT_STEP = "check the serial number, or name the issuer too."


class WindowError(DataError):
    """A delta window cannot be closed or used as asked."""

    CONSEQUENCE = "No window was closed and nothing was produced."
    NEXT_STEP = "see `smki windows list`."


class NotOwedError(WindowError):
    """A day before the repository's first window: nothing had been lodged, so nobody is owed its files."""

    NEXT_STEP = "take the first window's day or a later one."


class EarlyWindowError(WindowError):
    """A cut-off comes within minutes by the database's clock: the same call succeeds then."""

    NEXT_STEP = "try again in some minutes; if it comes back each day, have the clocks of both machines set."


class TakeOverError(DataError):
    """Files that cannot be taken over as they are."""

    CONSEQUENCE = "Its window is not closed; what was taken over before it stays."
    NEXT_STEP = "put right what is named, then take over again: what is there is not read twice."


class ObligationError(ConfigurationError):
    """user_guide.toml contradicts itself."""

    CONSEQUENCE = "No DAG can be scheduled by it."
    NEXT_STEP = "correct user_guide.toml (SMKI_CONFIG names its folder)."


class PlanError(DataError):
    """An extract cannot be planned, or its parts do not fit its plan."""

    CONSEQUENCE = "Nothing was produced."
    NEXT_STEP = "produce it again from the beginning."


class VerificationError(DataError):
    """A produced or received file is not what it should be."""

    CONSEQUENCE = "The file is not published."
    NEXT_STEP = "find out how it came to be; `smki verify FILE` repeats this check."


class GateRefusedError(DataError):
    """The gate found an artefact to be wrong; nobody may release it."""

    CONSEQUENCE = "Nothing on the server changed."
    NEXT_STEP = "read the report, put right what it names, and produce the file again."


class GateRejectedError(DataError):
    """A person rejected an artefact that the gate held."""

    CONSEQUENCE = "It is not published; nothing on the server changed."
    NEXT_STEP = "put right what is behind it, then have the file judged again."


class UnknownGateRunError(DataError):
    """The ledger has no such gate run, or there is nothing to decide about it."""

    CONSEQUENCE = "No decision was recorded."
    NEXT_STEP = "see `smki gate history`."


class QualityError(ConfigurationError):
    """quality.toml contradicts itself."""

    CONSEQUENCE = "Nothing can be judged, so nothing is published."
    NEXT_STEP = "correct quality.toml (SMKI_CONFIG names its folder)."


class PublicationRefusedError(DataError):
    """The site holds, or once held, other content under this name; or the gate did not clear it."""

    CONSEQUENCE = "Nothing on the server changed."
    NEXT_STEP = "find out why the content differs; never delete a published file by hand."


class LedgerBehindError(DataError):
    """A site has files that are newer than all that the ledger knows: it was restored from an older backup."""

    CONSEQUENCE = "Nothing with a date, and no index, is published there until somebody has seen them."
    NEXT_STEP = (
        "see `smki adopt --dry-run`: it takes them over, or they are moved away (docs/runbook.md#ledger-behind)."
    )


class AdoptionError(DataError):
    """A file that the ledger does not know is not what the repository says of its day."""

    CONSEQUENCE = "It stays on the server, unknown to the ledger; nothing with a date is published there."
    NEXT_STEP = "have it moved away and kept, then backfill its day; Parties who have it load the next full extract."


class RemovalRefusedError(DataError):
    """What stands on the site is not what the ledger published; it is not removed."""

    CONSEQUENCE = "It stays on the server, and in the ledger."
    NEXT_STEP = (
        "find out who changed it; once it is moved away by hand, the next look of retention records that it is gone."
    )


class PoolerRefusedError(ConfigurationError):
    """A connection pooler stands before PostgreSQL; locks and settings of a session would leak to others."""

    NEXT_STEP = "name PostgreSQL's own host and port; other databases may stay behind the pooler."


class RightsError(ConfigurationError):
    """The login's role may not do that in the repository."""

    CONSEQUENCE = "What was not committed is as if it had not begun."
    NEXT_STEP = "log in as one whose role may: docs/deployment.md, Rights, has them."


class SchemaError(ConfigurationError):
    """The repository's schema is older or newer than this program's, or there is none."""

    CONSEQUENCE = "Nothing was read or written."
    NEXT_STEP = "back the repository up, stop what still works on it, and run `smki init`."


class AnchorSlotError(DataError):
    """The repository's certificates do not fit the anchor slots that they are configured for."""

    CONSEQUENCE = "No anchor-slot file or document was produced; what is published stays."
    NEXT_STEP = "mend what is listed; `smki anchors check` shows every slot."


class AnchorConfigurationError(ConfigurationError):
    """anchor_slots.toml contradicts itself or the obligation."""

    CONSEQUENCE = "No anchor-slot file or document was produced; what is published stays."
    NEXT_STEP = "correct the file; SMKI_ANCHOR_SLOTS names it."


class AnchorSlotsUnsetError(AnchorConfigurationError):
    """There is no anchor_slots.toml yet, or only the placeholder that is shipped."""

    CONSEQUENCE = "No anchor-slot file or document is produced or published."
    NEXT_STEP = "state the base set there, or name another file in SMKI_ANCHOR_SLOTS."


class MigrationRefusedError(DataError):
    """What the repository holds cannot be brought to the newer schema."""

    CONSEQUENCE = "The schema stays as it was; nothing was changed."
    NEXT_STEP = "put right what is named with the tree that made it, then migrate again."


class RepositoryUnavailableError(TransportError):
    """PostgreSQL does not answer or went away."""

    CONSEQUENCE = "What was not committed is as if it had not begun."
    NEXT_STEP = "check that the server runs and that SMKI_DATABASE_URL names it, then try again."


class RepositoryBusyError(RepositoryUnavailableError):
    """Another process holds a lock for longer than anything waits."""

    NEXT_STEP = "see what holds it (pg_stat_activity, pg_locks), end that if it hangs, then try again."


class StoreError(TransportError):
    """The store or a disk cannot be written or read, or gives back other bytes than were written."""

    CONSEQUENCE = "Nothing was published."
    NEXT_STEP = "make room or mend the storage (SMKI_STORE), then try again."


class MissingObjectError(DataError):
    """The store has no such object (garbage, another store), or what verification kept there is damaged."""

    CONSEQUENCE = "Nothing was published."
    NEXT_STEP = "see whether SMKI_STORE names the right store; if it does, produce the file again from the beginning."


class JudgingEndedError(TransportError):
    """The process that was to judge a file is gone."""

    CONSEQUENCE = "There is no verdict; nothing on the server changed."
    NEXT_STEP = "look whether memory ran out, then have the file judged again."


class SiteUnavailableError(TransportError):
    """The SFTP server does not answer, or went away."""

    CONSEQUENCE = "What has its final name stays as it was."
    NEXT_STEP = "try again; see whether the server runs and is reachable."


class SiteFullError(TransportError):
    """The SFTP server has no room for the file."""

    CONSEQUENCE = "Nothing was published."
    NEXT_STEP = "have room made on the server, then try again."


class UploadDamagedError(TransportError):
    """What the server gives back is not what was sent."""

    CONSEQUENCE = "Nothing was published."
    NEXT_STEP = "try again; if it comes back, have the server's disk and the account's quota looked at."


class OutputError(TransportError):
    """What a command says cannot be written."""

    CONSEQUENCE = "What the command did stays done; what it says is lost."
    NEXT_STEP = "make room where its output goes, then run it again."


class NotificationError(TransportError):
    """A mail server or a webhook did not take a message."""

    CONSEQUENCE = "The finding is in the ledger; nobody was told."
    NEXT_STEP = "see whether the server runs; the next look tries again."


class SiteLoginError(ConfigurationError):
    """The SFTP server refuses the publisher's key, or is not the pinned server."""

    CONSEQUENCE = "Nothing was sent to it."
    NEXT_STEP = "ask the server's operator; only if the key was really changed, pin the new one."
