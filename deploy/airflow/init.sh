#!/bin/sh
# What has to be there before Airflow's services start. Every step finds what an earlier run has done and leaves it.
set -eu

airflow db migrate
smki init # the repository's schema
for site in $(echo "$SMKI_SITES" | tr , ' '); do # each site's two lanes
  airflow pools set "smki_dated_$site" 1 "extracts and retention, one publisher at a time"
  airflow pools set "smki_in_place_$site" 1 "revocation lists and anchor files, one publisher at a time"
done
airflow users create --role Admin --username "$ADMIN_USER" --email "$ADMIN_EMAIL" --firstname SMKI --lastname Admin \
  --password "$ADMIN_PASSWORD"
