# ActiveRecord over the connection that the environment names, with a schema of its own for each run.
require_relative "fixture"
require "active_record"
require "logger"

ActiveRecord::Migration.verbose = false

class RecordTest < DriverTest
  SCHEMA = "rails_#{SecureRandom.hex(4)}"
  CONFIG = {
    adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"], password: ENV["PGPASSWORD"],
    database: ENV["PGDATABASE"], pool: 3, checkout_timeout: 20, schema_search_path: SCHEMA,
    variables: { statement_timeout: "15s", lock_timeout: 3000 }
  }.freeze

  PG.connect { |conn| conn.exec("CREATE SCHEMA #{SCHEMA}") }

  def setup
    use(**CONFIG)
  end

  def teardown
    ActiveRecord::Base.connection_handler.clear_all_connections!
    super
  end

  # Reconnects with these settings.
  def use(**config)
    ActiveRecord::Base.establish_connection(config)
    ActiveRecord::Base.descendants.each { |it| it.reset_column_information unless it.abstract_class? || it.anonymous? }
  end

  def connection
    ActiveRecord::Base.connection
  end

  def show(name)
    connection.select_value("SHOW #{name}")
  end

  # A table of its own and a class for it.
  def model(**options, &columns)
    table = unique("things")
    connection.create_table(table, **options, &columns)
    Class.new(ActiveRecord::Base) do
      self.table_name = table
      define_singleton_method(:name) { "Thing" }
    end
  end
end
