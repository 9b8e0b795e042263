"""What a finding is: one thing that is wrong, about one item of one site or of none.

| kind | what it means |
|---|---|
| held | the gate holds the file: a person has to decide |
| at risk | the warning time has come, or the forecast ends after publish-by, and the file is not there |
| missing | publish-by has passed and the file was not published |
| lost | it was published, and the server has it no more |
| early | a file for a day whose cut-off has not come |
| truncated | shorter than what was published, and as far as its first bytes tell, ours |
| unreadable | published, and a Party may not read it; or a folder that a Party may not list |
| read error | published, and the server fails when it is to be read; or a folder that it fails to list |
| no file | something else than a file has the name of a published one |
| altered | not the bytes that were published |
| miscopied | ours, and the server did not copy into it what it was told to copy |
| unread | nobody has read pages of it back for a day |
| ledger behind | files there are newer than all that the ledger knows: it was restored from an older backup |
| not adopted | files of days that were taken over stand there, and the ledger does not know them |
| unexpected | nothing of ours: a Party may take it for ours |
| expired | past its days and still there, a day after retention looked |
| chain broken | from the newest full extract a Party cannot get to today |
| next update | a revocation list nears its nextUpdate, or is past it, and none follows |
| list without obligation | lists of this issuer are lodged, and no section of user_guide.toml publishes them |
| index | what a Party finds as the site's signed index is not what the site offers, or not signed |
| anchors unequal | the two regions' files differ elsewhere than in the WAN provider slot |
| clocks | two clocks differ, or events of the future wait: they are in no file until their time comes |
| unreachable | the site cannot be looked at as a Party |

The item of what the gate holds names the gate run: another run over the same name is another finding, that has to be
decided on its own.

It opens once and closes once, however often it is seen. A file that came late is no finding: how late it was stays with
its publication. `site_findings` and `repository_findings` find them.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from smki.obligations.catalogue import Obligation


class Kind(StrEnum):
    """Of a finding; also the name of its section in docs/runbook.md."""

    HELD = "held"
    AT_RISK = "at risk"
    MISSING = "missing"
    LOST = "lost"
    EARLY = "early"
    TRUNCATED = "truncated"
    ALTERED = "altered"
    MISCOPIED = "miscopied"
    UNREAD = "unread"
    UNREADABLE = "unreadable"
    READ_ERROR = "read error"
    NO_FILE = "no file"
    LEDGER_BEHIND = "ledger behind"
    NOT_ADOPTED = "not adopted"
    UNEXPECTED = "unexpected"
    EXPIRED = "expired"
    CHAIN_BROKEN = "chain broken"
    NEXT_UPDATE = "next update"
    LIST_WITHOUT_OBLIGATION = "list without obligation"
    ANCHORS_UNEQUAL = "anchors unequal"
    INDEX = "index"
    CLOCKS = "clocks"
    UNREACHABLE = "unreachable"

    @property
    def section(self) -> str:
        """Where the runbook tells what to do."""
        return f"docs/runbook.md#{self.value.replace(' ', '-')}"


OF_A_DUE_FILE = frozenset({Kind.HELD, Kind.AT_RISK, Kind.MISSING})  # that it is not there yet: its state says so, too
# What the ledger and the repository alone tell, also of a site that cannot be looked at.
OF_THE_LEDGER = OF_A_DUE_FILE | {Kind.CLOCKS, Kind.LIST_WITHOUT_OBLIGATION}
# Of a file that was published: a Party cannot load it from that site.
NOT_USABLE = frozenset(
    {Kind.LOST, Kind.TRUNCATED, Kind.ALTERED, Kind.MISCOPIED, Kind.UNREADABLE, Kind.READ_ERROR, Kind.NO_FILE}
)

_NEXT_STEP = {
    Kind.HELD: "read the report and decide: Airflow, Required Actions, Approve or Reject, with the reason.",
    Kind.AT_RISK: "see the DAG's run of that day: it waits, fails or is slow; there is still time.",
    Kind.MISSING: "see the run of that day; mend what it names, then clear what failed, or backfill the day.",
    Kind.EARLY: "find out who published it: a Party that loads it skips a day.",
    Kind.LOST: "find out who took it away, then have it published again: the same content is put there.",
    Kind.TRUNCATED: "move it away by hand, then have it published again: the same content is put there.",
    Kind.ALTERED: "find out who changed it; move it away by hand and keep it, then have it published again.",
    Kind.MISCOPIED: "clear its task `publish_SITE`: the file is sent as a whole and takes the place of the wrong one.",
    Kind.UNREAD: "see whether the auditor's looks end in time; give it more bytes a day: SMKI_AUDIT_BYTES_A_DAY.",
    Kind.UNREADABLE: "have the server's operator give everybody the right to read it (mode 644), and its folder (755).",
    Kind.READ_ERROR: "have the server's disk and log looked at; once it is mended, have what is lost published again.",
    Kind.NO_FILE: "have it moved away on the server, then have the file published again: its content is the same.",
    Kind.LEDGER_BEHIND: "see `smki adopt --dry-run`, then adopt them; till then nothing with a date is published.",
    Kind.NOT_ADOPTED: "adopt them (`smki adopt`): till then neither retention nor the auditor looks after them.",
    Kind.UNEXPECTED: "find out whose it is, and have its owner move it away.",
    Kind.EXPIRED: "see the DAG smki_retention; `smki retention plan` says why it stays.",
    Kind.CHAIN_BROKEN: "backfill the days that are named, or publish a full extract of a later day.",
    Kind.NEXT_UPDATE: "have its issuer issue the next list and lodge it; it is published at once.",
    Kind.LIST_WITHOUT_OBLIGATION: 'give its issuer a section in user_guide.toml, with issuer = "CN=…".',
    Kind.ANCHORS_UNEQUAL: "trigger the DAG smki_anchor_slots; `smki anchors state` shows which file is not of the set.",
    Kind.INDEX: "publish it: `smki index publish`; see why the task `publish_index_SITE` did not.",
    Kind.CLOCKS: "have the clocks set; what was recorded ahead of time goes into the delta of that day.",
    Kind.UNREACHABLE: "try the login by hand; see whether server, network and the Party's key are as they were.",
}


_HELD_BY = re.compile(r".* \(gate run (\d+)\)")


def held_item(name: str, gate_run: int) -> str:
    """The item of a file that a gate run holds."""
    return f"{name} (gate run {gate_run})"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    site: str  # empty: it is not of one site
    item: str  # the file's name, or what else it is about
    rule: str  # what is wrong, with figures
    obligation: str | None = None  # its name
    business_date: date | None = None  # of what is replaced in place only where one day's is not there
    subject: str = ""  # whom the file is for; empty: all Parties

    def is_of(self, obligation: Obligation) -> bool:
        """Whether it is about a file of this obligation."""
        return (self.obligation, self.subject) == obligation.key

    @property
    def gate_run(self) -> int | None:
        """Number of the gate run that holds it; none where none does, or the ledger had it before runs were named."""
        match = _HELD_BY.fullmatch(self.item) if self.kind is Kind.HELD else None
        return int(match[1]) if match else None

    @property
    def next_step(self) -> str:
        """What to do, in one sentence; the runbook has the rest."""
        return f"{_NEXT_STEP[self.kind]} ({self.kind.section})"
