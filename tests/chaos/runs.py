"""The runs that faults are tried on: what each begins with, the steps it has, and what holds once it has ended.

| run | begins with | holds afterwards |
|---|---|---|
| delta | a day's certificates and statuses | the delta has what its window changed |
| full | the same, and a week later | the full extract has what is in use |
| lists | the next ARL and CRL of their issuers | each list is served, byte for byte |
| anchors | another revision of anchor_slots.toml | all four files have the newest version |
| retention | a third full extract, published without a fault | the oldest is gone, the two newest are as they were |

After each, on each site: the ledger says once what is offered, and with the SHA-256 that the file has; nothing half
sent is left; and a Party that follows the signed index reaches the repository's state.
"""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from builders import (
    ANCHOR_SLOTS,
    DAILY_DELTA,
    FULL_EXTRACT,
    REVOCATION_LISTS,
    change,
    contents_of,
    in_use,
    lodge_bodies,
    look_alikes,
    state_as_of,
)
from chaos.rehearsal import DATABASE, DAY, DR, PRIMARY, SITES, STORE, Begun, Rehearsal, sha256_of
from smki.certificates.model import Status
from smki.kinds.anchors.set_ledger import set_state
from smki.kinds.revocation.file import newest_list
from smki.obligations.catalogue import Obligation
from smki.party.copy import LocalCopy
from smki.party.signed_index import load_signers
from smki.party.synchronising import Wish, synchronise
from smki.publish.ledger import publication_history
from smki.repository.windows import find_window, in_use_digest
from smki_airflow.names import RETENTION
from smki_demo.generator.anchor_slots import write_anchor_slots
from smki_demo.generator.revocation import issue_lists

_BODIES_A_DAY = 24


@dataclass(frozen=True, slots=True)
class RunKind:
    """A run whose steps are tried."""

    steps: Mapping[str, tuple[str, ...]]  # task → partners that it needs
    begin: Callable[[Rehearsal], Begun]
    wrong: Callable[[Rehearsal], Iterator[str]]  # what does not hold though a run has ended well
    days: int  # by which a run moves the rehearsal on


def all_days(kinds: Iterable[str]) -> int:
    """By how many days one run of each of these kinds moves the rehearsal on."""
    return sum(KINDS[kind].days for kind in kinds)


def begin_delta(rehearsal: Rehearsal) -> Begun:
    """The next day's changes, and a run that publishes its delta."""
    _change_some(rehearsal, rehearsal.day + DAY)
    return rehearsal.trigger(DAILY_DELTA, rehearsal.guide.delta.cut_off.at(rehearsal.day))


def begin_full(rehearsal: Rehearsal) -> Begun:
    """The next week's changes, and a run that publishes its full extract."""
    day = rehearsal.day + DAY
    while not rehearsal.guide.full.cut_off.falls_on(day):
        day += DAY
    _change_some(rehearsal, day)
    return rehearsal.trigger(FULL_EXTRACT, rehearsal.guide.full.cut_off.at(day))


def wrong_delta(rehearsal: Rehearsal, day: date | None = None) -> Iterator[str]:
    """What does not hold though that day's delta, or the newest day's, is published."""
    terms, of_day = rehearsal.guide.delta, day or rehearsal.day
    yield from _wrong_extract(rehearsal, terms, of_day, _changed(rehearsal, of_day))
    if not day:
        yield from _wrong_copies(rehearsal)


def _begin_lists(rehearsal: Rehearsal) -> Begun:
    issue_lists(rehearsal.engine, rehearsal.pki, datetime.now(UTC))
    return rehearsal.trigger(REVOCATION_LISTS)


def _begin_anchors(rehearsal: Rehearsal) -> Begun:
    configuration = Path(rehearsal.stack.environment["SMKI_ANCHOR_SLOTS"])
    write_anchor_slots(rehearsal.engine, configuration)
    revision = f'revision = "{datetime.now(UTC).isoformat()}"'
    configuration.write_text(re.sub("revision = .*", revision, configuration.read_text()))
    return rehearsal.trigger(ANCHOR_SLOTS)


