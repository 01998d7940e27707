"""What a user's SQL may do, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.store.builders import WAIT, detail, entry, raw, run
from warmcell.errors import QueryError
from warmcell_server.store import Store, sql
from warmcell_server.store.guard import VIEWS


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with three runs."""
    for number in range(3):
        record = run(deployment="live", outputs=raw({"n": number}), parameters=raw({"x": 1}))
        store.append(entry(record, detail(2)))
    return store


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM runs",
        "select count(*) from main.runs;",
        "FROM runs SELECT count(*)",
        "WITH recent AS (SELECT * FROM runs) SELECT count(*) FROM recent",
        "WITH runs AS (SELECT * FROM runs) SELECT count(*) FROM runs",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
        "SELECT max(i) FROM n",
        "SELECT count(DISTINCT r.run_id) FROM runs r JOIN steps s USING (run_id)",
        "SELECT count(*) FROM runs WHERE run_id IN (SELECT run_id FROM logs)",
        "SELECT count(*) FROM (SELECT run_id FROM runs UNION SELECT run_id FROM steps)",
        "SELECT sum(a) FROM (VALUES (1), (2)) t(a)",
        "SELECT max(i) FROM range(4) t(i)",
        "SELECT count(*) FROM runs, LATERAL (SELECT unnest([1])) WHERE run_name IS NULL",
        "SELECT count(*) FROM runs -- a comment",
    ],
)
def test_a_select_over_the_views_is_answered(filled: Store, query: str) -> None:
    """Ordinary queries work: joins, subqueries, WITH, set operations, table functions of values."""
    assert filled.sql(query).result(WAIT).rows == [[3]]


def test_describe_shows_the_columns_of_a_view(filled: Store) -> None:
    """DESCRIBE and SUMMARIZE of a view help to find one's way."""
    names = {row[0] for row in filled.sql("DESCRIBE runs").result(WAIT).rows}
    documented = (
        "run_id pipeline deployment snapshot trigger status created_at started_at finished_at "
        "parameters outputs error duration notebook user"
    )
    assert names >= set(documented.split())
    assert filled.sql("SUMMARIZE runs").result(WAIT).rows
    for view in VIEWS:
        filled.sql(f"SELECT * FROM {view}").result(WAIT)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "exactly one"),
        ("SELECT 1; SELECT 2", "exactly one"),
        ("SELECT 1; DROP VIEW runs", "exactly one"),
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM runs", "nothing"),
        ("DELETE FROM data.runs", "Only SELECT"),
        ("INSERT INTO data.runs(run_id) VALUES ('x')", "Only SELECT"),
        ("CREATE TABLE t AS SELECT 1", "Only SELECT"),
        ("ATTACH ':memory:' AS m", "Only SELECT"),
        ("COPY runs TO 'out.csv'", "Only SELECT"),
        ("SET threads = 1", "Only SELECT"),
        ("PRAGMA database_list", "."),
        ("CALL duckdb_tables()", "."),
        ("INSTALL httpfs", "Only SELECT"),
        ("CHECKPOINT", "Only SELECT"),
        ("EXPORT DATABASE 'x'", "Only SELECT"),
        ("EXPLAIN ANALYZE SELECT 1", "Only SELECT"),
        ("WITH x AS (DELETE FROM data.runs RETURNING *) SELECT * FROM x", "reads only"),
        ("WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x", "reads only"),
        ("WITH x AS (INSERT INTO data.logs SELECT 1 RETURNING *) SELECT * FROM x", "."),
        ("WITH x AS (UPDATE data.runs SET status = 'x' RETURNING 1) SELECT * FROM x", "."),
        ("SELECT * FROM (WITH x AS (DELETE FROM data.runs RETURNING *) SELECT * FROM x)", "."),
        ("SELECT * FROM data.runs", "no view"),
        ("SELECT * FROM store.data.runs", "no view"),
        ("SELECT (SELECT count(*) FROM data.runs)", "no view"),
        ("SELECT * FROM runs WHERE run_id IN (SELECT file FROM data.spool_offsets)", "no view"),
        ("SELECT * FROM runs JOIN data.runs d USING (run_id)", "no view"),
        ("SELECT * FROM duckdb_settings", "no view"),
        ("SELECT * FROM information_schema.tables", "no view"),
        ("WITH duckdb_views AS (SELECT * FROM duckdb_views) SELECT * FROM duckdb_views", "."),
        ("SELECT * FROM (WITH sqlite_master AS (SELECT 1) SELECT 1), sqlite_master", "no view"),
        ("SELECT * FROM '/etc/passwd'", "no view"),
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
        ("SELECT * FROM glob('/*')", "glob"),
        ("SELECT * FROM duckdb_tables()", "duckdb_tables"),
        ("SELECT * FROM query('SELECT * FROM data.runs')", "query"),
        ("SELECT * FROM query_table('data.runs')", "query_table"),
        ("SELECT getenv('HOME')", "getenv"),
        ("SELECT current_setting('temp_directory')", "current_setting"),
        ("SHOW TABLES", "SHOW"),
        ("SHOW ALL TABLES", "SHOW"),
        ("DESCRIBE data.runs", "no view"),
    ],
)
def test_anything_else_is_refused(filled: Store, query: str, message: str) -> None:
    """It is refused in words, and nothing has changed."""
    with pytest.raises(QueryError, match=message):
        filled.sql(query).result(WAIT)
    assert filled.sql("SELECT count(*), any_value(status) FROM runs").result(WAIT).rows == [
        [3, "succeeded"]
    ]


