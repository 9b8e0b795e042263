"""`smki init`: the only command that changes the repository's schema."""

from smki.cli.terminal import AsJson, show
from smki.repository.migrate import migrate
from smki.repository.project import open_project
from smki.repository.schema import known_revisions


def init(as_json: AsJson = False) -> None:
    """Make the repository's schema, or bring it up to this program's.

    Back a filled repository up first, and stop what works on it: older programs refuse a newer schema. Once it is up to
    date, nothing changes.
    """
    engine = open_project().open_engine()
    before = migrate(engine)
    show({"repository": engine.url.database, "schema_before": before, "schema": known_revisions()[-1]}, as_json=as_json)
