"""pg_dump and pg_restore: what went through the proxy is what was there; and the programs that wrap one statement."""

import re
import uuid

import pytest
from conftest import program, succeed, superuser

SOURCE = r'''
CREATE SCHEMA "Strange Name";
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE parent (id int PRIMARY KEY, feeling mood DEFAULT 'sad', at timestamptz, data bytea, doc jsonb, n numeric);
CREATE TABLE "Strange Name"."a ""table""" (id serial, parent int REFERENCES parent, words text[], p positive);
CREATE TABLE parts (k int, v text) PARTITION BY HASH (k);
CREATE TABLE part_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE FUNCTION triple(n int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN n * 3; END $f$;
CREATE VIEW happy AS SELECT * FROM parent WHERE feeling = 'happy';
CREATE MATERIALIZED VIEW counted AS SELECT feeling, count(*) FROM parent GROUP BY 1;
CREATE INDEX ON parent (feeling) WHERE n > 0;
CREATE SEQUENCE free START 42;
COMMENT ON TABLE parent IS E'several\nlines';
INSERT INTO parent SELECT n, CASE WHEN n % 3 = 0 THEN 'happy' ELSE 'sad' END::mood, '2026-01-01Z'::timestamptz + n * '1 hour'::interval,
    decode(md5(n::text), 'hex'), jsonb_build_object('n', n, 'w', repeat('ä"\', n % 50)), n / 7.0 FROM generate_series(1, 4000) n;
INSERT INTO "Strange Name"."a ""table""" (parent, words, p) SELECT n, ARRAY['a,b', NULL, E'tab\tnew\nline\\', n::text], n
    FROM generate_series(1, 1000) n;
INSERT INTO parts SELECT n, repeat('v', n % 100) FROM generate_series(1, 2000) n;
REFRESH MATERIALIZED VIEW counted;
SELECT lo_from_bytea(0, convert_to(repeat('large object ', 100000), 'UTF8'));
SELECT nextval('free');
'''


@pytest.fixture(scope="module")
def source():
    """A database with something of everything, made on Postgres itself."""
    name = f"source_{uuid.uuid4().hex[:8]}"
    succeed("direct", "psql", "-Xqc", f"CREATE DATABASE {name}", PGDATABASE="postgres", **superuser())
    succeed("direct", "psql", "-Xq", "-v", "ON_ERROR_STOP=1", input=SOURCE.encode(), PGDATABASE=name, **superuser())
    return name


def dump(way, name, *arguments):
    text = succeed(way, "pg_dump", "--no-owner", *arguments, PGDATABASE=name, **superuser())
    # Newer ones say a random word at the beginning and the end.
    return re.sub(rb"(?m)^\\(un)?restrict .*$", b"", text)


@pytest.mark.parametrize("arguments", [[], ["--inserts", "--rows-per-insert=100"], ["--schema-only"],
                                       ["--data-only", "--disable-triggers"], ["--table=parent"],
                                       ["--serializable-deferrable"]], ids=" ".join)
def test_a_dump_is_the_same(source, arguments):
    assert dump("tested", source, *arguments) == dump("direct", source, *arguments)


@pytest.mark.parametrize("form, write, read", [
    ("plain", [], []),
    ("custom", [], ["--single-transaction"]),
    ("custom", [], ["--jobs=3"]),
    ("directory", ["--jobs=3"], ["--jobs=3"]),
    ("tar", [], ["--clean", "--if-exists"]),
    ("plain", ["--inserts"], []),
], ids=lambda part: part if isinstance(part, str) else " ".join(part))
def test_dumped_and_restored_through_the_proxy(source, database, tmp_path, form, write, read):
    target, file = database(), str(tmp_path / "dump")
    succeed("tested", "pg_dump", f"--format={form}", f"--file={file}", *write, PGDATABASE=source, **superuser())
    if form == "plain":
        succeed("tested", "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", file, PGDATABASE=target, **superuser())
    else:
        succeed("tested", "pg_restore", "--exit-on-error", *read, f"--dbname={target}", file, **superuser())
    assert dump("direct", target) == dump("direct", source)


def test_pg_dumpall(source):
    direct, tested = (succeed(way, "pg_dumpall", "--globals-only", "--no-role-passwords", PGDATABASE="postgres", **superuser())
                      for way in ("direct", "tested"))
    assert re.sub(rb"(?m)^\\(un)?restrict .*$", b"", tested) == re.sub(rb"(?m)^\\(un)?restrict .*$", b"", direct)


@pytest.mark.parametrize("command", [
    ["vacuumdb", "--analyze", "--jobs=3"], ["vacuumdb", "--full", "--table=parent"], ["reindexdb", "--concurrently"],
    ["clusterdb"], ["pg_amcheck", "--install-missing", "--jobs=2"],
], ids=" ".join)
def test_programs_that_wrap_statements(source, command):
    done = program("tested", *command, PGDATABASE=source, **superuser())
    assert done.returncode == 0, done.stderr.decode()


def test_databases_and_users_are_made_and_dropped():
    for command in (["createdb", "wrapped"], ["createuser", "wrapped_user"], ["dropuser", "wrapped_user"], ["dropdb", "wrapped"]):
        succeed("tested", *command, PGDATABASE="postgres", **superuser())
