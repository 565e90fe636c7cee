# Ruby's pg: statements, types in text and binary, errors, several results.
require_relative "fixture"

class PgQueriesTest < DriverTest
  def test_parameters
    conn = connect
    50.times do |n|
      result = conn.exec_params("SELECT $1::int + 1, $2::text, $3::bytea", [n, "it's #{n} 🐘", { value: "\0\xFF".b, format: 1 }])
      assert_equal [(n + 1).to_s, "it's #{n} 🐘", "\\x00ff"], result.values[0]
    end
    assert_nil value(conn, "SELECT $1::text", [nil])
  end

  def test_binary_results
    conn = connect
    result = conn.exec_params("SELECT 258::int4, 'ab'::text, '\\x0001ff'::bytea, 1.5::float8, true", [], 1)
    assert_equal [[0, 0, 1, 2].pack("C*"), "ab".b, "\x00\x01\xFF".b, [1.5].pack("G"), "\x01".b], result.values[0].map(&:b)
  end

  def test_type_maps
    conn = connect
    conn.type_map_for_results = PG::BasicTypeMapForResults.new(conn)
    conn.type_map_for_queries = PG::BasicTypeMapForQueries.new(conn)
    row = [1, -2.5, true, nil, "text", [1, 2, nil], ["a b", "\""], Time.at(0).utc]
    20.times do
      result = conn.exec_params("SELECT $1::int8, $2::float8, $3::bool, $4::text, $5::text, $6::int8[], $7::text[], $8::timestamptz", row)
      assert_equal row, result.values[0]
    end
    assert_equal [Date.new(2024, 2, 29), { "a" => [1, nil] }, "192.0.2.1"],
                 conn.exec("SELECT '2024-02-29'::date, '{\"a\": [1, null]}'::json, '192.0.2.1'::inet").values[0].map { |it| it.is_a?(IPAddr) ? it.to_s : it }
  end

  def test_prepared_statements
    conn = connect
    conn.prepare("plus", "SELECT $1::int + $2::int")
    description = conn.describe_prepared("plus")
    assert_equal [2, 1], [description.nparams, description.nfields]
    100.times { |n| assert_equal (n + 7).to_s, conn.exec_prepared("plus", [n, 7]).getvalue(0, 0) }
    error = assert_raises(PG::DuplicatePstatement) { conn.prepare("plus", "SELECT 1") }
    assert_match(/plus/, error.message)
    300.times { |n| conn.prepare("s#{n}", "SELECT #{n}, $1::text") }
    299.downto(0) { |n| assert_equal [n.to_s, "x"], conn.exec_prepared("s#{n}", ["x"]).values[0] }
    conn.exec("DEALLOCATE ALL")
    assert_raises(PG::InvalidSqlStatementName) { conn.exec_prepared("s0", ["x"]) }
    assert_usable conn
  end

  def test_deallocate
    conn = connect
    10.times do |n|
      conn.prepare("plus", "SELECT $1::int + #{n}")
      assert_equal (n + 7).to_s, conn.exec_prepared("plus", [7]).getvalue(0, 0)
      conn.exec("DEALLOCATE plus")
      assert_raises(PG::InvalidSqlStatementName) { conn.exec_prepared("plus", [1]) }
    end
  end

  # Parse and Sync, then Bind and Execute and Sync, of the unnamed statement.
  def test_the_unnamed_statement
    conn = connect
    20.times do |n|
      conn.prepare("", "SELECT #{n} + $1::int")
      assert_equal 1, conn.describe_prepared("").nparams
      3.times do |m|
        sleep 0.002
        assert_equal (n + m).to_s, conn.exec_prepared("", [m]).getvalue(0, 0)
      end
    end
  end

  def test_errors_have_their_fields
    conn = connect
    table = unique("errors")
    conn.exec("CREATE TABLE #{table} (n int PRIMARY KEY)")
    conn.exec("INSERT INTO #{table} VALUES (1)")
    error = assert_raises(PG::UniqueViolation) { conn.exec_params("INSERT INTO #{table} VALUES ($1)", [1]) }
    field = ->(code) { error.result.error_field(code) }
    assert_equal ["23505", "Key (n)=(1) already exists.", "#{table}_pkey", table],
                 [PG::PG_DIAG_SQLSTATE, PG::PG_DIAG_MESSAGE_DETAIL, PG::PG_DIAG_CONSTRAINT_NAME, PG::PG_DIAG_TABLE_NAME].map(&field)
    error = assert_raises(PG::UndefinedColumn) { conn.exec("SELECT nn FROM #{table}") }
    assert_equal "8", error.result.error_field(PG::PG_DIAG_STATEMENT_POSITION)
    5.times do
      assert_raises(PG::DivisionByZero) { conn.exec_params("SELECT 1 / $1::int", [0]) }
      assert_raises(PG::SyntaxError) { conn.exec("SELEC") }
      assert_raises(PG::InvalidTextRepresentation) { conn.exec_params("SELECT $1::int", ["x"]) }
      assert_usable conn
    end
  end

  def test_several_results
    conn = connect
    conn.send_query("SELECT 1; SELECT 2 WHERE false; SELECT 3; SELECT 1/0; SELECT 4")
    statuses = []
    while (result = conn.get_result)
      statuses << result.result_status
    end
    assert_equal [PG::PGRES_TUPLES_OK] * 3 + [PG::PGRES_FATAL_ERROR], statuses
    assert_equal "2", conn.exec("SELECT 1; SELECT 2").getvalue(0, 0)
    assert_equal PG::PGRES_EMPTY_QUERY, conn.exec("").result_status
  end

  def test_single_rows
    conn = connect
    conn.send_query_params("SELECT generate_series(1, $1::int)", [5000])
    conn.set_single_row_mode
    sum = 0
    conn.get_result.stream_each_row { |row| sum += row[0].to_i }
    conn.get_result
    assert_equal 5000 * 5001 / 2, sum
    # Left half way.
    conn.send_query("SELECT generate_series(1, 100000)")
    conn.set_single_row_mode
    10.times { |n| assert_equal (n + 1).to_s, conn.get_result.getvalue(0, 0) }
    conn.discard_results
    assert_usable conn
    conn.send_query("SELECT 1 / (50 - n) FROM generate_series(1, 100) n")
    conn.set_single_row_mode
    assert_raises(PG::DivisionByZero) do
      while (result = conn.get_result)
        result.check
      end
    end
    conn.discard_results
    assert_usable conn
  end

  def test_pipeline_mode
    conn = connect
    conn.enter_pipeline_mode
    conn.send_prepare("piped", "SELECT $1::int * 2")
    50.times { |n| conn.send_query_prepared("piped", [n]) }
    conn.pipeline_sync
    # An error ends its segment; the next segment is good.
    conn.send_query_params("SELECT 1 / $1::int", [0])
    conn.send_query_params("SELECT 'skipped'", [])
    conn.pipeline_sync
    conn.send_query_params("SELECT 'after'", [])
    conn.send_flush_request
    conn.pipeline_sync
    results = []
    while results.count { |it| it == PG::PGRES_PIPELINE_SYNC } < 3
      result = conn.get_result or next
      status = result.result_status
      results << (status == PG::PGRES_TUPLES_OK ? result.getvalue(0, 0) : status)
    end
    conn.exit_pipeline_mode
    expected = [PG::PGRES_COMMAND_OK] + Array.new(50) { |n| (n * 2).to_s } +
               [PG::PGRES_PIPELINE_SYNC, PG::PGRES_FATAL_ERROR, PG::PGRES_PIPELINE_ABORTED, PG::PGRES_PIPELINE_SYNC, "after", PG::PGRES_PIPELINE_SYNC]
    assert_equal expected, results
    assert_usable conn
  end

  def test_encodings
    conn = connect
    conn.set_client_encoding("LATIN1")
    10.times do
      result = conn.exec("SELECT 'gr\u00fc\u00df'".encode("ISO-8859-1"))
      assert_equal "gr\xFC\xDF".b, result.getvalue(0, 0).b
    end
    conn.set_client_encoding("UTF8")
    assert_equal "grüß", value(conn, "SELECT $1::text", ["grüß"])
    assert_equal "UTF8", conn.parameter_status("client_encoding")
    assert_equal "it''s", conn.escape_string("it's")
    assert_equal "1", value(connect, "SELECT 1")
  end

  def test_large_values
    conn = connect
    text = "0123456789" * 5_000_000
    result = conn.exec_params("SELECT $1::text", [text])
    assert text == result.getvalue(0, 0), "the text has changed on the way"
    result.clear
    bytes = Random.bytes(20_000_000)
    result = conn.exec_params("SELECT $1::bytea", [{ value: bytes, format: 1 }], 1)
    assert bytes == result.getvalue(0, 0), "the bytes have changed on the way"
    padding = "x" * 3_000_000
    assert_equal "3000000", conn.exec("SELECT length('#{padding}')").getvalue(0, 0)
    assert_usable conn
  end
end
