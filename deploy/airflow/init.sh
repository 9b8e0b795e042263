#!/bin/sh
# What has to be there before Airflow's services start. Every step finds what an earlier run has done and leaves it.
set -eu

airflow db migrate
smki init # the repository's schema
airflow pools set smki_publish 1 "one publisher at a time"
airflow users create --role Admin --username "$ADMIN_USER" --email "$ADMIN_EMAIL" --firstname SMKI --lastname Admin \
  --password "$ADMIN_PASSWORD"
