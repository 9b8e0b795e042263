"""Between produced and published: judges a file, keeps the verdict, and lets a person release what only looks unusual.

Imports nothing of Airflow. `expectations` and `judging` load Great Expectations (seconds); the rest does not.
"""
