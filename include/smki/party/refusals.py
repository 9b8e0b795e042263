"""What a synchronisation refuses, by code. docs/party.md has a section for each, with its way out."""

from enum import Enum

from smki.errors import DataError


class Refusal(Enum):
    """A code, what it means, and the way out."""

    NO_START = (
        "S01",
        "nothing to begin with",
        "see whether SITE names the right folder, and --until no day too early; else ask for a full extract.",
    )
    BEHIND = (
        "S02",
        "the server is behind the copy",
        "see whether SITE names the same operator's server; if the operator says that it was restored, add --anew.",
    )
    HOLE = (
        "S03",
        "a delta is missing",
        "wait: the next run takes the delta if it comes late, or else a later full extract.",
    )
    CHANGED = (
        "S04",
        "a file that was applied has changed",
        "ask the operator why a published file changed; if what stands there now is right, add --anew.",
    )
    DAMAGED = (
        "S05",
        "a file is damaged",
        "try again: it is fetched anew. If it comes back, tell the operator the file's name, size and SHA-256.",
    )
    CONTENT = (
        "S06",
        "a file is not what its name says",
        "tell the operator the file's name and this rule; the next full extract leads on without it.",
    )
    STATE = (
        "S07",
        "the state is not the repository's",
        "add --anew; if it comes back, tell the operator the file's name and both set digests.",
    )
    SIGNATURE = (
        "S08",
        "the index is not signed by whom you pinned",
        "try again, it may be being replaced; else get the signer's certificate by another way, and pin it (--signer).",
    )
    OLD_INDEX = (
        "S09",
        "the index is older than one that the copy has seen",
        "ask the operator whether the server was restored; wait until it has caught up, or add --anew.",
    )
    NO_COPY = (
        "S10",
        "the file is no copy of this program's",
        "name another file; with a copy of a newer program, upgrade this one.",
    )
    COPY_DAMAGED = (
        "S11",
        "the copy is damaged",
        "have the disk looked at, then add --anew: the copy is made again from the newest full extract.",
    )
    INDEX = (
        "S12",
        "the index cannot be read",
        "upgrade this program; if it is the newest, tell the operator the rule.",
    )
    OLD_COPY = (
        "S13",
        "the copy is an earlier program's",
        "`smki sync` with --anew makes it again from the newest full extract.",
    )

    @property
    def code(self) -> str:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]

    @property
    def way_out(self) -> str:
        return self.value[2]


class SyncRefusedError(DataError):
    """A copy is not brought further, for a reason that has a code."""

    CONSEQUENCE = "The copy stays as it was: whoever reads it goes on reading the state that it had."

    def __init__(self, refusal: Refusal, item: str, rule: str, consequence: str = "") -> None:
        super().__init__(f"{refusal.code} {item}", rule, consequence, refusal.way_out)
        self.refusal = refusal
