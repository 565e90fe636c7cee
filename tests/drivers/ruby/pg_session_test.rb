# Ruby's pg: transactions, COPY, cancel, notifications, large objects, state of the session.
require_relative "fixture"

class PgSessionTest < DriverTest
  def table(conn)
    table = unique("session")
    conn.exec("CREATE TABLE #{table} (n int, word text)")
    table
  end

  def count(conn, table)
    value(conn, "SELECT count(*) FROM #{table}").to_i
  end

  def test_transactions
    conn = connect
    table = table(conn)
    assert_equal :done, (conn.transaction { |it| it.exec("INSERT INTO #{table} VALUES (1)"); :done })
    assert_raises(ZeroDivisionError) { conn.transaction { |it| it.exec("INSERT INTO #{table} VALUES (2)"); 1 / 0 } }
    assert_raises(PG::InFailedSqlTransaction) do
      conn.transaction do |it|
        assert_raises(PG::DivisionByZero) { it.exec("SELECT 1/0") }
        assert_equal PG::PQTRANS_INERROR, it.transaction_status
        it.exec("SELECT 1")
      end
    end
    assert_equal PG::PQTRANS_IDLE, conn.transaction_status
    conn.transaction do |it|
      it.exec("SAVEPOINT a; INSERT INTO #{table} VALUES (3); SAVEPOINT b")
      assert_raises(PG::InvalidTextRepresentation) { it.exec_params("INSERT INTO #{table} VALUES ($1)", ["x"]) }
      it.exec("ROLLBACK TO b; RELEASE a")
    end
    assert_equal 2, count(conn, table)
  end

  def test_copy
    conn = connect
    table = table(conn)
    lines = Array.new(20_000) { |n| "#{n}\tline #{n}\n" }
    result = conn.copy_data("COPY #{table} FROM STDIN") { lines.each { |it| conn.put_copy_data(it) } }
    assert_equal 20_000, result.cmd_tuples
    got = []
    conn.copy_data("COPY (SELECT * FROM #{table} ORDER BY n) TO STDOUT") do
      while (line = conn.get_copy_data)
        got << line
      end
    end
    assert lines == got, "what comes out is not what went in"
    rows = conn.copy_data("COPY #{table} FROM STDIN (FORMAT csv)", PG::TextEncoder::CopyRow.new(delimiter: ",", null_string: "")) do
      3.times { |n| conn.put_copy_data([n, nil]) }
    end
    assert_equal 3, rows.cmd_tuples
  end

  def test_binary_copy
    conn = connect
    table = table(conn)
    encoder = PG::BinaryEncoder::CopyRow.new(type_map: PG::TypeMapByColumn.new([PG::BinaryEncoder::Int4.new, PG::BinaryEncoder::String.new]))
    encoded = Array.new(1000) { |n| encoder.encode([n, n.even? ? nil : "word #{n}"]) }
    conn.copy_data("COPY #{table} FROM STDIN (FORMAT binary)") do
      conn.put_copy_data("PGCOPY\n\xFF\r\n\0".b + [0, 0].pack("NN"))
      encoded.each { |it| conn.put_copy_data(it) }
      conn.put_copy_data([-1].pack("n"))
    end
    assert_equal [1000, 500, 499_500], conn.exec("SELECT count(*), count(word), sum(n) FROM #{table}").values[0].map(&:to_i)
  rescue NameError
    # This version of pg has no encoder of binary rows: the same bytes by hand.
    conn.exec("TRUNCATE #{table}")
    conn.copy_data("COPY #{table} FROM STDIN (FORMAT binary)") do
      conn.put_copy_data("PGCOPY\n\xFF\r\n\0".b + [0, 0].pack("NN"))
      conn.put_copy_data([2, 4, 7, 2, "ab"].pack("nNNNa*"))
      conn.put_copy_data([-1].pack("n"))
    end
    assert_equal %w[7 ab], conn.exec("SELECT * FROM #{table}").values[0]
  end

  def test_copy_that_fails
    conn = connect
    table = table(conn)
    5.times do |n|
      assert_raises(ZeroDivisionError) do
        conn.copy_data("COPY #{table} FROM STDIN") { n.times { conn.put_copy_data("1\tx\n") }; 1 / 0 }
      end
      assert_raises(PG::InvalidTextRepresentation) do
        conn.copy_data("COPY #{table} FROM STDIN") { (n * 1000).times { conn.put_copy_data("1\tx\n") }; conn.put_copy_data("no\tx\n") }
      end
      assert_raises(PG::NotAllCopyDataRetrieved) do
        conn.copy_data("COPY (SELECT generate_series(1, 100)) TO STDOUT") { conn.get_copy_data }
      end
      assert_raises(PG::UndefinedTable) { conn.copy_data("COPY no_such_table FROM STDIN") { nil } }
      assert_equal 0, count(conn, table)
    end
  end

  def test_cancel
    conn = connect
    observer = connect
    3.times do
      mark = unique("mark")
      conn.send_query("SELECT pg_sleep(30) /* #{mark} */")
      wait_until("the statement to run") do
        sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%/* #{mark} */%' AND pid <> pg_backend_pid()"
        observer.exec(sql).getvalue(0, 0) != "0"
      end
      assert_nil conn.cancel
      assert_raises(PG::QueryCanceled) { conn.get_last_result }
      assert_usable conn
    end
    # With nothing under way a cancel hits nobody.
    10.times do
      conn.cancel
      assert_usable observer
    end
  end

  def test_time_limits
    conn = connect(options: "-c statement_timeout=300")
    3.times { assert_raises(PG::QueryCanceled) { conn.exec("SELECT pg_sleep(30)") } }
    conn.transaction { |it| it.exec("SET LOCAL statement_timeout = 0"); it.exec("SELECT pg_sleep(0.4)") }
    assert_equal "300ms", value(conn, "SHOW statement_timeout")
    # Ruby's own timeout interrupts the wait, and the connection is used again.
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { connect.exec("SELECT pg_sleep(30)") } }
    assert_usable conn
  end

  def test_notifications
    conn = connect
    other = connect
    channel = unique("channel")
    conn.exec("LISTEN #{channel}")
    10.times do |n|
      other.exec_params("SELECT pg_notify($1, $2)", [channel, n.to_s])
      heard = nil
      assert_equal channel, conn.wait_for_notify(10) { |_, _, payload| heard = payload }
      assert_equal n.to_s, heard
      assert_usable conn
    end
    conn.exec("UNLISTEN *")
    other.exec("NOTIFY #{channel}")
    assert_nil conn.wait_for_notify(0.1)
  end

  def test_notices
    conn = connect
    heard = []
    conn.set_notice_receiver { |result| heard << result.error_field(PG::PG_DIAG_MESSAGE_PRIMARY) }
    conn.exec("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")
    conn.exec("SET client_min_messages = error; DO $$ BEGIN RAISE WARNING 'three'; END $$")
    assert_equal %w[one two], heard
  end

  # libpq reads and writes them by FunctionCall.
  def test_large_objects
    conn = connect
    data = Random.bytes(500_000)
    oid = conn.transaction do |it|
      oid = it.lo_creat
      object = it.lo_open(oid, PG::INV_WRITE)
      data.scan(/.{1,8000}/mn) { |part| it.lo_write(object, part) }
      it.lo_close(object)
      oid
    end
    conn.transaction do |it|
      object = it.lo_open(oid, PG::INV_READ)
      assert data == it.lo_read(object, 1_000_000), "the object has changed on the way"
      it.lo_lseek(object, 100, PG::SEEK_SET)
      assert_equal data[100, 10], it.lo_read(object, 10)
      assert_equal 110, it.lo_tell(object)
    end
    conn.lo_unlink(oid)
    assert_raises(PG::Error) { conn.transaction { |it| it.lo_open(oid, PG::INV_READ) } }
    assert_usable conn
  end

  def test_state
    conn = connect(application_name: "suite", options: "-c search_path=pg_catalog -c work_mem=5MB")
    other = connect
    conn.exec("SET TIME ZONE 'Asia/Kathmandu'")
    conn.exec("CREATE TEMP TABLE temporary (n int)")
    conn.exec("DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)")
    conn.exec("SELECT pg_advisory_lock(815)")
    conn.exec("PREPARE twice (int) AS SELECT $1 * 2")
    5.times do |n|
      assert_equal %w[suite pg_catalog 5MB Asia/Kathmandu],
                   %w[application_name search_path work_mem TimeZone].map { |it| value(conn, "SHOW #{it}") }
      assert_equal 1, conn.exec_params("INSERT INTO temporary VALUES ($1)", [n]).cmd_tuples
      assert_equal (n + 1).to_s, conn.exec("FETCH 1 FROM held").getvalue(0, 0)
      assert_equal "f", value(other, "SELECT pg_try_advisory_lock(815)")
      assert_equal (n * 2).to_s, conn.exec("EXECUTE twice(#{n})").getvalue(0, 0)
      refute_equal "Asia/Kathmandu", value(other, "SHOW TimeZone")
    end
    assert_equal "Asia/Kathmandu", conn.parameter_status("TimeZone")
    conn.exec("DISCARD ALL")
    assert_raises(PG::UndefinedTable) { conn.exec("SELECT * FROM temporary") }
    assert_equal "t", value(other, "SELECT pg_try_advisory_lock(815)")
    assert_equal "t", value(other, "SELECT pg_advisory_unlock(815)")
  end

  def test_reset_and_lost_connections
    conn = connect
    other = connect
    conn.exec("BEGIN")
    pid = value(conn, "SELECT pg_backend_pid()")
    other.exec_params("SELECT pg_terminate_backend($1)", [pid])
    assert_raises(PG::UnableToSend, PG::ConnectionBad, PG::AdminShutdown) { 2.times { conn.exec("SELECT pg_sleep(1)") } }
    conn.reset
    assert_equal PG::CONNECTION_OK, conn.status
    assert_usable conn
    assert_raises(PG::ConnectionBad) { PG.connect(password: "wrong") }
    assert_usable other
  end
end
