"""README's tree is the map of the project: it has a line for each package, so that nothing has to be guessed."""

from smki.settings import PROJECT

TREE = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2].split("```")[1]


def test_every_package_and_every_module_beside_them_is_in_the_tree():
    named = {word for line in TREE.splitlines() for word in line.split()}
    for root in ("include/smki", "include/smki/kinds", "plugins/smki_airflow"):
        packages = {f"{init.parent.name}/" for init in (PROJECT / root).glob("*/__init__.py")}
        assert packages <= named, root
    modules = {file.name for file in (PROJECT / "include/smki").glob("*.py") if not file.name.startswith("__")}
    assert modules <= named
