"""pgbench: every protocol mode, pipelines, reconnecting; what it leaves in the tables adds up."""

import re
import uuid

import pytest
from conftest import program, succeed

# A thread for each client, always: pgbench waits for the answer to a Parse with the whole thread, so that clients of
# the same thread that hold the last server connections in their transactions would wait for it for ever.
TABLES = "pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers"


@pytest.fixture(scope="module")
def tables():
    succeed("tested", "pgbench", "--initialize", "--quiet", "--scale=1", "--foreign-keys")
    yield
    succeed("direct", "psql", "-Xqc", f"DROP TABLE {', '.join(TABLES)}")


def query(statement):
    return succeed("direct", "psql", "-XAtqc", statement).decode().strip()


def transactions(output):
    failed = re.search(rb"number of failed transactions: (\d+)", output)
    assert failed is None or failed[1] == b"0", output
    return int(re.search(rb"transactions actually processed: (\d+)", output)[1])


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("builtin", ["tpcb-like", "simple-update", "select-only"])
def test_builtin_scripts(tables, protocol, builtin):
    query("TRUNCATE pgbench_history")
    before = query("SELECT sum(abalance) FROM pgbench_accounts")
    output = succeed("tested", "pgbench", "-n", "-M", protocol, "-b", builtin, "-c", "10", "-j", "10", "-t", "30")
    assert transactions(output) == 300
    rows, moved = query("SELECT count(*), coalesce(sum(delta), 0) FROM pgbench_history").split("|")
    assert int(rows) == (0 if builtin == "select-only" else 300)
    assert int(query("SELECT sum(abalance) FROM pgbench_accounts")) == int(before) + int(moved)


@pytest.mark.parametrize("protocol", ["simple", "prepared"])
def test_a_connection_for_each_transaction(tables, protocol):
    output = succeed("tested", "pgbench", "-n", "-M", protocol, "-S", "-C", "-c", "5", "-t", "10")
    assert transactions(output) == 50


PIPELINES = {
    "one": "\\startpipeline\nINSERT INTO {t} VALUES (:client_id);\nSELECT count(*) FROM {t};\n\\endpipeline\n",
    "many": "\\startpipeline\n" + "SELECT :client_id;\n" * 40 + "\\endpipeline\nINSERT INTO {t} VALUES (:client_id);\n",
    "transaction": "\\startpipeline\nBEGIN;\nINSERT INTO {t} VALUES (:client_id);\nSAVEPOINT a;\n"
    "INSERT INTO {t} VALUES (-1);\nROLLBACK TO a;\nCOMMIT;\n\\endpipeline\n",
    "open transaction": "BEGIN;\n\\startpipeline\nINSERT INTO {t} VALUES (:client_id);\nSELECT pg_sleep(0);\n"
    "\\endpipeline\nSELECT count(*) AS n FROM {t} WHERE n = :client_id \\gset\nCOMMIT;\n",
}


@pytest.mark.parametrize("protocol", ["extended", "prepared"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_pipelines(protocol, pipeline, tmp_path):
    table = f"pipeline_{uuid.uuid4().hex[:8]}"
    query(f"CREATE TABLE {table} (n int)")
    script = tmp_path / "pipeline.sql"
    script.write_text(PIPELINES[pipeline].format(t=table))
    output = succeed("tested", "pgbench", "-n", "-M", protocol, "-f", str(script), "-c", "10", "-j", "10", "-t", "15")
    assert transactions(output) == 150
    assert query(f"SELECT count(*), count(DISTINCT n), min(n) FROM {table}") == "150|10|0"
    query(f"DROP TABLE {table}")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_serialization_failures_are_tried_again(protocol, tmp_path):
    table = f"counter_{uuid.uuid4().hex[:8]}"
    query(f"CREATE TABLE {table} AS SELECT 0 AS n")
    script = tmp_path / "count.sql"
    script.write_text(f"BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT n FROM {table} \\gset\n"
                      f"UPDATE {table} SET n = :n + 1;\nCOMMIT;\n")
    output = succeed("tested", "pgbench", "-n", "-M", protocol, "-f", str(script), "--max-tries=1000",
                     "-c", "5", "-j", "5", "-t", "20")
    assert transactions(output) == 100
    assert query(f"SELECT n FROM {table}") == "100"
    query(f"DROP TABLE {table}")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_an_error_ends_the_client_that_made_it(protocol, tmp_path):
    script = tmp_path / "error.sql"
    script.write_text("SELECT 1 / (CASE WHEN :client_id = 2 THEN 0 ELSE 1 END);\n")
    done = program("tested", "pgbench", "-n", "-M", protocol, "-f", str(script), "-c", "4", "-t", "20")
    assert done.returncode == 2
    assert b"client 2 script 0 aborted" in done.stderr and b"division by zero" in done.stderr
    assert re.search(rb"transactions actually processed: 60", done.stdout)
