# What the suites share: connections that end with their test, names of a test's own, and neighbours
# that make server connections change hands.
require "minitest/autorun"
require "pg"
require "securerandom"
require "timeout"

Thread.report_on_exception = false
# Our own lines only.
Minitest.backtrace_filter = Class.new do
  def filter(lines)
    ours = (lines || []).grep(/_test\.rb|fixture\.rb/)
    ours.empty? ? lines : ours
  end
end.new

class DriverTest < Minitest::Test
  # What takes longer hangs.
  PATIENCE = 60

  def run
    Timeout.timeout(PATIENCE, nil, "#{self.class}##{name} hangs") { super }
  end

  def teardown
    (@connections || []).each { |conn| conn.close unless conn.finished? }
  end

  # A connection of pg's, as the environment says.
  def connect(**options)
    conn = PG.connect(**options)
    (@connections ||= []) << conn
    conn
  end

  def unique(stem)
    "#{stem}_#{SecureRandom.hex(4)}"
  end

  def value(conn, sql, params = [])
    conn.exec_params(sql, params).getvalue(0, 0)
  end

  # The connection works, and what it gets is its own.
  def assert_usable(conn)
    number = SecureRandom.random_number(1 << 30).to_s
    assert_equal number, value(conn, "SELECT $1::text", [number])
  end

  # Waits for the block to be true.
  def wait_until(what)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    until yield
      flunk "waited in vain for #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      sleep 0.01
    end
  end
end

# Under transaction pooling the server connections thus change hands between any two transactions of a test, as they
# do under real load. A wrong reply to a neighbour ends the whole run.
2.times do |number|
  Thread.new do
    conn = PG.connect
    (0..).each do |count|
      text = "neighbour #{number} says #{count}"
      got = conn.exec_params("SELECT $1::text", [text]).getvalue(0, 0)
      raise "#{got.inspect} instead of #{text.inspect}" unless got == text

      sleep 0.004
    end
  rescue => error
    warn "neighbour #{number} failed: #{error.class}: #{error.message}"
    exit! 101
  end
end
