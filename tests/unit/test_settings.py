"""What the environment may say, and what it may not."""

import pytest

from smki.errors import ConfigurationError
from smki.settings import Settings


@pytest.mark.parametrize(
    ("stated", "sites"), [("", ("primary",)), ("primary, dr", ("primary", "dr")), ("DR_2,", ("DR_2",))]
)
def test_sites_are_those_that_are_named_and_primary_where_none_is(stated: str, sites: tuple[str, ...]) -> None:
    assert Settings.from_environment({"SMKI_SITES": stated}).sites == sites
    assert Settings.from_environment({}).sites == ("primary",)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        *(("SMKI_SITES", stated) for stated in (" , ", "primary,primary", "dr,DR", "primary dr", "dr-1", "dr,ö")),
        *(("SMKI_KEEP_RUNS_DAYS", stated) for stated in ("36501", "9" * 5_000, "-1", "٣")),
        *(("SMKI_AUDIT_BYTES_A_DAY", stated) for stated in ("9" * 19, "9" * 5_000, "1e9")),
    ],
)
def test_setting_that_nothing_could_work_by_is_refused_by_its_name(name: str, stated: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment({name: stated})
    assert refused.value.item == name
