"""What an index says of its own age."""

from datetime import UTC, datetime, timedelta

import pytest

from builders import day
from smki.party.planning import AwaitedFile, OfferedFile
from smki.party.signed_index import SignedIndex

BY = datetime(2026, 3, 9, 4, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FULL, DELTA, FOLLOWING = (
    f"SMKIKR_{kind}_{day(number)}.xml.gz" for kind, number in (("FULL", 9), ("DELT", 9), ("DELT", 10))
)


def overdue(now: datetime, *offered: str, awaited: tuple[str, ...] = (FULL, DELTA)) -> list[tuple[str, datetime]]:
    files = [OfferedFile.of(name, 1) for name in offered]
    index = SignedIndex(
        BY - DAY, tuple(file for file in files if file), tuple(AwaitedFile(name, BY) for name in awaited)
    )
    return [(late.name, late.publish_by) for late in index.overdue(now)]


def test_what_should_have_come_for_more_than_an_hour_is_told():
    assert overdue(BY + HOUR) == []
    assert overdue(BY + HOUR + timedelta(seconds=1)) == [(FULL, BY), (DELTA, BY)]


@pytest.mark.parametrize("days", [1, 30])
def test_delta_that_came_before_its_time_is_followed_by_the_next_days(days: int):
    assert overdue(BY + DAY + HOUR, DELTA, FULL) == []
    assert overdue(BY + days * DAY + 2 * HOUR, DELTA, FULL) == [(FOLLOWING, BY + DAY)]
