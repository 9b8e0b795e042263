"""Due files, facts and sights as small values: no server, no database."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from builders import made_artefact
from smki.gate.model import Verdict
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Publication
from smki.retention.rules import SeenFile
from smki.watch.due import Due
from smki.watch.facts import Facts, GateVerdict, Key, Offered, full_days
from smki.watch.site_findings import Sight

SUNDAY = date(2026, 3, 1)
MONDAY = SUNDAY + timedelta(days=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Ledger:
    """What a ledger says, for `Facts`."""

    guide: UserGuide
    sites: tuple[str, ...] = ("primary",)
    first_day: date | None = SUNDAY - timedelta(days=100)
    offered: dict[Key, list[Offered]] = field(default_factory=dict)
    judged: dict[Key, list[GateVerdict]] = field(default_factory=dict)
    begins: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def due(self, obligation: str, day: date = MONDAY) -> Due:
        return Due(self.guide.obligation(obligation), day)

    def publish(
        self,
        due: Due,
        at: datetime,
        site: str = "primary",
        sha256: str = "aa",
        ended_at: datetime | None = None,
        *,
        content: str = "",
    ) -> None:
        """`content` says where other bytes have the same content as others."""
        one = Offered(site, due.name, 100, 1, sha256, content or sha256, "dag/run", at, ended_at)
        self.offered.setdefault(("", due.name), []).append(one)

    def judge(
        self,
        due: Due,
        at: datetime,
        verdict: Verdict = Verdict.PASS,
        sha256: str = "aa",
        *,
        released: bool | None = None,
        decided_at: datetime | None = None,
        content: str = "",
        held_with: GateVerdict | None = None,
    ) -> None:
        runs = self.judged.setdefault(("", due.name), [])
        digest = content or sha256
        number = len(runs) + 1
        one = GateVerdict(number, due.name, sha256, digest, verdict, at, released, None, None, decided_at, held_with)
        runs.append(one)
        self.begins.setdefault(due.obligation.key, at - 30 * DAY)

    def facts(self) -> Facts:
        fulls = full_days(self.guide.full, self.sites, self.offered)
        return Facts(self.sites, self.first_day, self.begins, self.offered, self.judged, fulls)


@pytest.fixture
def ledger(user_guide: UserGuide) -> Ledger:
    return Ledger(user_guide)


def published(due: Due, at: datetime | None = None, size: int = 100, sha256: str = "aa") -> Publication:
    """A publication, as the ledger lists it."""
    artefact = made_artefact(due.obligation.name, due.name, due.business_date, sha256, bytes=size, run="dag/run")
    return Publication("primary", artefact, f"/published/{due.name}", "dag/run", at or due.cut_off + HOUR)


def seen(*files: tuple[str, int, str], **more: object) -> Sight:
    """A sight of files: name, size, hash."""
    listed = tuple(SeenFile(f"/party/{name}", size, datetime(2026, 3, 1, tzinfo=UTC)) for name, size, _ in files)
    hashes = {f"/party/{name}": sha256 for name, _, sha256 in files}
    return Sight("primary", listed, hashes, **{"next_updates": {}, **more})  # type: ignore[arg-type]
