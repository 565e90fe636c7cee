//! HikariCP over pgherd: what a pool does when it lends and takes back.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class PoolTest {
    private static HikariConfig config(int size) {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(Fixture.url());
        config.setUsername(System.getenv("PGUSER"));
        config.setPassword(System.getenv("PGPASSWORD"));
        config.setMaximumPoolSize(size);
        config.setConnectionTimeout(20_000);
        return config;
    }

    @Test
    void manyThreads() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(12);
        try (HikariDataSource pool = new HikariDataSource(config(4))) {
            List<Future<?>> work = new ArrayList<>();
            for (int thread = 0; thread < 12; thread++) {
                int number = thread;
                work.add(threads.submit(() -> {
                    for (int n = 0; n < 30; n++) {
                        try (Connection connection = pool.getConnection()) {
                            boolean transaction = n % 3 == 0;
                            connection.setAutoCommit(!transaction);
                            assertEquals(number + ":" + n, Fixture.value(connection, "SELECT ? || ':' || ?", "" + number, "" + n));
                            // Those with a transaction give it back open: the pool rolls back.
                        }
                    }
                    return null;
                }));
            }
            for (Future<?> it : work) {
                it.get(30, TimeUnit.SECONDS);
            }
        } finally {
            threads.shutdownNow();
        }
    }

    /** What a borrower has set is set back before the next one comes. */
    @Test
    void whatIsReset() throws Exception {
        HikariConfig config = config(1);
        config.setConnectionInitSql("SET work_mem = '7MB'");
        config.setSchema("public");
        config.setTransactionIsolation("TRANSACTION_REPEATABLE_READ");
        try (HikariDataSource pool = new HikariDataSource(config)) {
            for (int n = 0; n < 10; n++) {
                try (Connection connection = pool.getConnection()) {
                    assertFalse(connection.isReadOnly());
                    assertTrue(connection.getAutoCommit());
                    assertEquals("7MB", Fixture.value(connection, "SHOW work_mem"));
                    assertEquals("public", connection.getSchema());
                    assertEquals("repeatable read", Fixture.value(connection, "SHOW transaction_isolation"));
                    connection.setReadOnly(true);
                    connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                    connection.setSchema("pg_catalog");
                    connection.setNetworkTimeout(Runnable::run, 30_000);
                    connection.setAutoCommit(false);
                    assertEquals("serializable", Fixture.value(connection, "SHOW transaction_isolation"));
                    assertEquals("on", Fixture.value(connection, "SHOW transaction_read_only"));
                    assertEquals("pg_catalog", connection.getSchema());
                    connection.commit();
                }
            }
        }
    }

    @Test
    void liveness() throws Exception {
        HikariConfig config = config(2);
        config.setConnectionTestQuery("SELECT 1");
        try (HikariDataSource pool = new HikariDataSource(config)) {
            for (int n = 0; n < 5; n++) {
                try (Connection connection = pool.getConnection()) {
                    assertTrue(connection.isValid(5));
                    Fixture.usable(connection);
                }
            }
        }
        try (Connection connection = Fixture.connect()) {
            for (int n = 0; n < 10; n++) {
                assertTrue(connection.isValid(5));
            }
            connection.setAutoCommit(false);
            assertTrue(connection.isValid(5));
            Fixture.fails("22012", () -> Fixture.value(connection, "SELECT 1/0"));
            // In a failed transaction, too.
            assertTrue(connection.isValid(5));
            connection.rollback();
            connection.close();
            assertFalse(connection.isValid(5));
        }
    }

    /** A borrower whose backend dies: the pool evicts the connection, the next borrower gets a good one. */
    @Test
    void aDeadConnection() throws Exception {
        try (HikariDataSource pool = new HikariDataSource(config(1)); Connection other = Fixture.connect()) {
            for (int n = 0; n < 3; n++) {
                try (Connection connection = pool.getConnection()) {
                    connection.setAutoCommit(false);
                    int pid = Integer.parseInt(Fixture.value(connection, "SELECT pg_backend_pid()"));
                    Fixture.value(other, "SELECT pg_terminate_backend(?)", pid);
                    assertThrows(SQLException.class, () -> Fixture.value(connection, "SELECT pg_sleep(1)::text"));
                }
                try (Connection connection = pool.getConnection()) {
                    Fixture.usable(connection);
                }
            }
        }
    }

    /** Statements that the driver prepared for one borrower serve the next. */
    @Test
    void preparedAcrossBorrowers() throws Exception {
        try (HikariDataSource pool = new HikariDataSource(config(3))) {
            for (int n = 0; n < 60; n++) {
                try (Connection connection = pool.getConnection();
                        PreparedStatement statement = connection.prepareStatement("SELECT ?::int * 2")) {
                    statement.setInt(1, n);
                    assertEquals("[" + n * 2 + "]", Fixture.column(statement.executeQuery()).toString());
                }
            }
        }
    }
}
