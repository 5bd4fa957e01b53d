#!/usr/bin/env bash
# Run by the image of PostgreSQL once, on an empty volume: the control plane's role, no superuser, and its database.
# The same as docs/production.md says for a PostgreSQL of your own.
set -eo pipefail

# By \getenv the password stands in no list of processes; psql quotes it.
psql --no-psqlrc --set ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password DATABASE_PASSWORD
CREATE ROLE config_server LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE config_server OWNER config_server ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE config_server FROM PUBLIC;
-- Nothing of ours takes so long: what does is a fault, and must not hold others up. `init` lifts the first to migrate.
ALTER ROLE config_server SET statement_timeout = '60s';
ALTER ROLE config_server SET lock_timeout = '30s';
ALTER ROLE config_server SET idle_in_transaction_session_timeout = '60s';
SQL
