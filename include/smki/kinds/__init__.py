"""The kinds of file: each makes its files, fills evidence, states its checks, and says how its files are retired."""
