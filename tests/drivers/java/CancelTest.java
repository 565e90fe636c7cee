//! Cancelling, and limits of time.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class CancelTest {
    private static void awaitRunning(String mark) throws Exception {
        try (Connection observer = Fixture.connect()) {
            String sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%" + mark
                    + "%' AND pid <> pg_backend_pid()";
            while (Fixture.value(observer, sql).equals("0")) {
                TimeUnit.MILLISECONDS.sleep(10);
            }
        }
    }

    private static void cancelled(Connection connection) throws Exception {
        String mark = Fixture.unique("mark");
        try (Statement statement = connection.createStatement()) {
            CompletableFuture<Void> canceller = CompletableFuture.runAsync(() -> {
                try {
                    awaitRunning(mark);
                    statement.cancel();
                } catch (Exception failure) {
                    throw new IllegalStateException(failure);
                }
            });
            Fixture.fails("57014", () -> statement.execute("SELECT pg_sleep(30) /* " + mark + " */"));
            canceller.get(20, TimeUnit.SECONDS);
        }
    }

    @Test
    void cancel() throws Exception {
        try (Connection connection = Fixture.connect()) {
            for (int n = 0; n < 3; n++) {
                cancelled(connection);
                Fixture.usable(connection);
            }
        }
    }

    @Test
    void cancelInATransaction() throws Exception {
        try (Connection connection = Fixture.connect()) {
            connection.setAutoCommit(false);
            Fixture.usable(connection);
            Savepoint savepoint = connection.setSavepoint();
            cancelled(connection);
            Fixture.fails("25P02", () -> Fixture.value(connection, "SELECT 1"));
            connection.rollback(savepoint);
            Fixture.usable(connection);
            connection.commit();
        }
    }

    /** Late cancels hit nobody; the driver waits until the cancel's connection is closed. */
    @Test
    void cancelWhenNothingRuns() throws Exception {
        try (Connection connection = Fixture.connect(); Connection other = Fixture.connect();
                Statement statement = connection.createStatement()) {
            for (int n = 0; n < 20; n++) {
                statement.execute("SELECT 1");
                statement.cancel();
                Fixture.usable(other);
                Fixture.usable(connection);
            }
        }
    }

    @Test
    void queryTimeout() throws Exception {
        try (Connection connection = Fixture.connect(); Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            Fixture.fails("57014", () -> statement.execute("SELECT pg_sleep(30)"));
            statement.execute("SELECT 1");
            statement.setQueryTimeout(0);
            Fixture.usable(connection);
        }
    }

    @Test
    void statementTimeout() throws Exception {
        try (Connection connection = Fixture.connect()) {
            Fixture.execute(connection, "SET statement_timeout = 300");
            for (int n = 0; n < 3; n++) {
                Fixture.fails("57014", () -> Fixture.value(connection, "SELECT pg_sleep(30)::text"));
                Fixture.usable(connection);
            }
            connection.setAutoCommit(false);
            Fixture.execute(connection, "SET LOCAL statement_timeout = 0");
            Fixture.value(connection, "SELECT pg_sleep(0.4)::text");
            connection.commit();
            assertEquals("300ms", Fixture.value(connection, "SHOW statement_timeout"));
            connection.commit();
        }
    }

    /** The driver gives up reading and closes; the query must not stay behind for ever. */
    @Test
    void networkTimeout() throws Exception {
        try (Connection connection = Fixture.connect(); Connection observer = Fixture.connect()) {
            // Not at the login, which may take longer on a busy machine.
            connection.setNetworkTimeout(Runnable::run, 1_000);
            SQLException error = assertThrows(SQLException.class, () -> Fixture.value(connection, "SELECT pg_sleep(5)::text"));
            assertTrue(error.getSQLState().startsWith("08"), error.getSQLState());
            assertTrue(connection.isClosed());
            Fixture.usable(observer);
        }
    }

    @Test
    void abort() throws Exception {
        try (Connection observer = Fixture.connect()) {
            Connection connection = Fixture.connect();
            connection.setAutoCommit(false);
            String table = Fixture.unique("aborted");
            Fixture.execute(connection, "CREATE TABLE " + table + " (n int)");
            connection.abort(Runnable::run);
            assertTrue(connection.isClosed());
            // Its transaction ends, and with it its locks: else this waits.
            Fixture.execute(observer, "SET lock_timeout = '20s'", "CREATE TABLE " + table + " (n int)");
            assertFalse(observer.isClosed());
        }
    }
}
