"""From which day on files are owed: nobody misses what is of a day before."""

from datetime import timedelta

from sqlalchemy import Engine, insert

from builders import cut_off, lodge_bodies, look_alikes
from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import UserGuide
from smki.repository.tables import delta_window
from smki.watch.facts import load_facts

from .conftest import DAY, NOON, TODAY

EMPTY = str(SetDigest())


def test_what_was_lodged_today_is_owed_from_tomorrow_on(repository: Engine, user_guide: UserGuide) -> None:
    assert load_facts(repository, user_guide, ["primary"], TODAY).first_day is None
    lodge_bodies(repository, look_alikes(2), NOON - timedelta(seconds=1))
    facts = load_facts(repository, user_guide, ["primary"], TODAY)
    assert (facts.since(user_guide.delta), facts.since(user_guide.full)) == (
        TODAY + DAY,
        user_guide.full.cut_off.next_day(TODAY),
    )


def test_what_was_taken_over_is_owed_by_whoever_published_it(repository: Engine, user_guide: UserGuide) -> None:
    yesterday = TODAY - DAY
    lodge_bodies(repository, look_alikes(1), cut_off(yesterday))
    row = {"seq": 0, "business_date": yesterday, "cutoff": cut_off(yesterday), "events": 1, "taken_over": True}
    with repository.begin() as connection:
        connection.execute(insert(delta_window).values(**row, changed=EMPTY, entered=EMPTY, departed=EMPTY))
    assert load_facts(repository, user_guide, ["primary"], yesterday).first_day == TODAY
