"""`smki init`: the only command that changes the repository's schema."""

from smki.cli.terminal import AsJson, err, print_lines, show
from smki.repository.migrate import migrate
from smki.repository.project import open_project
from smki.repository.rights import grant_rights
from smki.repository.schema import known_revisions


def init(as_json: AsJson = False) -> None:
    """Make the repository's schema, or bring it up to this program's, and give the roles their rights in it.

    Back a filled repository up first, and stop what works on it: older programs refuse a newer schema. Once it is up to
    date, nothing changes.
    """
    engine = open_project().open_engine()
    before = migrate(engine)
    missing = grant_rights(engine)
    facts = {"repository": engine.url.database, "schema_before": before, "schema": known_revisions()[-1]}
    show(facts | {"roles_missing": list(missing)}, as_json=as_json)
    if missing and not as_json:
        print_lines(
            f"[bold yellow]warning[/] the roles {', '.join(missing)} are not there, and this login may not make roles: "
            "nobody but the owner can work here. [bold]Next:[/] have a superuser run "
            f"{' '.join(f'CREATE ROLE {role} NOLOGIN;' for role in missing)} and run `smki init` again.",
            err,
        )
