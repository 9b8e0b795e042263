#!/bin/sh
# Both databases, each with an owner of its own that may not enter the other one; and the roles and logins by which the
# repository is worked on (docs/deployment.md, Rights): `smki init` gives the roles their rights.
# PostgreSQL's image runs this once, on an empty data folder; psql takes the passwords from its environment.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv smki_password SMKI_DB_PASSWORD
\getenv tasks_password SMKI_TASKS_DB_PASSWORD
\getenv pages_password SMKI_PAGES_DB_PASSWORD
\getenv backup_password BACKUP_DB_PASSWORD
CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE smki LOGIN PASSWORD :'smki_password';
SELECT format('CREATE ROLE %I NOLOGIN', wanted) FROM unnest(ARRAY['smki_publisher', 'smki_auditor', 'smki_reader']) wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) \gexec
CREATE ROLE smki_tasks LOGIN PASSWORD :'tasks_password' IN ROLE smki_publisher;
CREATE ROLE smki_pages LOGIN PASSWORD :'pages_password' IN ROLE smki_reader;
CREATE ROLE backup LOGIN REPLICATION PASSWORD :'backup_password';
CREATE DATABASE airflow OWNER airflow ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE smki OWNER smki ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT, TEMPORARY ON DATABASE airflow, smki, postgres FROM PUBLIC;
SQL

# The image lets nobody read the server's log from elsewhere.
echo 'host replication backup all scram-sha-256' >> "$PGDATA/pg_hba.conf"
