"""The mutations of the two revocation lists."""

import gzip
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from builders import change, during, reference
from smki.certificates.model import Status
from smki.gate.model import Judgement, Verdict
from smki.kinds.revocation.reading import read_revocation_list
from smki_demo.generator.pki import Authority, Pki
from smki_demo.generator.revocation import Revoked, revocation_list

from .extract_files import KEY_DER, KEY_PEM
from .mutation import Mutation
from .worlds import NOW, Stage, World

ARL, CRL = "arl", "crl"
SOON = during(70) + timedelta(days=1)
Judged = Callable[[World, str], Judgement]


def authority_of(world: World, obligation: str) -> Authority:
    return world.pki.root_oca if obligation is ARL else world.pki.issuing_oca


def listed(world: World, obligation: str) -> list[Revoked]:
    """What the newest list holds."""
    entries = read_revocation_list(world.newest_list(obligation).body).entries
    return [Revoked(entry.serial_number, entry.revoked_at) for entry in entries]


def issue(
    world: World,
    obligation: str,
    entries: Sequence[Revoked],
    *,
    hour: int = 14,
    valid: timedelta | None = None,
    step: int = 1,
) -> None:
    """Has the next list lodged, with a number that is `step` above that of the list before."""
    before, at = world.newest_list(obligation), during(70, hour)
    body = revocation_list(
        authority_of(world, obligation),
        before.number + step,
        at,
        before.next_update + timedelta(hours=1) if valid is None else at + valid,
        entries,
    )
    world.lodge_list(body, at)


# -- the file --


def in_file(damage: Callable[[bytes], bytes]) -> Judged:
    """Its bytes."""

    def judged(world: World, obligation: str) -> Judgement:
        file = world.list_file(obligation)
        data = file.read_bytes()
        damaged = damage(data)
        assert damaged != data
        file.write_bytes(damaged)
        return world.judged_list(obligation, file)

    return judged


def in_list(damage: Callable[[bytes, World, str], bytes]) -> Judged:
    """What it holds; the file is whole."""

    def judged(world: World, obligation: str) -> Judgement:
        damaged = damage(world.newest_list(obligation).body, world, obligation)
        return world.judged_list(obligation, world.list_file(obligation, damaged))

    return judged


def renamed(world: World, obligation: str) -> Judgement:
    file = world.list_file(obligation)
    return world.judged_list(obligation, file.rename(file.with_name(f"NEW_{file.name}")))


