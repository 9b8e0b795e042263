"""One proof over both ends: whatever an operator's days are like, Parties get to the repository's state.

A history is made of what happens to an operator (certificates that come, change and end, clocks that are wrong, windows
that close late, uploads that break, retention, a database or a server that is restored from a backup, a database that
is rebuilt from its own files) and of Parties that synchronise at any time from any state that they ever had. The oracle
is a list of what happened (`model`). Always:

* a Party's copy is the repository of its day, certificate by certificate, whatever interrupted it; it gets to the
  newest day that is offered, or is refused by the code that docs/party.md gives, whose way out leads there;
* no certificate is in use in a copy after the delta that revoked it;
* what has been published never changes;
* file, ledger, index and repository have the same digests; the index names each delta that did not come, and a full
  extract in its place where that leads a Party further.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine

from builders import cut_off, day, during
from conftest import HISTORIES, histories
from smki.certificates.detached_signatures import is_signed
from smki.certificates.model import Usage
from smki.errors import TransportError
from smki.kinds.index.signing import load_signer
from smki.obligations.catalogue import UserGuide
from smki.party import fetching
from smki.party.refusals import Refusal, SyncRefusedError
from smki.party.signed_index import INDEX, SIGNATURE
from smki.settings import Settings
from smki_demo.generator.index_signer import make_signer
from smki_demo.generator.pki import ORGANISATION_VALIDITY, Pki

from ..publish.conftest import Faults, FaultyServer, faulty  # noqa: F401  # fixture
from .operator_side import FAULTS, NEVER, Day, Operator, dated, number_in, number_of
from .parties import Outcome, Party, foretell
from .publisher import Publisher, empty_backup

_MOST_WAYS = 4  # out of refusals, one after the other


class BothEnds(Operator):
    def __init__(self, publisher: Publisher, pool: Mapping[bytes, datetime], folder: Path) -> None:
        super().__init__(publisher, pool)
        self.signed = Party(folder / "signed" / "copy.sqlite", [publisher.signer.certificate])
        self.unsigned = Party(folder / "unsigned" / "copy.sqlite")
        self.signed.begin()
        self.unsigned.begin()

    @precondition(lambda self: self.published)
    @rule(is_signed=st.booleans(), earlier=st.none() | st.integers(0, 9), faults=FAULTS)
    def sync(self, is_signed: bool, earlier: int | None, faults: Faults) -> None:
        """A Party brings the copy that it has, or had some time, to the newest state."""
        party = self.signed if is_signed else self.unsigned
        if earlier is not None:
            party.bring_back(earlier)
        self._sync(party, faults)
        party.keep()

    def end_day(self, one: Day) -> None:
        """A Party brings its copy to the newest state, or is refused and waits."""
        for party in [self.signed] * ("s" in one.parties) + [self.unsigned] * ("u" in one.parties):
            self._try(party, Faults())
            party.keep()

    def _sync(self, party: Party, faults: Faults, *, anew: bool = False, ways: int = 0) -> None:
        """Where nothing breaks on the way it ends at the newest state, by the way out of each refusal."""
        outcome = self._try(party, faults, anew=anew)
        if faults != Faults() or (outcome and outcome.refusal is None):
            return
        assert ways < _MOST_WAYS
        refusal = outcome and outcome.refusal
        self._take_way_out(refusal)
        self._sync(party, Faults(), anew=refusal is Refusal.OLD_INDEX, ways=ways + 1)

    def _try(self, party: Party, faults: Faults, *, anew: bool = False) -> Outcome | None:
        """None: something broke on the way."""
        expected = self._foretell(party, anew=anew)
        outcome = self._outcome(party, faults, anew=anew)
        self._check(party)
        if faults == Faults() and outcome != expected:
            assert outcome is not None
            assert outcome.refusal is Refusal.DAMAGED
            assert self._is_something_lost(party)
        return outcome

    def _outcome(self, party: Party, faults: Faults, *, anew: bool) -> Outcome | None:
        """None: something broke on the way."""
        refusal = None
        try:
            with self.publisher.failing(faults):
                party.sync(self.publisher.server.site, anew=anew)
        except SyncRefusedError as error:
            refusal = error.refusal
        except TransportError:
            return None
        event(f"sync: {refusal and refusal.code}")
        return Outcome(party.day, refusal)

    def _foretell(self, party: Party, *, anew: bool) -> Outcome:
        standing, start = self.publisher.standing, None if anew else party.day
        if not party.signers:
            expected = foretell(start, *dated(standing))
        else:
            index, signature = standing.get(INDEX, b""), standing.get(SIGNATURE, b"")
            if not is_signed(index, signature, party.signers):
                return Outcome(party.day, Refusal.SIGNATURE)
            stated = self.publisher.index or {}
            written_at = datetime.fromisoformat(stated["written_at"])
            expected = foretell(start, *dated(one["name"] for one in stated["files"]))
            if expected.refusal is Refusal.BEHIND and party.index_at and written_at < party.index_at:
                return Outcome(party.day, Refusal.OLD_INDEX)
        return replace(expected, day=party.day) if expected.refusal is Refusal.NO_START else expected

    def _is_something_lost(self, party: Party) -> bool:
        """Whether the index states what is no more on the server."""
        names = {one["name"] for one in (self.publisher.index or {"files": []})["files"]}
        return bool(party.signers) and not names <= self.publisher.standing.keys()

    def _take_way_out(self, refusal: Refusal | None) -> None:
        """What docs/party.md says that the operator does."""
        self.mend_server()
        if refusal in (Refusal.NO_START, Refusal.BEHIND, Refusal.HOLE):
            if self.model.closed not in self._due("full"):
                self.close(1)
            self._publish("full", self.model.closed, Faults())
        self.publish_index(1, Faults())
        self.agree()

    def _check(self, party: Party) -> None:
        if party.day is None:
            return
        number = number_of(party.day)
        revoked = {
            body
            for name, content in self.contents.items()
            for body, status in content.items()
            if status == "R" and number_in(name) <= number
        }
        party.check(self.truth[number], revoked)

    def teardown(self) -> None:
        for party in (self.signed, self.unsigned):
            self._sync(party, Faults())


@pytest.fixture
def publisher(
    repository: Engine,
    user_guide: UserGuide,
    pki: Pki,
    faulty: FaultyServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Publisher:
    monkeypatch.setattr(fetching, "_PAUSES_S", (0.0,))
    signer = load_signer(Settings.from_environment(make_signer(tmp_path)))
    assert signer is not None
    return Publisher(repository, user_guide, faulty, signer, tmp_path / "publisher", empty_backup(repository, pki))


def make_pool(pki: Pki) -> dict[bytes, datetime]:
    """Certificates and their ends: Devices', which have none, and Organisations', of which some end within days."""
    latest = during(0) + ORGANISATION_VALIDITY
    ends = [cut_off(day(number)) + timedelta(seconds=late) for number in (2, 3, 4, 6) for late in (0, 1)] + [latest] * 6
    pool = {}
    for number, end in enumerate(ends):
        eui64 = b"\x02SMKI" + number.to_bytes(3)
        pool[pki.organisation_certificate(2, Usage.KEY_AGREEMENT, eui64, end - ORGANISATION_VALIDITY)] = end
        pool |= dict.fromkeys(pki.device_certificates(eui64, during(0))[: 2 - number % 2], NEVER)
    return pool


def test_parties_get_to_the_repository_whatever_happens(publisher: Publisher, pki: Pki, tmp_path: Path) -> None:
    pool = make_pool(pki)

    def machine() -> BothEnds:
        return BothEnds(publisher, pool, tmp_path / "parties")

    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=histories(10), stateful_step_count=6, derandomize=not HISTORIES),
    )
