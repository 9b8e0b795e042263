"""The command line `smki`: one module a group of commands."""
