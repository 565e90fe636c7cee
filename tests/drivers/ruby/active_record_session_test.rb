# ActiveRecord: transactions, migrations, settings, connections that end.
require_relative "active_record_fixture"

class ActiveRecordSessionTest < RecordTest
  def things
    @things ||= model { |t| t.integer :number; t.string :word; t.index :number, unique: true }
  end

  def numbers
    things.order(:number).pluck(:number)
  end

  def test_nested_transactions
    things.transaction do
      things.create!(number: 1)
      assert_raises(ActiveRecord::RecordNotUnique) { things.transaction(requires_new: true) { things.create!(number: 1) } }
      things.transaction(requires_new: true) { things.create!(number: 2); raise ActiveRecord::Rollback }
      things.transaction(requires_new: true) { things.transaction(requires_new: true) { things.create!(number: 3) } }
      things.transaction { things.create!(number: 4) }
    end
    assert_equal [1, 3, 4], numbers
    assert_raises(RuntimeError) { things.transaction { things.create!(number: 5); raise "given up" } }
    things.transaction(isolation: :serializable) { assert_equal "serializable", show("transaction_isolation") }
    assert_equal "read committed", show("transaction_isolation")
    assert_equal [1, 3, 4], numbers
  end

  def test_locks
    thing = things.create!(number: 1)
    thing.with_lock do
      other = Thread.new do
        things.connection_pool.with_connection do
          assert_empty things.lock("FOR UPDATE SKIP LOCKED").to_a
          assert_raises(ActiveRecord::LockWaitTimeout) { things.transaction { things.lock("FOR UPDATE NOWAIT").to_a } }
          things.create!(number: 2)
        end
      end
      other.join
      thing.update!(word: "locked")
    end
    assert_equal [1, 2], numbers
  end

  def test_deadlocks_are_told
    first = things.create!(number: 1)
    second = things.create!(number: 2)
    ready = Queue.new
    go = Queue.new
    outcomes = [[first, second], [second, first]].map do |one, two|
      Thread.new do
        things.connection_pool.with_connection do |conn|
          things.transaction do
            conn.execute("SET LOCAL lock_timeout = 0")
            things.where(id: one.id).update_all(word: "x")
            ready << true
            go.pop
            things.where(id: two.id).update_all(word: "y")
          end
          :committed
        rescue ActiveRecord::Deadlocked
          :deadlocked
        end
      end
    end
    2.times { ready.pop }
    2.times { go << true }
    assert_equal %i[committed deadlocked], outcomes.map(&:value).sort
  end

  def migration(version, name, &change)
    Class.new(ActiveRecord::Migration[6.1]) do
      define_method(:change, &change)
      define_singleton_method(:name) { name }
    end.new(name, version)
  end

  def migrate(direction, migrations, target = nil)
    schema = connection.schema_migration
    schema.create_table
    ActiveRecord::InternalMetadata.create_table
    ActiveRecord::Migrator.new(direction, migrations, schema, target).migrate
  end

  # They run under an advisory lock of the session, on a connection of its own.
  def test_migrations
    table = unique("migrated")
    migrations = [
      migration(1, "First") { create_table(table) { |t| t.string :name } },
      migration(2, "Second") { add_column table, :age, :integer, default: 7; add_index table, :age },
      migration(3, "Third") { add_reference table, :parent, foreign_key: { to_table: table }; rename_column table, :name, :title }
    ]
    migrate(:up, migrations)
    assert_equal %w[age id parent_id title], connection.columns(table).map(&:name).sort
    migrate(:down, migrations, 1)
    assert_equal %w[id name], connection.columns(table).map(&:name).sort
    migrate(:up, migrations)
    dump = StringIO.new
    ActiveRecord::SchemaDumper.dump(connection, dump)
    assert_match(/create_table "#{table}".*t.string "title"/m, dump.string)
    migrate(:down, migrations, 0)
    refute connection.table_exists?(table)
  end

  def test_one_migration_at_a_time
    entered = Queue.new
    leave = Queue.new
    slow = [migration(11, "Slow") { entered << true; leave.pop }]
    schema = connection.schema_migration
    schema.create_table
    ActiveRecord::InternalMetadata.create_table
    first = Thread.new { ActiveRecord::Base.connection_pool.with_connection { ActiveRecord::Migrator.new(:up, slow, schema, 11).migrate } }
    entered.pop
    assert_raises(ActiveRecord::ConcurrentMigrationError) { ActiveRecord::Migrator.new(:up, [migration(12, "Other") { nil }], schema).migrate }
    leave << true
    first.join
    # Free again.
    ActiveRecord::Migrator.new(:up, slow + [migration(12, "Other") { nil }], schema).migrate
    assert connection.get_advisory_lock(4711)
    assert connection.release_advisory_lock(4711)
  end

  # Another program's migration under a running one: prepared statements expire, and it goes on.
  def test_a_table_that_changes
    things.create!(number: 1)
    other = connect
    3.times do |n|
      3.times { assert_equal 1, things.find_by(number: 1).number }
      other.exec("ALTER TABLE #{SCHEMA}.#{things.table_name} ADD COLUMN added_#{n} int DEFAULT 5")
      # It prepares anew by itself, except in a transaction.
      assert_equal 1, things.find_by(number: 1).number
      other.exec("ALTER TABLE #{SCHEMA}.#{things.table_name} ADD COLUMN more_#{n} int")
      assert_raises(ActiveRecord::PreparedStatementCacheExpired) { things.transaction { things.find_by(number: 1) } }
    end
    things.reset_column_information
    assert_equal 5, things.find_by(number: 1).added_2
  end

  def test_settings
    5.times do
      assert_equal ["15s", "3s", "iso_8601", "warning", "on", "UTC", SCHEMA],
                   %w[statement_timeout lock_timeout IntervalStyle client_min_messages standard_conforming_strings TimeZone search_path].map { |it| show(it) }
    end
    use(**CONFIG, variables: { statement_timeout: 300, work_mem: "7MB" }, min_messages: "error", encoding: "unicode")
    3.times { assert_raises(ActiveRecord::QueryCanceled) { connection.execute("SELECT pg_sleep(30)") } }
    assert_equal %w[7MB error UTF8], %w[work_mem client_min_messages client_encoding].map { |it| show(it) }
    connection.reconnect!
    assert_equal %w[300ms 7MB], %w[statement_timeout work_mem].map { |it| show(it) }
    connection.reset!
    assert_equal %w[300ms 7MB], %w[statement_timeout work_mem].map { |it| show(it) }
  end

  def test_temporary_tables
    connection.create_table(:passing, temporary: true) { |t| t.string :name }
    10.times { |n| connection.insert("INSERT INTO passing (name) VALUES ('#{n}')") }
    assert_equal 10, connection.select_value("SELECT count(*) FROM passing")
    connection.drop_table(:passing)
  end

  def test_lost_connections
    other = connect
    3.times do
      connection.begin_transaction(joinable: false)
      pid = connection.select_value("SELECT pg_backend_pid()")
      other.exec("SELECT pg_terminate_backend(#{pid})")
      assert_raises(ActiveRecord::StatementInvalid) { connection.execute("SELECT pg_sleep(1)") }
      refute connection.active?
      connection.reconnect!
      assert connection.active?
      assert_equal 1, connection.select_value("SELECT 1")
      connection.verify!
    end
    things.create!(number: 1)
    connection.disconnect!
    connection.reconnect!
    assert_equal [1], numbers
  end

  def test_threads_share_a_pool
    things.insert_all(Array.new(50) { |n| { number: n } })
    threads = Array.new(8) do |thread|
      Thread.new do
        20.times do |n|
          things.connection_pool.with_connection do
            number = (thread * 7 + n) % 50
            assert_equal number, things.find_by!(number: number).number
            things.transaction { things.where(number: number).update_all(word: "by #{thread}") } if n % 5 == 0
          end
        end
      end
    end
    threads.each(&:join)
    assert_operator things.connection_pool.stat[:size], :<=, 3
  end

  def test_schema_cache
    things.create!(number: 1)
    cache = connection.schema_cache
    cache.clear!
    3.times do
      assert_equal %w[id number word], cache.columns(things.table_name).map(&:name)
      assert_equal "id", cache.primary_keys(things.table_name)
      assert_equal 1, cache.indexes(things.table_name).size
      assert cache.data_source_exists?(things.table_name)
      cache.clear_data_source_cache!(things.table_name)
    end
    connection.add_column(things.table_name, :more, :text)
    things.reset_column_information
    things.create!(number: 2, more: "x")
    assert_equal [nil, "x"], things.order(:number).pluck(:more)
    assert_includes connection.tables, things.table_name
    assert_equal [], connection.foreign_keys(things.table_name)
  end
end