def _begin_retention(rehearsal: Rehearsal) -> Begun:
    for _ in range(3 - len(_full_extracts(rehearsal, PRIMARY))):
        if (state := begin_full(rehearsal).finish()) != "success":
            raise RuntimeError(f"a full extract, without a fault, ended as {state}")
    return rehearsal.trigger(RETENTION)


def _wrong_full(rehearsal: Rehearsal) -> Iterator[str]:
    state = state_as_of(rehearsal.engine, find_window(rehearsal.engine, rehearsal.day).seq)
    expected = dict.fromkeys(in_use(state), str(Status.IN_USE))
    yield from _wrong_extract(rehearsal, rehearsal.guide.full, rehearsal.day, expected)
    yield from _wrong_copies(rehearsal)


def _wrong_lists(rehearsal: Rehearsal) -> Iterator[str]:
    for terms, _ in rehearsal.guide.lists():
        lodged = newest_list(rehearsal.engine, terms)
        assert lodged is not None
        for site in SITES:
            if gzip.decompress((rehearsal.folder(site) / terms.file).read_bytes()) != lodged.body:
                yield f"{terms.file} on {site} is not {lodged}"
            yield from _wrong_ledger(rehearsal, site, terms.file)
    yield from _wrong_copies(rehearsal)


def _wrong_anchors(rehearsal: Rehearsal) -> Iterator[str]:
    for site in SITES:
        state = set_state(rehearsal.engine, rehearsal.guide, site)
        if not state.complete:
            yield str(state)
        for file in state.files:
            yield from _wrong_ledger(rehearsal, site, file.name)
    yield from _wrong_copies(rehearsal)


def _wrong_retention(rehearsal: Rehearsal) -> Iterator[str]:
    for site in SITES:
        left = _full_extracts(rehearsal, site)
        if len(left) != 2 or left[-1] != rehearsal.guide.full.file_name(rehearsal.day):
            yield f"{site} has the full extracts {', '.join(left)}"
        for name in left:
            yield from _wrong_ledger(rehearsal, site, name)
    yield from _wrong_copies(rehearsal)


