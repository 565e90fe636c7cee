//! State of the session, notifications, and what a login sets.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.junit.jupiter.api.Test;
import org.postgresql.PGNotification;

class SessionTest {
    @Test
    void listenAndNotify() throws Exception {
        try (Connection connection = Fixture.connect(); Connection other = Fixture.connect()) {
            String channel = Fixture.unique("channel");
            Fixture.execute(connection, "LISTEN " + channel);
            List<String> heard = new ArrayList<>();
            for (int n = 0; n < 10; n++) {
                Fixture.value(other, "SELECT pg_notify(?, ?)::text", channel, "n" + n);
                Fixture.usable(connection);
            }
            long deadline = System.nanoTime() + 20_000_000_000L;
            while (heard.size() < 10 && System.nanoTime() < deadline) {
                PGNotification[] notifications = Fixture.pg(connection).getNotifications(1000);
                for (PGNotification it : notifications == null ? new PGNotification[0] : notifications) {
                    assertEquals(channel, it.getName());
                    heard.add(it.getParameter());
                }
            }
            assertEquals("[n0, n1, n2, n3, n4, n5, n6, n7, n8, n9]", heard.toString());
            Fixture.execute(connection, "UNLISTEN *");
            Fixture.execute(other, "NOTIFY " + channel);
            assertNull(nothing(Fixture.pg(connection).getNotifications(50)));
        }
    }

    private static PGNotification[] nothing(PGNotification[] notifications) {
        return notifications != null && notifications.length == 0 ? null : notifications;
    }

    @Test
    void settingsLast() throws Exception {
        try (Connection connection = Fixture.connect()) {
            Fixture.execute(connection, "SET work_mem = '5MB'", "SET TIME ZONE 'Asia/Kathmandu'", "SET DateStyle = 'ISO, DMY'");
            connection.setClientInfo("ApplicationName", "set by JDBC");
            connection.setSchema("pg_catalog");
            for (int n = 0; n < 10; n++) {
                assertEquals("5MB", Fixture.value(connection, "SHOW work_mem"));
                assertEquals("Asia/Kathmandu", Fixture.value(connection, "SHOW TimeZone"));
                assertEquals("set by JDBC", Fixture.value(connection, "SHOW application_name"));
                assertEquals("pg_catalog", connection.getSchema());
            }
            assertEquals("Asia/Kathmandu", Fixture.pg(connection).getParameterStatus("TimeZone"));
            assertEquals("ISO, DMY", Fixture.pg(connection).getParameterStatus("DateStyle"));
            assertEquals("set by JDBC", Fixture.pg(connection).getParameterStatus("application_name"));
            Fixture.execute(connection, "DISCARD ALL");
            assertNotEquals("5MB", Fixture.value(connection, "SHOW work_mem"));
            try (Connection other = Fixture.connect()) {
                assertNotEquals("5MB", Fixture.value(other, "SHOW work_mem"));
                assertNotEquals("pg_catalog", other.getSchema());
            }
        }
    }

    @Test
    void givenAtLogin() throws Exception {
        try (Connection connection = Fixture.connect("options", "-c statement_timeout=12345 -c search_path=pg_catalog,public",
                "ApplicationName", "given at login", "currentSchema", "information_schema", "connectTimeout", "10")) {
            for (int n = 0; n < 10; n++) {
                assertEquals("12345ms", Fixture.value(connection, "SHOW statement_timeout"));
                assertEquals("given at login", Fixture.value(connection, "SHOW application_name"));
                assertEquals("information_schema", connection.getSchema());
            }
        }
        // Asks for `in_hot_standby` or `transaction_read_only`, as drivers with many hosts do.
        try (Connection connection = Fixture.connect("targetServerType", "primary", "assumeMinServerVersion", "13")) {
            assertFalse(connection.isReadOnly());
            Fixture.usable(connection);
        }
        Properties wrong = Fixture.properties("password", "wrong");
        Fixture.fails("28P01", () -> DriverManager.getConnection(Fixture.url(), wrong));
    }

    @Test
    void temporaryTables() throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "2")) {
            for (int round = 0; round < 3; round++) {
                Fixture.execute(connection, "CREATE TEMP TABLE temporary (n int)");
                for (int n = 0; n < 10; n++) {
                    assertEquals(String.valueOf(n), Fixture.value(connection, "INSERT INTO temporary VALUES (?) RETURNING n", n));
                }
                assertEquals("45", Fixture.value(connection, "SELECT sum(n) FROM temporary"));
                Fixture.execute(connection, "DROP TABLE temporary");
            }
            Fixture.fails("42P01", () -> Fixture.value(connection, "SELECT sum(n) FROM temporary"));
        }
    }

    @Test
    void advisoryLocks() throws Exception {
        try (Connection connection = Fixture.connect(); Connection other = Fixture.connect()) {
            long key = System.nanoTime();
            Fixture.value(connection, "SELECT pg_advisory_lock(?)::text", key);
            for (int n = 0; n < 5; n++) {
                assertEquals("f", Fixture.value(other, "SELECT pg_try_advisory_lock(?)", key));
            }
            assertEquals("t", Fixture.value(connection, "SELECT pg_advisory_unlock(?)", key));
            assertEquals("t", Fixture.value(other, "SELECT pg_try_advisory_lock(?)", key));
            assertEquals("t", Fixture.value(other, "SELECT pg_advisory_unlock(?)", key));
        }
    }

    @Test
    void warnings() throws Exception {
        try (Connection connection = Fixture.connect(); Statement statement = connection.createStatement()) {
            statement.execute("DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second' USING DETAIL = 'd'; END $$");
            SQLWarning first = statement.getWarnings();
            assertEquals("first", first.getMessage());
            assertEquals("01000", first.getNextWarning().getSQLState());
            assertTrue(first.getNextWarning().getMessage().startsWith("second"));
            assertNull(first.getNextWarning().getNextWarning());
        }
    }

    /** The server ends a session: the driver says so, and a new connection is good. */
    @Test
    void aTerminatedBackend() throws Exception {
        try (Connection connection = Fixture.connect(); Connection other = Fixture.connect()) {
            connection.setAutoCommit(false);
            int pid = Integer.parseInt(Fixture.value(connection, "SELECT pg_backend_pid()"));
            assertEquals("t", Fixture.value(other, "SELECT pg_terminate_backend(?)", pid));
            Fixture.fails("57P01", () -> Fixture.value(connection, "SELECT pg_sleep(5)::text"));
            assertFalse(connection.isValid(5));
            assertTrue(connection.isClosed());
            Fixture.usable(other);
        }
    }
}
