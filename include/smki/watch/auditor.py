"""Looks at a site as a Party does and says what is wrong there. Needs no Airflow.

1. Look at the site (`look`), and read the ledger.
2. Compare. What looks wrong and may be on its way is looked at a second time a moment later: between a publisher's
   rename and its record in the ledger a right file looks wrong. So is a site that did not answer to the end: a
   connection is lost now and then.
3. Record: findings open and close once. A look takes minutes, and what opened since it began stays open.

A site that cannot be looked at is a finding, too, and closes none of the others but those that the ledger alone tells:
what is late, at risk or held is told all the same. Of a look whose time is over that is recorded, or what its last
whole session saw. The auditor writes to the ledger only.

One look at a time is at work on a site; another one leaves it alone, and ends at once.
"""

import logging
import platform
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from smki.errors import SiteLoginError, SiteUnavailableError
from smki.gate.ledger import waiting_gate_runs
from smki.kinds.revocation.file import lists_without_obligation
from smki.obligations.catalogue import UserGuide
from smki.publish.ledger import list_ended_since
from smki.publish.site import Site
from smki.publish.unknown_files import load_known
from smki.repository.database import reading
from smki.store.objects import Store
from smki.watch.due_status import DueStatus, list_stands
from smki.watch.facts import load_facts, read_clocks
from smki.watch.findings import OF_THE_LEDGER, Finding, Kind
from smki.watch.findings_ledger import Reconciled, claim_look, list_open_findings, record_look
from smki.watch.forecast import HISTORY, forecasts
from smki.watch.look import LOOK_FOR_S, Look
from smki.watch.repository_findings import (
    find_held,
    find_late_or_at_risk,
    find_lists_without_obligation,
    find_wrong_clocks,
)
from smki.watch.site_findings import Sight, find_wrong, find_wrong_index, index_grace

log = logging.getLogger(__name__)
_AGAIN_AFTER_S = (3.0, 15.0, 45.0)  # what is over within a minute is told to nobody
_MAY_BE_UNDER_WAY = frozenset(
    {
        Kind.TRUNCATED,
        Kind.ALTERED,
        Kind.LEDGER_BEHIND,
        Kind.UNEXPECTED,
        Kind.MISSING,
        Kind.LOST,
        Kind.READ_ERROR,
        Kind.NO_FILE,
        Kind.INDEX,
    }
)


@dataclass(frozen=True, slots=True)
class Audit:
    """What one look at a site gave."""

    site: str
    files: int
    hashed: int  # files that were read back whole
    pages: int  # of other files, that were read back
    findings: tuple[Finding, ...]
    reconciled: Reconciled | None  # none for a dry run
    left_alone: bool = False  # another look was at work on the site; open findings are those of the looks before


def audit_site(  # noqa: PLR0913  # all but the first five are named
    engine: Engine,
    store: Store,
    site: Site,
    guide: UserGuide,
    now: datetime,
    *,
    bytes_a_day: int,
    record: bool = True,
    sites: Collection[str] | None = None,
) -> Audit:
    """Looks at a site at `now` (UTC), as the Party whose login `site` is, and records what is wrong.

    `site.folder` is what the folders of the user guide are below; `bytes_a_day` is how much of files of pages may be
    read back; `sites` are all that files are published to. Raises RepositoryUnavailableError, and ConfigurationError
    for a login that is not complete.
    """
    budget = int(bytes_a_day * (guide.audit_every / timedelta(days=1)))
    look = Look(engine, store, site, guide, now, budget, record=record)
    if not record:
        findings, _ = _audit(engine, guide, site, look)
        return _audited(site, look, findings, None)
    with claim_look(engine, site.name) as is_alone:
        if not is_alone:
            log.info("site left alone site=%s: another look is at work", site.name)
            known = Reconciled((), (), tuple(list_open_findings(engine)))
            return Audit(site.name, 0, 0, 0, (), known, left_alone=True)
        findings, is_whole = _audit(engine, guide, site, look)
        done = record_look(engine, site.name, findings, now, is_whole=is_whole, sites=sites)
        return _audited(site, look, findings, done)


def _audited(site: Site, look: Look, findings: Sequence[Finding], reconciled: Reconciled | None) -> Audit:
    files = () if look.sight is None else look.sight.files
    return Audit(site.name, len(files), look.read.files, look.read.pages, tuple(findings), reconciled)


