"""The whole stack on one machine: embedded PostgreSQL, an SFTP server, Airflow. For the demo and for tests."""
