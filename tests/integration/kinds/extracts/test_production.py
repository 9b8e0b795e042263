import gzip
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from builders import (
    SMALL_PAGES,
    XSD,
    change,
    contents_of,
    cut_off,
    day,
    during,
    in_use,
    lodge_bodies,
    look_alikes,
    produced,
    record_of,
    records_of,
    state_as_of,
    store_in,
    written,
)
from conftest import Program
from made_certificates import with_null_parameters, with_serial
from smki.annex_b.version import V1
from smki.certificates.model import Status
from smki.errors import PlanError, RepositoryUnavailableError, WindowError
from smki.kinds.extracts.plan import ExtractPlan, IdRange, plan_extract
from smki.kinds.extracts.production import assemble, produce, render_segments
from smki.obligations.catalogue import Obligation, UserGuide
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows
from smki.store.pages import PAGES_2, PageFormat, Segment
from smki.verify.basis import basis_of


def planned(engine: Engine, obligation: Obligation, window: int, page_format: PageFormat = SMALL_PAGES) -> ExtractPlan:
    """From scratch."""
    return plan_extract(engine, obligation, day(window), basis=basis_of(V1, XSD), page_format=page_format)


@pytest.fixture
def filled(repository: Engine, signed: list[bytes]) -> Engine:
    """Two closed windows, 7 and 8: all classes, a certificate of every status, and some that come and go."""
    bodies = [*signed, *look_alikes(60)]
    lodge_bodies(repository, bodies, during(1))
    lodge_bodies(repository, look_alikes(20, seed=2), during(7), Status.PENDING)
    change(repository, bodies[-10:], Status.NOT_IN_USE, during(7))
    change(repository, signed[4:6], Status.REVOKED, during(7))
    change(repository, signed[6:7], Status.EXPIRED, during(7))
    change(repository, bodies[-3:], Status.IN_USE, during(8))
    change(repository, bodies[-20:-15], Status.NOT_IN_USE, during(8))
    close_windows(repository, day(8), cut_off)
    return repository


