"""`python -m smki`: the command line."""

if __name__ == "__main__":  # worker processes import this module under another name, and need none of it
    from smki.cli.application import app

    app()
