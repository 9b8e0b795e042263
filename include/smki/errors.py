"""What can go wrong, in three kinds that decide what happens next.

* `DataError`: the input or the state is wrong. Trying again gives the same answer, so nothing retries it.
* `TransportError`: a disk, a network or a server is. The same call succeeds once the cause is gone.
* `ConfigurationError`: the operator has to change a setting first.

A message names the item, the rule that it breaks, the consequence and the next step, in that order.
"""


class SmkiError(Exception):
    """Base of all errors that the publisher raises on purpose."""

    def __init__(self, item: str, rule: str, consequence: str, next_step: str) -> None:
        super().__init__(item, rule, consequence, next_step)
        self.item = item
        self.rule = rule
        self.consequence = consequence
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.item}: {self.rule} {self.consequence} Next: {self.next_step}"


class DataError(SmkiError):
    """The data break a rule."""


class TransportError(SmkiError):
    """Something between us and the data failed; a retry may succeed."""


class ConfigurationError(SmkiError):
    """A setting is missing or contradicts another."""


class CertificateRefusedError(DataError):
    """Bytes that cannot be lodged as a certificate."""


class PrivateKeyRefusedError(CertificateRefusedError):
    """A private key was offered; its bytes are never kept."""


class DocumentRefusedError(DataError):
    """An input file is not a document that can be read safely (DTD, entities, gzip bomb, damage)."""


class RevocationListRefusedError(DataError):
    """A revocation list that cannot be lodged."""


class TransitionRefusedError(DataError):
    """A status change that the rules do not allow."""


class UnknownCertificateError(DataError):
    """No certificate, or more than one, answers to the reference."""


class WindowError(DataError):
    """A delta window cannot be closed or used as asked."""


class ObligationError(ConfigurationError):
    """user_guide.toml contradicts itself."""


class PlanError(DataError):
    """An extract cannot be planned, or its parts do not fit its plan."""


class VerificationError(DataError):
    """A produced or received file is not what it should be."""


class GateRefusedError(DataError):
    """The gate found an artefact to be wrong; nobody may release it."""


class GateRejectedError(DataError):
    """A person rejected an artefact that the gate held."""


class UnknownGateRunError(DataError):
    """The ledger has no such gate run, or there is nothing to decide about it."""


class QualityError(ConfigurationError):
    """quality.toml contradicts itself."""


class PublicationRefusedError(DataError):
    """The site holds, or once held, other content under this name; or the gate did not clear it."""


class RemovalRefusedError(DataError):
    """What stands on the site is not what the ledger published; it is not removed."""


class AnchorSlotError(DataError):
    """The repository's certificates do not fit the anchor slots that they are configured for."""


class AnchorConfigurationError(ConfigurationError):
    """anchor_slots.toml contradicts itself or the obligation."""


class AnchorSlotsUnsetError(AnchorConfigurationError):
    """There is no anchor_slots.toml yet, or only the placeholder that is shipped."""


class RepositoryUnavailableError(TransportError):
    """PostgreSQL does not answer or went away."""


class StagingError(TransportError):
    """The staging area cannot be written or read."""


class SiteUnavailableError(TransportError):
    """The SFTP server does not answer, or went away."""


class SiteFullError(TransportError):
    """The SFTP server has no room for the file."""


class UploadDamagedError(TransportError):
    """What the server gives back is not what was sent."""


class NotificationError(TransportError):
    """A mail server or a webhook did not take a message."""


class SiteLoginError(ConfigurationError):
    """The SFTP server refuses the publisher's key, or is not the pinned server."""
