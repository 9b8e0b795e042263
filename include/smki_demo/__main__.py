"""The command line of the demo: `smki-demo`, and `python -m smki_demo`."""

import sys
from importlib.util import find_spec


def main() -> None:
    if find_spec("sqlalchemy") is None:
        print("smki-demo needs what a publisher needs, and only a Party's part is installed here.", file=sys.stderr)
        print("Next: `make venv` in the project's folder, or its extra `publisher`.", file=sys.stderr)
        sys.exit(3)
    from smki.cli.terminal import open_standard_streams
    from smki.processes import end_in_order
    from smki_demo.application import app

    open_standard_streams()
    end_in_order()
    app()


if __name__ == "__main__":
    main()
