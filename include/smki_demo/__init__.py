"""The demo: the whole stack on one machine, made-up repositories, and their commands. Nothing in `smki` imports it."""
