-- Creates one login role and one schema per service in the database `brightrun`; no role has access to another's schema.
-- Run it with psql as a superuser; it can be repeated. psql reads the password of each role from its environment:
-- BRIGHTRUN_API_PASSWORD, BRIGHTRUN_SCHEDULER_PASSWORD, … The postgres image runs it from /docker-entrypoint-initdb.d.

\set ON_ERROR_STOP on
\getenv api BRIGHTRUN_API_PASSWORD
\getenv scheduler BRIGHTRUN_SCHEDULER_PASSWORD
\getenv tracker BRIGHTRUN_TRACKER_PASSWORD
\getenv artifacts BRIGHTRUN_ARTIFACTS_PASSWORD
\getenv notifier BRIGHTRUN_NOTIFIER_PASSWORD

SELECT 'CREATE DATABASE brightrun' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'brightrun') \gexec
\connect brightrun

CREATE TEMPORARY TABLE slice (name, password) AS
VALUES ('api', :'api'), ('scheduler', :'scheduler'), ('tracker', :'tracker'),
       ('artifacts', :'artifacts'), ('notifier', :'notifier');

SELECT format('CREATE ROLE %I', name) FROM slice WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', name, password) FROM slice \gexec
SELECT format('ALTER ROLE %I IN DATABASE brightrun SET search_path = %I', name, name) FROM slice \gexec
SELECT format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', name, name) FROM slice \gexec
SELECT format('GRANT CONNECT ON DATABASE brightrun TO %I', name) FROM slice \gexec

REVOKE CONNECT, TEMPORARY ON DATABASE brightrun FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
