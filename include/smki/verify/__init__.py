"""Reads files back from their own bytes and says whether they are right.

Nothing here imports the renderer: what it got wrong must not be wrong here in the same way.
"""
