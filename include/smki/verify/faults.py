"""What can be wrong with a file's own bytes; the gate has a check for each kind."""

from enum import StrEnum

from smki.errors import VerificationError


class Fault(StrEnum):
    """The rule that a file, or a segment of it, breaks."""

    NAME = "name"  # FNAME is not the file's name without .gz
    GZIP = "gzip"  # not one intact gzip member with nothing after it
    CONTENT = "content"  # not the bytes, or the records, that were produced
    XML = "xml"  # not well formed, not valid by the schema, or something hidden from those who read it
    BODY = "body"  # a body is no certificate
    PRIVATE_KEY = "private key"  # private key material
    FIELDS = "fields"  # what stands beside a body is not what its certificate says
    DUPLICATE = "duplicate"  # a certificate stands in it twice
    SIGNATURE = "signature"  # of a revocation list: it does not verify, or the list is none of that kind
    FRESHNESS = "freshness"  # of a revocation list: it is not valid at this time


class FaultError(VerificationError):
    """A file that is not what it should be, with the kind of its fault."""

    def __init__(self, fault: Fault, item: str, rule: str, consequence: str = "", next_step: str = "") -> None:
        super().__init__(item, rule, consequence, next_step)
        self.fault = fault

    @property
    def text(self) -> str:
        """The item and the rule that it breaks, for reports."""
        return f"{self.item}: {self.rule}"
