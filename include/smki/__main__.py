"""The command line: `smki`, and `python -m smki`.

Worker processes import this module again under another name, so it imports nothing by itself.
"""


def main() -> None:
    from smki.cli.application import app
    from smki.processes import end_in_order

    end_in_order()
    app()


if __name__ == "__main__":
    main()
