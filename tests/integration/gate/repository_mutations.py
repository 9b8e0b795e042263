"""The mutations of what is read for an extract, and of what the ledger says: the pipeline makes its best of it."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from builders import change, cut_off, day, during, lodge_bodies, look_alikes, store_in
from made_certificates import name as made_name
from made_certificates import self_made
from smki.certificates.model import Status
from smki.gate.model import Verdict
from smki.kinds.extracts.plan import ExtractPlan

from .extract_files import DELTA, FULL, KEY_DER, Make, in_plan, in_sql, in_world, pieces_of
from .mutation import Mutation, of_extract
from .worlds import TODAY, Extract, Stage, World

PLANS: dict[str, tuple[str, Callable[[ExtractPlan], ExtractPlan], str]] = {
    "range left out": (FULL, lambda plan: replace(plan, segments=plan.segments[1:]), "full.count"),
    "second half not read": (FULL, lambda plan: replace(plan, segments=plan.segments[:2]), "full.set-digest"),
    "nothing read": (FULL, lambda plan: replace(plan, segments=()), "full.empty"),
    "range read twice": (FULL, lambda plan: replace(plan, segments=plan.segments[:1] + plan.segments), "xml.unique"),
    "stale window": (FULL, lambda plan: replace(plan, window_seq=63), "full.closure"),
    "changes read as the state": (FULL, lambda plan: replace(plan, statuses=None), "full.status"),
    "nothing of the window read": (DELTA, lambda plan: replace(plan, segments=()), "delta.count"),
    "window of the day before": (DELTA, lambda plan: replace(plan, window_seq=69), "delta.complete"),
    "state read as the changes": (DELTA, lambda plan: replace(plan, statuses="I"), "delta.belongs"),
}

# -- behind the rules, once window 70 is closed --

FLIPPED = "UPDATE certificate SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) "
OTHER_BODY = "UPDATE certificate c SET body = o.body FROM certificate o WHERE "
EXTRACT_BEFORE = "UPDATE artefact a SET set_digest = b.set_digest FROM artefact b WHERE "


def written_into_a_closed_window(world: World) -> None:
    world.event(60, "N", window=65)
    world.sql("UPDATE certificate SET status = 'N' WHERE id = 60")


REPOSITORY: dict[str, tuple[str, Make, str]] = {
    "certificates deleted": (FULL, in_sql("DELETE FROM certificate WHERE id BETWEEN 60 AND 69"), "full.count"),
    "status N set behind the events": (
        FULL,
        in_sql("UPDATE certificate SET status = 'N' WHERE id BETWEEN 60 AND 69"),
        "full.count",
    ),
    "status I set behind the events": (
        FULL,
        in_sql("UPDATE certificate SET status = 'I' WHERE status IN ('N', 'R', 'E')"),
        "full.set-digest",
    ),
    "bit of a body flipped": (FULL, in_sql(FLIPPED + "WHERE id = 60"), "full.set-digest"),
    "body cut short in the repository": (
        FULL,
        in_sql("UPDATE certificate SET body = substr(body, 1, 100) WHERE id = 60"),
        "xml.bodies",
    ),
    "bodies swapped in the repository": (
        FULL,
        in_sql(OTHER_BODY + "(c.id, o.id) IN ((60, 61), (61, 60))"),
        "xml.fields",
    ),
    "serial number changed in the repository": (
        FULL,
        in_sql("UPDATE certificate SET serial_number = '\\x0102' WHERE id = 60"),
        "xml.fields",
    ),
    "private key in the repository": (
        FULL,
        in_sql("UPDATE certificate SET body = :key WHERE id = 60", key=KEY_DER),
        "xml.key-material",
    ),
    "issuer that nobody has stated any more": (
        FULL,
        in_sql("TRUNCATE unchecked_issuer"),
        "xml.issuers",
    ),
    "event written into a closed window": (FULL, in_world(written_into_a_closed_window), "full.count"),
    "what entered changed in a window's row": (
        FULL,
        in_sql("UPDATE delta_window SET entered = departed WHERE seq = 65"),
        "full.set-digest",
    ),
    "window's row lost": (FULL, in_sql("DELETE FROM delta_window WHERE seq = 55"), "full.count"),
    "other certificates published the week before": (
        FULL,
        in_sql(EXTRACT_BEFORE + "a.name LIKE '%FULL_2025-08-03%' AND b.name LIKE '%FULL_2025-07-27%'"),
        "full.closure",
    ),
    "changed certificate deleted": (DELTA, in_sql("DELETE FROM certificate WHERE id = :last"), "delta.count"),
    "status of a change set behind the events": (
        DELTA,
        in_sql("UPDATE certificate SET status = 'N' WHERE id = :last - 1"),
        "delta.status",
    ),
    "body written over another one": (DELTA, in_sql(OTHER_BODY + "c.id = :last - 1 AND o.id = :last"), "xml.fields"),
    "event written into its window": (DELTA, in_world(lambda world: world.event(60, "N", window=70)), "delta.count"),
    "event lost from its window": (
        DELTA,
        in_sql("DELETE FROM status_event WHERE certificate_id = :last"),
        "delta.count",
    ),
    "event moved to another window": (
        DELTA,
        in_sql("UPDATE status_event SET window_seq = 69 WHERE certificate_id = :last"),
        "delta.set-digest",
    ),
    "what changed changed in its window's row": (
        DELTA,
        in_sql("UPDATE delta_window SET changed = entered WHERE seq = 70"),
        "delta.set-digest",
    ),
}

# -- by hand, while window 70 is open: the rules would have refused it --


def by_hand(old: str, new: str) -> Make:
    """The first certificate with a status gets another one."""

    def damage(world: World) -> None:
        first = min(world.column("SELECT id FROM certificate WHERE status = :old", old=old))
        world.event(first, new)
        world.sql("UPDATE certificate SET status = :new WHERE id = :first", new=new, first=first)

    return in_world(damage)


def device_revoked(world: World) -> None:
    world.event(60, "R")
    world.sql("UPDATE certificate SET status = 'R' WHERE id = 60")


BY_HAND: dict[str, tuple[str, Make, str]] = {
    "revoked certificate in use again": (FULL, by_hand("R", "I"), "windows.final"),
    "change of a revoked certificate": (DELTA, by_hand("R", "I"), "delta.moves"),
    "expired certificate out of use": (DELTA, by_hand("E", "N"), "windows.final"),
    "Device Certificate revoked": (DELTA, in_world(device_revoked), "delta.moves"),
}

# -- breakers: nothing is wrong, and all of it is unusual --


def taken_out_of_use(count: int | None) -> Make:
    """So many of those in use, or all, newest first."""

    def damage(world: World) -> None:
        newest = world.column("SELECT body FROM certificate WHERE status = 'I' ORDER BY id DESC")
        change(world.engine, newest[:count], Status.NOT_IN_USE, during(70))

    return in_world(damage)


def installed(world: World) -> None:
    lodge_bodies(world.engine, look_alikes(60, seed=4711), during(70))


def ended(world: World) -> None:
    """Its body says so; the repository, which closes windows by its own column, was told otherwise."""
    subject, issuer = made_name("02", None, b"\x02SMKI\x02\x00\x09"), made_name("07", "OCA1")
    end = cut_off(TODAY) - timedelta(seconds=1)
    body = self_made(subject, issuer, usages=("digital_signature",), ca=False, serial=0x5E1F_0009, not_after=end)
    lodge_bodies(world.engine, [body], during(70))
    world.sql("UPDATE certificate SET not_after = '2045-01-01Z' WHERE body = :body", body=body)


def stored(world: World, obligation: str) -> Extract:
    """The content is right, and nothing is compressed."""
    extract = world.produce(obligation)
    assert extract.manifest is not None
    pages, content = extract.manifest.pages.copy(), b""
    for place, xml in enumerate(pieces_of(extract)[1:-1]):
        compressor = zlib.compressobj(0, zlib.DEFLATED, -15)
        deflate = compressor.compress(xml) + compressor.flush(zlib.Z_FULL_FLUSH)
        facts = {"segment": 0, "place": place, "offset": len(content)}
        for name, value in (facts | {"deflate_bytes": len(deflate), "deflate_crc32": zlib.crc32(deflate)}).items():
            pages[name][place] = value
        content += deflate
    segment = store_in(world.folder).put_content("segments", content)
    return world.write(obligation, replace(extract.manifest, pages=pages, segments=(segment,), sizes=(len(pages),)))


def unpublished(obligation: str, since: int) -> Make:
    """Nothing of the obligation was published after that window's."""
    return in_sql(
        "DELETE FROM publication WHERE artefact_id IN "
        "(SELECT id FROM artefact WHERE obligation = :obligation AND business_date > :day)",
        obligation=obligation,
        day=day(since),
    )


