"""The settings of one installation: read once, at the edge, from the environment.

| variable | meaning | default |
|---|---|---|
| SMKI_DATABASE_URL | the repository, `postgresql://…`; `embedded`: a server of its own below SMKI_VAR | none |
| SMKI_VAR | where everything that the publisher writes goes | `var` beside `include` |
| SMKI_STORE | the store, a folder or a URL (`s3://…`), shared by all workers | `SMKI_VAR/store` |
| SMKI_CONFIG | folder of user_guide.toml | `include/config` |
| SMKI_ANCHOR_SLOTS | which certificates go into which Device anchor slots | `SMKI_CONFIG/anchor_slots.toml` |
| SMKI_ANNEX_B_XSD | the schema that files are validated against | `include/schema/annex_b.xsd` |
| SMKI_SITES | sites that are published to, comma separated; NAME is of letters, digits and _ | `primary` |
| SMKI_SITE_NAME | site NAME for the command line (`publish.login`) | AIRFLOW_CONN_SMKI_SFTP_NAME |
| SMKI_AUDIT_NAME | the same for the auditor, with a Party's account | AIRFLOW_CONN_SMKI_AUDIT_NAME |
| SMKI_INDEX_KEY, SMKI_INDEX_CERTIFICATE | who signs the index (`kinds.index.signing`): PEM files | none: no index |
| SMKI_AUDIT_BYTES_A_DAY | how much of extracts the auditor reads back on each site | 20000000000 |
| SMKI_KEEP_RUNS_DAYS | how long Airflow keeps its records and logs of runs, in days | 30 |
| SMKI_SMTP_URL | the mail server that `smki audit` tells people by (`watch.mail`) | none |
| SMKI_AIRFLOW_URL | where Airflow's UI is, for the links in those messages; inside Airflow its own `base_url` | none |
| SMKI_RUNBOOK_URL | where people read docs/runbook.md, for the links in all messages | its path |
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smki.errors import ConfigurationError

INCLUDE = Path(__file__).resolve().parent.parent
PROJECT = INCLUDE.parent
EMBEDDED = "embedded"  # SMKI_DATABASE_URL of an installation with a PostgreSQL of its own
_SITE = re.compile("[A-Za-z0-9_]+")  # what connections, tasks, pools and variables may all have in their names
_MOST_BYTES_A_DAY = 10**18
_MOST_DAYS = 36_500  # a hundred years


@dataclass(frozen=True, slots=True)
class Settings:
    """Where one installation keeps its things."""

    database_url: str  # or EMBEDDED; empty: not stated, so that nobody works on the wrong repository unawares
    var: Path
    store: str
    config: Path
    anchor_slots: Path
    annex_b_xsd: Path
    sites: tuple[str, ...]
    audit_bytes_a_day: int  # of extracts, on each site
    keep_runs_days: int  # in Airflow
    runbook: str  # where people read docs/runbook.md; empty: in the project
    index_key: Path | None  # private key that signs the index
    index_certificate: Path | None  # of that key

    @property
    def embedded_postgres(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.var / "postgres"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Settings as the environment states them. Raises ConfigurationError."""
        var = Path(environment.get("SMKI_VAR") or PROJECT / "var")
        config = Path(environment.get("SMKI_CONFIG") or INCLUDE / "config")
        return cls(
            database_url=environment.get("SMKI_DATABASE_URL", ""),
            var=var,
            store=environment.get("SMKI_STORE") or str(var / "store"),
            config=config,
            anchor_slots=Path(environment.get("SMKI_ANCHOR_SLOTS") or config / "anchor_slots.toml"),
            annex_b_xsd=Path(environment.get("SMKI_ANNEX_B_XSD") or INCLUDE / "schema" / "annex_b.xsd"),
            sites=_sites(environment.get("SMKI_SITES") or "primary"),
            audit_bytes_a_day=_number(
                environment, "SMKI_AUDIT_BYTES_A_DAY", "bytes", 20_000_000_000, most=_MOST_BYTES_A_DAY
            ),
            keep_runs_days=_number(environment, "SMKI_KEEP_RUNS_DAYS", "days", 30, most=_MOST_DAYS),
            runbook=environment.get("SMKI_RUNBOOK_URL", ""),
            index_key=_file(environment, "SMKI_INDEX_KEY"),
            index_certificate=_file(environment, "SMKI_INDEX_CERTIFICATE"),
        )


def _sites(stated: str) -> tuple[str, ...]:
    """One at least, and no two that differ in case only: their variables would be the same."""
    names = tuple(name.strip() for name in stated.split(",") if name.strip())
    if not names or not all(map(_SITE.fullmatch, names)) or len({name.upper() for name in names}) < len(names):
        rule = f"{stated!r} does not name each site once, in letters, digits and _."
        raise ConfigurationError("SMKI_SITES", rule, next_step="name them, such as `primary,dr`.")
    return names


def _number(environment: Mapping[str, str], name: str, unit: str, default: int, *, most: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or int(text) > most:
        rule = f"it has to be a number of {unit} in digits, {most} at most, not {text[:40]!r}."
        raise ConfigurationError(name, rule)
    return int(text)


def _file(environment: Mapping[str, str], name: str) -> Path | None:
    return Path(environment[name]) if environment.get(name) else None
