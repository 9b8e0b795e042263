#!/bin/sh
# Both databases, each with a role of its own that may not enter the other one.
# PostgreSQL's image runs this once, on an empty data folder; psql takes the passwords from its environment.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv smki_password SMKI_DB_PASSWORD
CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE smki LOGIN PASSWORD :'smki_password';
CREATE DATABASE airflow OWNER airflow ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE smki OWNER smki ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT, TEMPORARY ON DATABASE airflow, smki, postgres FROM PUBLIC;
SQL