def _audit(engine: Engine, guide: UserGuide, site: Site, look: Look) -> tuple[list[Finding], bool]:
    """What is wrong by one look, and whether that looked at the whole site."""
    findings, failure = _find_surely(engine, guide, look)
    if look.sight is None:
        unreachable = Finding(Kind.UNREACHABLE, site.name, "site", failure)
        findings = [unreachable, *_find_by_ledger(engine, guide, site.name, look.clock())]
    elif failure:  # looked at once: what was to be looked at a second time waits for the next look
        once = [finding for finding in findings if finding.kind not in _MAY_BE_UNDER_WAY | OF_THE_LEDGER]
        findings = [*once, *_find_by_ledger(engine, guide, site.name, look.clock())]
    for finding in findings:
        log.info("finding kind=%s site=%s item=%s rule=%s", finding.kind, site.name, finding.item, finding.rule)
    return findings, look.sight is not None and not look.sight.unlisted and not failure


def _find_surely(engine: Engine, guide: UserGuide, look: Look) -> tuple[list[Finding], str]:
    """What the sessions of a look found, and why the last one failed; empty where it went through.

    What may be on its way counts where two sessions found it. What the ledger tells is that of the last one: a risk may
    have turned into a miss meanwhile.
    """
    findings, failure = list[Finding](), ""
    waits = deque((0.0, *_AGAIN_AFTER_S))
    while waits and not (look.is_over or look.is_silent):
        if wait := waits.popleft():
            time.sleep(wait)
        before = None if look.sight is None else findings
        try:
            findings = _find_all(engine, guide, look.see(), look)
        except (SiteUnavailableError, SiteLoginError) as error:
            failure = f"{error.item}: {error.rule}"
            log.info("look failed error=%s", failure)
            if look.goes_on_past_a_file():
                waits.appendleft(0.0)
            continue
        failure = ""
        if before is not None:
            keys = {(finding.kind, finding.item) for finding in findings}
            seen_twice = [one for one in before if (one.kind, one.item) in keys and one.kind not in OF_THE_LEDGER]
            return [*seen_twice, *(one for one in findings if one.kind in OF_THE_LEDGER)], ""
        if not any(finding.kind in _MAY_BE_UNDER_WAY for finding in findings):
            return findings, ""
    if look.is_over:
        failure = f"it could not be looked at within {LOOK_FOR_S // 60} minutes. {failure}".rstrip()
    return findings, failure


def _find_all(engine: Engine, guide: UserGuide, sight: Sight, look: Look) -> list[Finding]:
    """All that is wrong by what a session of a look saw and by what the ledger says after it."""
    begun, now, offered = look.now, look.clock(), look.list_offered()
    stands = _list_stands(engine, guide, sight.site, now)
    with reading(engine) as connection:
        ended = list_ended_since(connection, sight.site, begun - index_grace(guide))
    wrong = find_wrong(guide, sight, offered, stands, begun, load_known(engine, sight.site), ended)
    if not any(one.kind is Kind.LEDGER_BEHIND for one in wrong):  # what the index states is in such a ledger no more
        wrong += find_wrong_index(guide, sight, offered, ended, begun)
    return [*_find_in_ledger(engine, guide, now), *wrong]


def _find_by_ledger(engine: Engine, guide: UserGuide, site: str, now: datetime) -> list[Finding]:
    """What is wrong on the site, and on no single one, by the ledger alone."""
    stands = _list_stands(engine, guide, site, now)
    return [*_find_in_ledger(engine, guide, now), *find_late_or_at_risk(site, stands)]


def _list_stands(engine: Engine, guide: UserGuide, site: str, now: datetime) -> list[DueStatus]:
    """How all that has to be on the site stands."""
    facts = load_facts(engine, guide, [site], (now - HISTORY).date())
    ahead = forecasts(guide, facts, now)
    return [one for obligation in guide.all for one in list_stands(obligation, facts, now, ahead)]


def _find_in_ledger(engine: Engine, guide: UserGuide, now: datetime) -> list[Finding]:
    """What is wrong on no single site."""
    return [
        *find_held(guide, waiting_gate_runs(engine, now - HISTORY)),
        *find_wrong_clocks(read_clocks(engine), datetime.now(UTC), platform.node()),
        *find_lists_without_obligation(lists_without_obligation(engine, guide)),
    ]
