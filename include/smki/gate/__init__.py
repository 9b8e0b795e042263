"""Between produced and published: judges a file, keeps the verdict, and lets a person release what only looks unusual.

It knows no kind of file: a kind hands over `evidence` with the `checks` on it. `judging` loads Great Expectations
(seconds, 200 MB); nothing else here does. `judging_process` has that done beside what comes before it.
"""