def test_the_database_itself_reads_no_files(filled: Store, tmp_path: Path) -> None:
    """Behind the guard, DuckDB's own access to files is shut and its configuration locked."""
    import duckdb

    from warmcell_server.store.database import connect
    from warmcell_server.store.files import prepare

    connection = connect(prepare(tmp_path / "another"))
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for query in (
        f"SELECT * FROM read_text('{secret}')",
        f"SELECT * FROM '{secret}'",
        f"ATTACH '{tmp_path / 'x.duckdb'}'",
        f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(query).fetchall()
    connection.execute(f"COPY (SELECT 1) TO '{tmp_path / 'another' / 'export' / 'x.csv'}'")
    connection.close()


def test_python_variables_are_not_tables(filled: Store) -> None:
    """DuckDB's search through the caller's frames for a table of that name is off."""
    with pytest.raises(QueryError, match="no view 'frame'"):
        filled.sql("SELECT * FROM frame").result(WAIT)


def test_a_query_is_stopped_at_its_deadline(filled: Store) -> None:
    """An endless query ends with an error that names the limit, and the store lives on."""
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1::HUGEINT UNION ALL SELECT i + 1 FROM n) "
        "SELECT count(*) FROM n"
    )
    for query in (endless, "SELECT count(*) FROM range(10000000) a, range(10000000) b"):
        with pytest.raises(QueryError, match=r"more than 0\.2 s"):
            filled.sql(query, timeout=0.2).result(WAIT)
    assert len(filled.list_runs().result(WAIT)) == 3


def test_rows_are_bounded(filled: Store) -> None:
    """No more than ``limit`` rows come back, and it is said that there were more."""
    table = filled.sql("SELECT * FROM range(5000) t(i)", limit=1234).result(WAIT)
    assert len(table.rows) == 1234
    assert table.truncated
    table = filled.sql("SELECT * FROM range(5) t(i)", limit=5).result(WAIT)
    assert not table.truncated


def test_cells_are_json(filled: Store) -> None:
    """Every type of DuckDB has a JSON form; the columns keep DuckDB's names of the types."""
    table = filled.sql(
        "SELECT TIMESTAMP '2026-01-02 03:04:05.678' AS a, "
        "DATE '2026-01-02' AS b, 1.5::DECIMAL AS c,"
        " 'nan'::DOUBLE AS d, [1, NULL] AS e, {'k': DATE '2026-01-02'} AS f, "
        "INTERVAL 90 SECOND AS g,"
        " '\\x00\\xff'::BLOB AS h, 2::HUGEINT ** 70 AS i, MAP {'k': 1} AS j, parameters AS k,"
        " '12345678-1234-5678-1234-567812345678'::UUID AS l, TRUE AS m, TIME '01:02:03' AS n "
        "FROM runs LIMIT 1"
    ).result(WAIT)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["a"] == "2026-01-02T03:04:05.678000Z"
    assert row["b"] == "2026-01-02"
    assert row["c"] == 1.5
    assert row["d"] is None
    assert row["e"] == [1, None]
    assert row["f"] == {"k": "2026-01-02"}
    assert row["g"] == 90.0
    assert row["h"] == "AP8="
    assert row["i"] == 2.0**70
    assert row["j"] == {"k": 1}
    assert row["k"] == {"x": 1}
    assert row["l"] == "12345678-1234-5678-1234-567812345678"
    assert row["m"] is True
    assert row["n"] == "01:02:03"
    assert table.types[0] == "TIMESTAMP"


