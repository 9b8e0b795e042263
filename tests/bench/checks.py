"""What a measured thing has to have done: whatever its time, wrong content is an error."""

from collections.abc import Callable
from typing import Any

from measuring import BrokenError

from smki.certificates.set_digest import SetDigest

Check = Callable[[Any], None]


def is_the_set(expected: SetDigest) -> Check:
    """That a verified file holds exactly these certificates (of `run_verify`)."""

    def check(verified: dict[str, Any]) -> None:
        if (verified["records"], verified["set_digest"]) != (expected.count, str(expected)):
            raise BrokenError(
                f"it holds {verified['records']:,} records that are not the {expected.count:,} certificates"
            )

    return check


def is_the_extract(first: dict[str, Any]) -> Check:
    """That a produced file has the content of the first one, which was verified (of `run_produce`)."""

    def check(made: dict[str, Any]) -> None:
        if made["content_digest"] != first["content_digest"]:
            raise BrokenError("its content is not that of the first one, which was verified")

    return check