def test_clause_2_3_3_a_full_holds_what_was_in_use_in_lodging_order(
    filled: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    file, manifest = produced(filled, user_guide.full, day(7), tmp_path, page_format=SMALL_PAGES)
    expected = in_use(state_as_of(filled, 7))
    assert records_of(file) == [record_of(body) for body in expected]
    assert (manifest.records, manifest.window_seq) == (len(expected), 7)
    assert file.name == "SMKIKR_FULL_2025-06-08.xml.gz"


def test_clause_2_3_3_b_delta_holds_each_changed_certificate_once_with_its_status_at_the_windows_end(
    filled: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    body = look_alikes(1, seed=3)
    lodge_bodies(filled, body, during(9, 1), Status.PENDING)
    change(filled, body, Status.IN_USE, during(9, 2))
    change(filled, body, Status.NOT_IN_USE, during(9, 3))
    close_windows(filled, day(9), cut_off)
    change(filled, body, Status.EXPIRED, during(10))
    for window in (7, 8, 9):
        file, _ = produced(filled, user_guide.delta, day(window), tmp_path, page_format=SMALL_PAGES)
        before, after = state_as_of(filled, window - 1), state_as_of(filled, window)
        assert contents_of(file) == {b: status for b, status in after.items() if before.get(b) != status}
    assert contents_of(file) == {body[0]: "N"}


def test_full_of_an_old_window_is_what_it_was_whatever_has_happened_since(
    filled: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    in_time, first = produced(filled, user_guide.full, day(7), tmp_path / "in time")
    every = in_use(state_as_of(filled, 8))
    change(filled, every[:30], Status.NOT_IN_USE, during(9))
    lodge_bodies(filled, look_alikes(50, seed=4), during(9))
    close_windows(filled, day(9), cut_off)
    change(filled, every[30:40], Status.NOT_IN_USE)  # no window has claimed these
    late, second = produced(filled, user_guide.full, day(7), tmp_path / "late")
    assert late.read_bytes() == in_time.read_bytes()
    assert second.to_bytes() == first.to_bytes()


def test_xml_is_the_same_however_it_is_cut_into_pages_and_segments(
    filled: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    def xml(*size: int) -> bytes:
        file, _ = produced(filled, user_guide.full, day(8), tmp_path / f"{size}", page_format=PageFormat(2, *size))
        return gzip.decompress(file.read_bytes())

    assert xml(5, 2) == xml(17, 1) == xml(128, 512)


@pytest.mark.parametrize("split", [[[0, 1, 2, 3, 4, 5, 6, 7]], [[7, 3], [0], [6, 5, 4], [2, 1]]])
def test_file_is_the_same_however_segments_are_spread_over_tasks(
    filled: Engine, user_guide: UserGuide, tmp_path: Path, split: list[list[int]]
) -> None:
    whole, manifest = produced(filled, user_guide.full, day(8), tmp_path / "whole", page_format=SMALL_PAGES)
    plan = planned(filled, user_guide.full, 8)
    assert len(plan.segments) == 8
    store, parts = store_in(tmp_path), dict[int, Segment]()
    for task in split:
        parts |= render_segments(libpq_url(filled), plan, store, task)
    _, again = assemble(plan, store, parts)
    file, _ = written(tmp_path, again)
    assert (again.to_bytes(), file.read_bytes()) == (manifest.to_bytes(), whole.read_bytes())


def test_segment_that_did_not_come_is_named(filled: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    plan, store = planned(filled, user_guide.full, 8), store_in(tmp_path)
    parts = render_segments(libpq_url(filled), plan, store, [0, 1, 3])
    with pytest.raises(PlanError, match=r"of its 8 segments these did not come: \[2, 4, 5, 6, 7\]"):
        assemble(plan, store, parts)


def test_file_is_the_same_from_one_process_and_from_two(filled: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    one, first = produced(filled, user_guide.full, day(8), tmp_path / "1", page_format=SMALL_PAGES)
    two, second = produced(filled, user_guide.full, day(8), tmp_path / "2", page_format=SMALL_PAGES, workers=2)
    assert (first.to_bytes(), one.read_bytes()) == (second.to_bytes(), two.read_bytes())
    assert sorted(path.name for path in two.parent.iterdir()) == [two.name, f"{two.name}.manifest", "store"]


def test_empty_window_and_nothing_in_use_give_files_without_records(
    repository: Engine, user_guide: UserGuide, tmp_path: Path, program: Program
) -> None:
    bodies = look_alikes(5)
    lodge_bodies(repository, bodies, during(1), Status.NOT_IN_USE)
    close_windows(repository, day(4), cut_off)
    for obligation, window in [
        (user_guide.full, 1),
        (user_guide.delta, 4),
        (user_guide.full, 4),
    ]:
        file, manifest = produced(repository, obligation, day(window), tmp_path, page_format=SMALL_PAGES)
        assert (records_of(file), manifest.records) == ([], 0)
        subprocess.run([program("gzip"), "-t", file], check=True)


def test_full_has_no_hole_where_a_range_of_ids_was_never_used(
    repository: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    bodies = look_alikes(3)
    for _ in range(6):
        lodge_bodies(repository, bodies[:2], during(1))  # a second offer uses up ids
    lodge_bodies(repository, bodies[2:], during(1))
    close_windows(repository, day(1), cut_off)
    file, _ = produced(repository, user_guide.full, day(1), tmp_path, page_format=SMALL_PAGES)
    assert list(contents_of(file)) == bodies


def test_odd_but_lodged_certificates_are_published_byte_for_byte(
    repository: Engine, signed: list[bytes], user_guide: UserGuide, tmp_path: Path
) -> None:
    odd = [
        with_null_parameters(signed[-1]),
        with_serial(signed[-2], b"\x00\xff" * 3),
        with_serial(signed[10], b"\5"),
    ]
    assert lodge_bodies(repository, odd, during(1)).lodged == 3
    close_windows(repository, day(1), cut_off)
    file, _ = produced(repository, user_guide.full, day(1), tmp_path)
    assert list(contents_of(file)) == odd
    assert [record.serial for record in records_of(file)][1:] == ["FF00FF00FF", "05"]


def test_extract_of_a_window_that_is_not_closed_is_refused(filled: Engine, user_guide: UserGuide) -> None:
    with pytest.raises(WindowError):
        planned(filled, user_guide.full, 9)


def test_plan_covers_every_certificate_once(filled: Engine, user_guide: UserGuide) -> None:
    plan = planned(filled, user_guide.full, 8, PageFormat(2, 10, 5))
    assert plan.segments == ((IdRange(0, 49),), (IdRange(50, 99),), (IdRange(100, 149),))
    ranges = [ids for (ids,) in planned(filled, user_guide.delta, 7, PageFormat(2, 5, 2)).segments]
    assert all(first.last < second.first for first, second in pairwise(ranges))
    assert len(ranges) == 4  # 20 lodged and 13 changed


def backends(server: Engine, filled: Engine, *, waiting: bool = False) -> list[int]:
    """Backends of the repository's database; `waiting`: those that wait for a lock."""
    query = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = :name AND backend_type = 'client backend' "
        "AND (wait_event_type = 'Lock' OR NOT :waiting)"
    )
    with server.connect() as connection:
        return list(connection.execute(query, {"name": filled.url.database, "waiting": waiting}).scalars())


def end(server: Engine, pids: list[int]) -> None:
    with server.connect() as connection:
        for pid in pids:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


def test_backend_that_is_killed_between_two_segments_is_a_transport_error_and_a_retry_gives_the_same(
    filled: Engine, server: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    _, manifest = produced(filled, user_guide.full, day(8), tmp_path / "whole", page_format=SMALL_PAGES)
    plan, store = planned(filled, user_guide.full, 8), store_in(tmp_path)

    class Killing(list[int]):
        """The segments of a task; the backend dies before the fifth."""

        def __iter__(self) -> Iterator[int]:
            for number in super().__iter__():
                if number == 5:
                    filled.dispose()
                    killed = backends(server, filled)
                    assert killed
                    end(server, killed)
                    time.sleep(0.1)
                yield number

    with pytest.raises(RepositoryUnavailableError):
        render_segments(libpq_url(filled), plan, store, Killing(range(len(plan.segments))))
    assert produce(libpq_url(filled), plan, store)[1].to_bytes() == manifest.to_bytes()


def test_backend_that_is_killed_while_it_reads_is_a_transport_error_and_a_retry_gives_the_same(
    filled: Engine, server: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    _, manifest = produced(filled, user_guide.full, day(8), tmp_path / "whole")
    plan, store = planned(filled, user_guide.full, 8, PAGES_2), store_in(tmp_path)

    def kill_the_reader() -> None:
        while not (waiting := backends(server, filled, waiting=True)):
            time.sleep(0.02)
        end(server, waiting)

    with filled.begin() as holder:
        holder.execute(text("LOCK TABLE certificate IN ACCESS EXCLUSIVE MODE"))  # so that the read lasts
        killer = threading.Thread(target=kill_the_reader)
        killer.start()
        with pytest.raises(RepositoryUnavailableError):
            produce(libpq_url(filled), plan, store)
        killer.join()
    assert not list(store.list_objects("manifests/"))
    assert produce(libpq_url(filled), plan, store)[1].to_bytes() == manifest.to_bytes()