def test_a_deeply_nested_query_is_refused(filled: Store) -> None:
    """Neither the guard nor the parser falls over a query of a thousand brackets."""
    query = "SELECT " + "(SELECT " * 900 + "1" + ")" * 900
    with pytest.raises(QueryError):
        filled.sql(query).result(WAIT)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 2000000000)",
        "SELECT repeat('x', length(run_id) * 100000000) FROM runs",
        "SELECT lpad('x', 500000000, 'y')",
        "SELECT length(rpad(run_id, 1000 * 1000 * 1000, 'y')) FROM runs",
        "SELECT unnest(range(1000000000))",
        "SELECT len(generate_series(0, 1000000000))",
        "SELECT list_resize([1], 1000000000)",
        "SELECT printf('%300000000d', 1)",
        "SELECT format('{:300000000d}', 1)",
        "SELECT 'x'.repeat(2000000000)",
    ],
)
def test_what_makes_a_huge_value_in_one_go_is_refused(filled: Store, query: str) -> None:
    """DuckDB's limit of memory does not know of these."""
    with pytest.raises(QueryError, match="at most 100,000"):
        filled.sql(query).result(WAIT)


def test_small_values_are_made_as_ever(filled: Store) -> None:
    """And rows have no bound."""
    table = filled.sql(
        "SELECT repeat('x', 3), lpad('7', 3, '0'), printf('%05.2f', 1.5), format('{:>4}', 'a'), "
        "len(range(10)), (SELECT count(*) FROM range(2000000))"
    ).result(WAIT)
    assert table.rows == [["xxx", "007", "01.50", "   a", 10, 2_000_000]]


def test_an_answer_is_bounded_in_bytes(filled: Store) -> None:
    """However large its rows are, and it is said that there were more."""
    table = filled.sql("SELECT repeat('x', 100000) AS s FROM range(2000)").result(WAIT)
    assert table.truncated
    size = sum(len(row[0]) for row in table.rows)
    assert sql.MAX_BYTES // 2 < size <= sql.MAX_BYTES


def test_a_query_that_takes_all_memory_hurts_itself_alone(filled: Store) -> None:
    """Records come in and are read while it grows, and it is told why it ended."""
    hungry = "SELECT len(list(repeat('x', 1000) || i)) FROM range(100000000) t(i)"
    eating = filled.sql(hungry)
    known = 3
    while not eating.done():
        filled.append(entry(run(), detail(2)))
        known += 1
        assert len(filled.list_runs(limit=1000).result(WAIT)) == min(known, 1000)
    with pytest.raises(QueryError, match="memory"):
        eating.result(WAIT)
    assert not filled.sql("SELECT * FROM errors").result(WAIT).rows, "no record was refused"


def test_queries_that_take_for_ever_keep_nobody_waiting(filled: Store) -> None:
    """Lists and runs are read while as many queries run as may."""
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
    running = [filled.sql(endless, timeout=3.0) for _ in range(4)]
    [first, *_] = filled.list_runs().result(WAIT)
    assert filled.get_run(first["run_id"]).result(WAIT)["steps"]
    assert not any(one.done() for one in running)
    for one in running:
        with pytest.raises(QueryError, match="more than 3 s"):
            one.result(WAIT)


def test_a_query_is_stopped_when_the_process_grows(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever makes it grow."""
    monkeypatch.setattr(sql, "GROWTH", -(1 << 40))
    with pytest.raises(QueryError, match="memory that others need"):
        filled.sql("SELECT count(*) FROM range(10000000) a, range(10000000) b").result(WAIT)
