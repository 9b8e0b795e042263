from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import (
    XML_NAME,
    XSD,
    assembled,
    change,
    cut_off,
    day,
    during,
    in_use,
    lodge_bodies,
    look_alikes,
    produced,
    rendered,
    state_as_of,
)
from smki.certificates.model import Status
from smki.errors import VerificationError
from smki.kinds.extracts.agreement import check_agreement
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.obligations.catalogue import FullExtract, UserGuide
from smki.repository.windows import close_windows
from smki.verify.verification import verify_file


@pytest.fixture
def filled(repository: Engine) -> Engine:
    bodies = look_alikes(40)
    lodge_bodies(repository, bodies, during(1))
    change(repository, bodies[:5], Status.NOT_IN_USE, during(7))
    lodge_bodies(repository, look_alikes(5, seed=2), during(7), Status.PENDING)
    close_windows(repository, day(7), cut_off)
    return repository


def check(engine: Engine, kind: FullExtract, folder: Path, bodies: list[bytes]) -> None:
    """A file that is whole in itself and holds these certificates as the full extract of window 7."""
    file, manifest = assembled(folder, [render_head(XML_NAME), rendered(bodies), render_tail()])
    check_agreement(engine, kind, manifest, verify_file(file, XSD, manifest=manifest))


def test_extracts_agree_with_the_windows(filled: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    for obligation, window in [
        (user_guide.full, 7),
        (user_guide.delta, 7),
        (user_guide.delta, 1),
        (user_guide.delta, 4),
    ]:
        file, manifest = produced(filled, obligation, day(window), tmp_path)
        check_agreement(filled, obligation.kind, manifest, verify_file(file, XSD, manifest=manifest))
    check(filled, user_guide.full.kind, tmp_path, in_use(state_as_of(filled, 7)))


def test_full_that_lacks_one_certificate_is_refused(filled: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r" 34 .* 35:"):
        check(filled, user_guide.full.kind, tmp_path, in_use(state_as_of(filled, 7))[:-1])


def test_full_with_one_certificate_too_many_is_refused(filled: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=" 36 "):
        check(filled, user_guide.full.kind, tmp_path, [*in_use(state_as_of(filled, 7)), look_alikes(1)[0]])


def test_full_with_another_certificate_in_the_place_of_one_is_refused(
    filled: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    with pytest.raises(VerificationError, match=" 35 "):
        check(filled, user_guide.full.kind, tmp_path, [*in_use(state_as_of(filled, 7))[:-1], look_alikes(1, seed=9)[0]])


def test_delta_of_another_window_is_refused(filled: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    file, manifest = produced(filled, user_guide.delta, day(1), tmp_path)
    _, other = produced(filled, user_guide.delta, day(7), tmp_path)
    with pytest.raises(VerificationError, match="window 7"):
        check_agreement(filled, user_guide.delta.kind, other, verify_file(file, XSD, manifest=manifest))
