# ActiveRecord: reading and writing, with prepared statements as it has them by default.
require_relative "active_record_fixture"

class ActiveRecordQueriesTest < RecordTest
  def people
    @people ||= model { |t| t.string :name, index: { unique: true }; t.integer :age; t.timestamps null: false }
  end

  def fill(count)
    now = Time.now.utc
    people.insert_all(Array.new(count) { |n| { name: "name #{n}", age: n % 90, created_at: now, updated_at: now } })
  end

  def test_statements_are_prepared
    assert connection.prepared_statements
    fill(50)
    3.times do
      50.times do |n|
        assert_equal n, people.find_by(name: "name #{n}").age
        assert_equal "name #{n}", people.find(people.where(name: "name #{n}").pick(:id)).name
      end
    end
    person = people.create!(name: "new", age: 1)
    20.times { |n| person.update!(age: n); assert_equal n, person.reload.age }
    person.destroy!
    assert_raises(ActiveRecord::RecordNotFound) { people.find(person.id) }
    assert_equal 5, people.where(age: 3..7).limit(5).order(:id).to_a.size
    assert_equal [0, 1, 2], people.where(age: [0, 1, 2]).order(:age).pluck(:age)
  end

  # More statements than it keeps: it sends DEALLOCATE.
  def test_a_small_statement_pool
    use(**CONFIG, statement_limit: 3)
    fill(20)
    5.times do |round|
      people.column_names.permutation(2) { |first, second| assert_equal 20, people.select(first, second).where("age >= ?", round - 5).where(age: -5..99).to_a.size }
      assert_equal 5, people.find_by(name: "name 5").age
      assert_equal 20, people.where(age: -round..99).count
      assert_equal 20 - round, people.where.not(age: 0...round).count
    end
  end

  def test_without_prepared_statements
    use(**CONFIG, prepared_statements: false)
    fill(20)
    20.times { |n| assert_equal n, people.find_by(name: "name #{n}").age }
    assert_equal 0, connection.select_value("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'a%'")
  end

  def test_batches
    fill(1050)
    assert_equal 1050, people.find_each(batch_size: 100).map(&:id).uniq.size
    assert_equal [500, 500, 50], people.in_batches(of: 500).map(&:count)
    people.in_batches(of: 400) { |batch| batch.update_all(age: 7) }
    assert_equal 1050, people.where(age: 7).count
    assert_equal 1050, people.in_batches(of: 300).delete_all
  end

  def test_insert_all_and_upsert_all
    fill(1000)
    now = Time.now.utc
    rows = Array.new(20) { |n| { name: "name #{n}", age: 200 + n, created_at: now, updated_at: now } }
    assert_equal 0, people.insert_all(rows).length
    assert_equal 20, people.upsert_all(rows, unique_by: :name, returning: %i[id age]).length
    assert_equal 20, people.where(age: 200..).count
    error = assert_raises(ActiveRecord::RecordNotUnique) { people.insert_all!(rows) }
    assert_kind_of PG::UniqueViolation, error.cause
    assert_equal 1000, people.count
  end

  def test_query_cache
    fill(3)
    queries = 0
    subscriber = ActiveSupport::Notifications.subscribe("sql.active_record") { |*, payload| queries += 1 unless payload[:cached] || payload[:name] == "SCHEMA" }
    people.cache do
      people.find_by(name: "name 1")
      queries = 0
      5.times { assert_equal 1, people.find_by(name: "name 1").age }
      assert_equal 0, queries
      people.where(name: "name 1").update_all(age: 50)
      connection.clear_query_cache
      assert_equal 50, people.find_by(name: "name 1").age
    end
  ensure
    ActiveSupport::Notifications.unsubscribe(subscriber)
  end

  def test_types
    mood = unique("mood")
    connection.execute("CREATE TYPE #{mood} AS ENUM ('sad', 'happy')")
    thing = model(id: :uuid) do |t|
      t.column :mood, mood
      t.integer :numbers, array: true
      t.string :words, array: true, default: []
      t.jsonb :document
      t.json :plain
      t.binary :bytes
      t.decimal :price, precision: 20, scale: 5
      t.bigint :big
      t.float :float
      t.boolean :flag
      t.date :day
      t.time :hour
      t.datetime :moment, precision: 6
      t.inet :address
      t.int4range :span
      t.tsvector :vector
      t.xml :xml
      t.point :place
      t.bit :bits, limit: 5
    end
    values = {
      mood: "happy", numbers: [1, nil, -3], words: ["a b", "\"", "{}"], document: { "a" => [1, nil, { "b" => "ü" }] }, plain: [1, "x"],
      bytes: "\0\x01\xFE\xFF".b, price: BigDecimal("-123456789012345.67891"), big: 2**63 - 1, float: 1.5e300, flag: true,
      day: Date.new(2024, 2, 29), moment: Time.utc(2024, 2, 29, 12, 34, 56.789012r),
      span: 1...10, vector: "'a':1 'cat':2", xml: "<a>b</a>", place: ActiveRecord::Point.new(1.5, -2), bits: "10110"
    }
    10.times do
      found = thing.find(thing.create!(values).id)
      values.each { |name, value| assert_equal value, found.public_send(name), name }
      found.update!(address: "192.0.2.1/24", hour: "12:34")
      assert_equal [IPAddr.new("192.0.2.0/24"), 12], [found.reload.address, found.hour.hour]
      found.update!(values.transform_values { nil })
      assert(values.keys.all? { |name| found.reload.public_send(name).nil? })
    end
    assert_equal 20, thing.where("? = ANY (coalesce(words, '{x}'))", "x").or(thing.where(mood: nil)).count * 2
    assert_raises(ActiveRecord::StatementInvalid) { thing.create!(mood: "angry") }
    assert_raises(ActiveRecord::RangeError, ActiveModel::RangeError) { thing.where(big: 1).update_all(big: 2**64) }
  end

  def test_errors_are_translated
    parent = model { |t| t.string :name, limit: 5, null: false }
    child = model { |t| t.references :parent, foreign_key: { to_table: parent.table_name } }
    assert_raises(ActiveRecord::NotNullViolation) { parent.create!(name: nil) }
    assert_raises(ActiveRecord::ValueTooLong) { parent.create!(name: "too long") }
    assert_raises(ActiveRecord::InvalidForeignKey) { child.create!(parent_id: 4711) }
    assert_raises(ActiveRecord::StatementInvalid) { parent.where("no_such_column = 1").to_a }
    assert_equal 0, parent.count + child.count
    assert_match(/Seq Scan|Index/, parent.where(name: "x").explain)
  end
end
