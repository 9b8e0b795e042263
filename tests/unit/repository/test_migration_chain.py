from alembic.script import ScriptDirectory

from smki.repository.schema import MIGRATIONS, known_revisions


def test_numbers_of_migrations_are_the_one_chain_that_alembic_follows() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert [script.revision for script in scripts.walk_revisions()][::-1] == known_revisions()
