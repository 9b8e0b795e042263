"""From a closed window to a verified-to-be file: plan → shard → assemble, the same in Airflow and on a command line."""