def flipped_last(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def forged(obligation: str) -> bytes:
    """By an authority of the same name that nobody lodged."""
    forger = Pki.create(NOW - timedelta(days=9))
    return revocation_list(forger.root_oca if obligation is ARL else forger.issuing_oca, 9, during(70), SOON)


def older(_: bytes, world: World, obligation: str) -> bytes:
    query = "SELECT body FROM revocation_list WHERE kind = :kind AND number = 2"
    return bytes(world.column(query, kind=obligation.upper())[0])


OTHER = {ARL: CRL, CRL: ARL}
FILES: dict[str, tuple[Judged, str]] = {
    "another name": (renamed, "all.name"),
    "FNAME of another file": (in_file(lambda o: o.replace(b"SMKIKR", b"SMKIXX", 1)), "gzip.name"),
    "bit flipped in the compressed data": (in_file(lambda o: o[:80] + bytes([o[80] ^ 1]) + o[81:]), "gzip.member"),
    "cut in half": (in_file(lambda o: o[: len(o) // 2]), "gzip.member"),
    "no bytes": (in_file(lambda _: b""), "gzip.member"),
    "bytes appended": (in_file(lambda o: o + b"\0"), "gzip.member"),
    "second member": (in_file(lambda o: o + gzip.compress(b"")), "gzip.member"),
    "reserved flags in the header": (in_file(lambda o: o[:3] + bytes([o[3] | 0xE0]) + o[4:]), "gzip.member"),
    "private key in the header": (
        in_file(lambda o: o[:3] + b"\x18" + o[4 : o.index(b"\0", 10) + 1] + KEY_PEM + o[o.index(b"\0", 10) :]),
        "content.key-material",
    ),
    "private key in its place": (in_list(lambda *_: KEY_DER), "content.key-material"),
    "private key after it": (in_list(lambda body, *_: body + KEY_PEM), "content.key-material"),
    "bytes after the list": (in_list(lambda body, *_: body + b"\0"), "list.octets"),
    "list that is empty": (in_list(lambda *_: b""), "list.octets"),
    "list of the day before": (in_list(older), "list.octets"),
    "bit flipped in the list": (in_list(lambda body, *_: flipped_last(body)), "list.octets"),
    "list of the other kind": (in_list(lambda _, w, o: w.newest_list(OTHER[o]).body), "list.signature"),
    "list of the Devices' authority": (
        in_list(lambda _, w, __: revocation_list(w.pki.issuing_dca, 9, during(70), SOON)),
        "list.signature",
    ),
    "certificate in its place": (in_list(lambda _, w, __: w.pki.root_oca.der), "list.signature"),
    "forged list": (in_list(lambda _, __, o: forged(o)), "list.signature"),
}

# -- what is lodged, and when --


def at(now: datetime) -> Judged:
    return lambda world, obligation: world.judged_list(obligation, world.list_file(obligation), now)


def after(damage: Callable[[World, str], object]) -> Judged:
    """The file is made right, of what the repository then holds."""

    def judged(world: World, obligation: str) -> Judgement:
        damage(world, obligation)
        return world.judged_list(obligation, world.list_file(obligation))

    return judged


def signature_damaged(world: World, obligation: str) -> None:
    world.sql(
        "UPDATE revocation_list SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) "
        "WHERE kind = :kind",
        kind=obligation.upper(),
    )


def kinds_exchanged(world: World, _: str) -> None:
    world.sql("UPDATE revocation_list SET kind = CASE kind WHEN 'ARL' THEN 'CRL' ELSE 'ARL' END")


def authority_revoked(world: World, obligation: str) -> None:
    body = authority_of(world, obligation).der
    world.sql("UPDATE certificate SET status = 'R' WHERE body = :body", body=body)


def listed_and_in_use(world: World, obligation: str) -> None:
    """A certificate is on the list and got status I back behind the rules."""
    if obligation is ARL:
        issue(
            world, ARL, [*listed(world, ARL), Revoked(reference(world.pki.issuing_oca.der).serial_number, during(70))]
        )
    world.sql("UPDATE certificate SET status = 'I' WHERE status = 'R'")


def newest_lost(world: World, obligation: str) -> None:
    """List 3 was published, and the repository is back at list 2."""
    world.publish_list(obligation, NOW)
    world.sql("DELETE FROM revocation_list WHERE number = 3 AND kind = :kind", kind=obligation.upper())


def entries_gone(world: World, obligation: str) -> None:
    """Fifteen of no lodged certificate, published and gone with the next list."""
    known = [] if obligation is ARL else listed(world, obligation)
    unknown = [Revoked(bytes([serial]) * 16, during(70)) for serial in range(1, 16)]
    issue(world, obligation, [*known, *unknown])
    world.publish_list(obligation, NOW)
    issue(world, obligation, known, hour=15)


def revocation_forgotten(world: World, obligation: str) -> None:
    issue(world, obligation, listed(world, obligation)[1:])


def revoked_and_not_listed(world: World, obligation: str) -> None:
    body = (
        world.pki.issuing_oca.der
        if obligation is ARL
        else world.column("SELECT body FROM certificate WHERE status = 'I' AND class = 'ORGANISATION' LIMIT 1")[0]
    )
    change(world.engine, [body], Status.REVOKED, during(70))


def long_ago(world: World, _: str) -> None:
    world.sql("UPDATE gate_run SET business_date = business_date - 500")


REPOSITORY: dict[str, tuple[Judged, str, Verdict]] = {
    "nextUpdate has passed": (at(NOW + timedelta(days=999)), "list.fresh", Verdict.FAIL),
    "thisUpdate has not come": (at(during(70) - timedelta(hours=1)), "list.fresh", Verdict.FAIL),
    "signature damaged in the repository": (after(signature_damaged), "list.signature", Verdict.FAIL),
    "kinds exchanged in the repository": (after(kinds_exchanged), "list.signature", Verdict.FAIL),
    "its authority revoked": (after(authority_revoked), "list.signature", Verdict.FAIL),
    "listed and in use": (after(listed_and_in_use), "list.entries", Verdict.FAIL),
    "newest list lost": (after(newest_lost), "list.number", Verdict.HOLD),
    "number gone back": (  # number 3 is lodged, and number 2 the newest that was published
        after(lambda world, of: issue(world, of, listed(world, of), step=-2)),
        "list.number",
        Verdict.HOLD,
    ),
    "number given twice": (
        after(lambda world, of: issue(world, of, listed(world, of), step=-1)),
        "list.number",
        Verdict.HOLD,
    ),
    "nextUpdate gone back": (
        after(lambda world, of: issue(world, of, listed(world, of), valid=timedelta(hours=20))),
        "list.next-update",
        Verdict.HOLD,
    ),
    "entries gone": (after(entries_gone), "list.lost", Verdict.HOLD),
    "revoked and not listed": (after(revoked_and_not_listed), "list.unlisted", Verdict.HOLD),
    "revocation forgotten by its issuer": (after(revocation_forgotten), "list.unlisted", Verdict.HOLD),
    "none for more than a year": (after(long_ago), "list.silence", Verdict.HOLD),
}

OF_ARLS_TOO = {
    "list of the other kind",
    "its authority revoked",
    "listed and in use",
    "number gone back",
    "entries gone",
}


def _all() -> Iterator[Mutation]:
    for name, (judged, check) in FILES.items():
        for of in (CRL, ARL) if name in OF_ARLS_TOO else (CRL,):
            yield Mutation(name, of, partial(judged, obligation=of), check)
    for name, (judged, check, verdict) in REPOSITORY.items():
        for of in (CRL, ARL) if name in OF_ARLS_TOO else (CRL,):
            stage = None if check == "list.fresh" else Stage.CLOSED
            yield Mutation(name, of, partial(judged, obligation=of), check, verdict, stage)


LIST_MUTATIONS = tuple(_all())
