"""What each DAG does: one module a kind of file, and the two that look after all files.

The tasks are the steps themselves. What they need of the domain is imported inside them, by the worker that runs them:
the DAG processor reads these modules every few seconds and must stay light (numpy, pyarrow, lxml, paramiko).
"""