UNUSUAL: dict[str, tuple[str, Make, str, Stage | None]] = {
    "much was taken out of use": (FULL, taken_out_of_use(50), "full.change", Stage.OPEN),
    "much was installed": (FULL, in_world(installed), "full.change", Stage.OPEN),
    "nothing is in use any more": (FULL, taken_out_of_use(None), "full.empty", Stage.OPEN),
    "stored without compression": (FULL, stored, "full.bytes", None),
    "none for three weeks": (FULL, unpublished(FULL, 49), "full.silence", Stage.CLOSED),
    "mass installation": (DELTA, in_world(installed), "delta.volume", Stage.OPEN),
    "nothing lodged any more": (
        DELTA,
        in_sql("DELETE FROM status_event WHERE window_seq IS NULL"),
        "delta.volume",
        Stage.OPEN,
    ),
    "certificate in use past its end": (FULL, in_world(ended), "records.expired", Stage.OPEN),
    "certificate lodged in use past its end": (DELTA, in_world(ended), "records.expired", Stage.OPEN),
    "removals only": (DELTA, taken_out_of_use(5), "delta.mix", Stage.OPEN),
    "delta stored without compression": (DELTA, stored, "delta.bytes", None),
    "none for ten days": (DELTA, unpublished(DELTA, 60), "delta.silence", Stage.CLOSED),
}


def _all() -> Iterator[Mutation]:
    for name, (of, plan, check) in PLANS.items():
        yield of_extract(name, of, in_plan(plan), check)
    for stage, table in ((Stage.CLOSED, REPOSITORY), (Stage.OPEN, BY_HAND)):
        for name, (of, make, check) in table.items():
            yield of_extract(name, of, make, check, stage=stage)
    for name, (of, make, check, where) in UNUSUAL.items():
        yield of_extract(name, of, make, check, verdict=Verdict.HOLD, stage=where)


REPOSITORY_MUTATIONS = tuple(_all())
