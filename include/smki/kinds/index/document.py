"""The index as a document: what a site offers, by the ledger and the repository. Pure.

* Every file that the ledger offers on the site, with size, SHA-256, content digest, day and publication time.
* Of a full extract or a delta also its window, cut-off, and the set digest of what is in use after it: the state that a
  copy has to have.
* The chain: the newest full extract and the deltas after it, without a hole, as far as they lead.
* Corrections: of each delta that is missing between others, the full extract that Parties go on from.
* Of a revocation list its number and times. What is due next, and when.

VERSION rises when a field goes or changes its meaning, not when one is added; the schema is
`include/schema/index-1.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import DeltaExtract, FullExtract, Index, Obligation, RevocationList, UserGuide
from smki.publish.artefact import Publication
from smki.repository.windows import Window
from smki.store.content import SmallFile
from smki.store.manifest import Manifest

VERSION = 1
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ListFacts:
    """What a published revocation list says of itself."""

    number: int  # CRL number
    this_update: datetime  # UTC
    next_update: datetime  # UTC


def index_of(
    guide: UserGuide,
    index: Index,
    offered: Sequence[Publication],
    windows: Sequence[Window],
    lists: Mapping[int, ListFacts],
    tables: Mapping[str, SmallFile],
    now: datetime,
) -> dict[str, Any]:
    """The index of a site at `now` (UTC), as JSON types.

    `offered` is what the ledger offers there, `windows` all that are closed, `lists` the published revocation lists by
    version, `tables` the page tables by their extract's name.
    """
    states, by_seq = _states(windows), {window.seq: window for window in windows}
    files = []
    for publication in sorted(offered, key=lambda one: one.name):
        published = publication.artefact
        obligation = guide.find(published.obligation, published.subject)
        if obligation is None:
            continue
        facts: dict[str, Any] = {
            "name": published.name,
            "obligation": published.obligation,
            "folder": obligation.folder,
            "bytes": published.bytes,
            "sha256": published.sha256,
            "content_digest": published.content_digest,
            "records": published.records,
            "business_date": published.business_date.isoformat(),
            "published_at": _instant(publication.published_at),
        }
        match obligation.kind:
            case FullExtract() | DeltaExtract() if published.window_seq is not None:
                window = by_seq[published.window_seq]
                facts |= {"window": window.seq, "cut_off": _instant(window.cutoff), "state": str(states[window.seq])}
            case RevocationList() if published.version is not None:
                known = lists[published.version]
                facts |= {
                    "number": str(known.number),
                    "this_update": _instant(known.this_update),
                    "next_update": _instant(known.next_update),
                }
        if (table := tables.get(published.name)) is not None:
            facts["pages"] = {"name": table.name, "bytes": table.size, "sha256": table.sha256()}
        files.append(facts)
    return {
        "version": VERSION,
        "written_at": _instant(now),
        "folder": index.folder,
        "files": files,
        "chain": _chain(guide, offered),
        "corrections": _corrections(guide, offered),
        "next": [_next(one, now) for one in guide.all],
    }


def index_bytes(index: Mapping[str, Any]) -> bytes:
    """The index as it is published and signed."""
    return json.dumps(index, indent=1, ensure_ascii=False).encode() + b"\n"


def page_table(name: str, manifest: Manifest) -> bytes:
    """Which pages an extract is made of: a line of JSON, then 48 bytes a page, in the file's order.

    Of each: its number, 8 bytes; of its deflate how many bytes it has, 4; records, 4; SHA-256 of its XML, 32. Numbers
    are little-endian. Pages stand end to end, the first one after `opening_bytes`.
    """
    facts = {
        "version": VERSION,
        "file": name,
        "bytes": manifest.size,
        "opening_bytes": len(manifest.opening),
        "pages": len(manifest.pages),
        "format": manifest.page_format.version,
        "head": manifest.head.xml.decode(),
        "tail": manifest.tail.xml.decode(),
    }
    rows = manifest.pages[["number", "deflate_bytes", "records", "xml_sha256"]]
    packed = rows.astype([("number", "<i8"), ("deflate_bytes", "<u4"), ("records", "<u4"), ("xml_sha256", "V32")])
    return json.dumps(facts).encode() + b"\n" + packed.tobytes()


def _states(windows: Sequence[Window]) -> dict[int, SetDigest]:
    """Set digest of what is in use after each window."""
    states, in_use = {}, SetDigest()
    for window in sorted(windows, key=lambda one: one.seq):
        states[window.seq] = in_use = in_use + window.entered - window.departed
    return states


def _names(obligation: Obligation, offered: Sequence[Publication]) -> dict[date, str]:
    """By business date."""
    return {
        one.artefact.business_date: one.name
        for one in offered
        if (one.artefact.obligation, one.artefact.subject) == obligation.key
    }


def _corrections(guide: UserGuide, offered: Sequence[Publication]) -> list[dict[str, str | None]]:
    """Deltas that are not there before others, and what takes the place of each: a full extract of that day or later.

    A copy of the day before goes on from that one; where there is none yet, it cannot go on. That a copy goes on says
    nothing of whether the delta is corrected: that of its own day leads on, too, and repeats what the delta was refused
    for.
    """
    fulls, deltas = _names(guide.full, offered), _names(guide.delta, offered)
    if not deltas:
        return []
    first = min([*deltas, *([max(fulls) + _DAY] if fulls else [])])
    last = max([*deltas, *fulls])
    missing = [day for ahead in range((last - first).days) if (day := first + ahead * _DAY) not in deltas]
    return [
        {
            "missing": guide.delta.file_name(day),
            "business_date": day.isoformat(),
            "by": next((fulls[of] for of in sorted(fulls) if of >= day), None),
        }
        for day in missing
    ]


def _chain(guide: UserGuide, offered: Sequence[Publication]) -> dict[str, Any] | None:
    """What a Party loads to get from nothing to the newest state; None while there is no full extract."""
    fulls, deltas = _names(guide.full, offered), _names(guide.delta, offered)
    if not fulls:
        return None
    day, names = max(fulls), []
    full = fulls[day]
    while (delta := deltas.get(day := day + _DAY)) is not None:
        names.append(delta)
    return {"full": full, "deltas": names}


def _next(obligation: Obligation, now: datetime) -> dict[str, str]:
    """The first file of an obligation whose publish-by has not come."""
    day = now.astimezone(UTC).date() - 10 * _DAY  # publish-by is at most some days after the cut-off
    while not (obligation.cut_off.falls_on(day) and obligation.publish_by(day) > now):
        day += _DAY
    return {
        "obligation": obligation.name,
        "title": obligation.title,
        "file": obligation.file_name(day),
        "publish_by": _instant(obligation.publish_by(day)),
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