def _change_some(rehearsal: Rehearsal, day: date) -> None:
    """A day on which certificates are lodged, and as old ones go out of use."""
    new = look_alikes(_BODIES_A_DAY, seed=day.toordinal())
    at = rehearsal.guide.delta.cut_off.at(day) - timedelta(hours=6)
    lodge_bodies(rehearsal.engine, new, at)
    old = rehearsal.bodies[: _BODIES_A_DAY // 2]
    change(rehearsal.engine, old, Status.NOT_IN_USE, at + timedelta(hours=1))
    rehearsal.bodies = [*rehearsal.bodies[len(old) :], *new]
    rehearsal.day = day


def _full_extracts(rehearsal: Rehearsal, site: str) -> list[str]:
    return sorted(one.name for one in rehearsal.folder(site).iterdir() if rehearsal.guide.full.day_of(one.name))


def _wrong_extract(rehearsal: Rehearsal, terms: Obligation, day: date, expected: dict[bytes, str]) -> Iterator[str]:
    name = terms.file_name(day)
    for site in SITES:
        file = rehearsal.folder(site) / name
        if not file.exists():
            yield f"{name} is not on {site}"
            continue
        if contents_of(file) != expected:
            yield f"{name} on {site} has other certificates or statuses than the repository"
        yield from _wrong_ledger(rehearsal, site, name)
    with rehearsal.engine.connect() as connection:
        histories = [publication_history(connection, site, name) for site in SITES]
        waiting = connection.execute(
            text("SELECT count(*) FROM status_event WHERE window_seq IS NULL AND recorded_at <= :at"),
            {"at": rehearsal.guide.delta.cut_off.at(day)},
        ).scalar_one()
    if any(len(history) > 1 for history in histories):
        yield f"the ledger has {name} more than once"
    if len({one.artefact.content_digest for history in histories for one in history}) > 1:
        yield f"{name} has another content on each site"
    if waiting:
        yield f"{waiting} events are in no window"


def _wrong_ledger(rehearsal: Rehearsal, site: str, name: str) -> Iterator[str]:
    """Of a file that is offered: the ledger's view of it, and what was left beside it."""
    with rehearsal.engine.connect() as connection:
        offered = [one for one in publication_history(connection, site, name) if not one.ended_at]
    if len(offered) != 1:
        yield f"the ledger has {len(offered)} publications of {name} on {site}"
    elif offered[0].artefact.sha256 != sha256_of(rehearsal.folder(site) / name):
        yield f"the ledger has another SHA-256 of {name} on {site}"
    parts = [path.name for path in rehearsal.folder(site).glob(".*.part")]
    if parts:
        yield f"left on {site}: {', '.join(parts)}"


def _wrong_copies(rehearsal: Rehearsal) -> Iterator[str]:
    """What a Party has that follows the signed index of each site."""
    expected = in_use_digest(rehearsal.engine, find_window(rehearsal.engine, rehearsal.day).seq)
    signers = load_signers([Path(rehearsal.stack.environment["SMKI_INDEX_CERTIFICATE"])])
    for site in SITES:
        into = rehearsal.stack.var / f"copy-{site}.sqlite"
        synchronise(rehearsal.stack.site(site), into, Wish(signers))
        with LocalCopy(into, read_only=True) as copy:
            if copy.in_use != expected:
                yield f"a Party of {site} does not reach the state of {rehearsal.day}"


def _changed(rehearsal: Rehearsal, day: date) -> dict[bytes, str]:
    """Body → status of what a day's window changed."""
    query = text(
        """
        SELECT DISTINCT ON (certificate_id) body, e.status
        FROM status_event e JOIN certificate c ON c.id = certificate_id
        WHERE window_seq = :seq ORDER BY certificate_id, e.id DESC
        """
    )
    with rehearsal.engine.connect() as connection:
        rows = connection.execute(query, {"seq": find_window(rehearsal.engine, day).seq})
        return {row.body: row.status for row in rows}


_GATE = {"judge": (DATABASE, STORE), "release": (DATABASE,)}
_PUBLICATION = {
    "publish_primary": (DATABASE, STORE, PRIMARY),
    "publish_dr": (DR,),
    "publish_index_primary": (DATABASE, STORE, PRIMARY),
}
_EXTRACT = {
    "close_window": (DATABASE, PRIMARY, DR),
    "plan": (DATABASE, STORE),
    "render": (DATABASE, STORE),
    "assemble": (STORE,),
    "digest": (STORE,),
    "verify": (STORE,),
    **_GATE,
    **_PUBLICATION,
}
KINDS: Mapping[str, RunKind] = {
    "delta": RunKind(_EXTRACT, begin_delta, wrong_delta, days=1),
    "full": RunKind(_EXTRACT, begin_full, _wrong_full, days=7),
    "lists": RunKind(
        {f"crl.{step}": partners for step, partners in {"stage": (DATABASE, STORE), **_GATE, **_PUBLICATION}.items()},
        _begin_lists,
        _wrong_lists,
        days=0,
    ),
    "anchors": RunKind({"produce": (DATABASE, STORE), **_GATE, **_PUBLICATION}, _begin_anchors, _wrong_anchors, days=0),
    "retention": RunKind(
        {
            "remove_files_primary": (DATABASE, PRIMARY),
            "remove_files_dr": (DR,),
            "clear_quarantine": (STORE,),
            "collect_garbage": (DATABASE, STORE),
            "publish_index_primary": (DATABASE, STORE, PRIMARY),
        },
        _begin_retention,
        _wrong_retention,
        days=14,
    ),
}
