"""The command line: `smki`, and `python -m smki`.

Worker processes import this module again under another name, so it imports nothing by itself.
"""

import sys
from importlib.util import find_spec


def main() -> None:
    try:
        from smki.cli.terminal import open_standard_streams
        from smki.processes import end_in_order

        # A Party may have neither Airflow nor the drivers of a repository.
        if sys.argv[1:2] in (["sync"], ["find"]) or find_spec("sqlalchemy") is None:
            from smki.cli.party import app
        else:
            from smki.cli.application import app
    except KeyboardInterrupt:  # importing takes a second
        print("Interrupted. Nothing was done.", file=sys.stderr)
        sys.exit(130)
    open_standard_streams()
    end_in_order()
    app()


if __name__ == "__main__":
    main()
