//! Statements that the driver prepares on the server at their fifth execution, and its cache of them.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.PGStatement;

class PreparedTest {
    @Test
    void theFifthExecutionPrepares() throws Exception {
        try (Connection connection = Fixture.connect();
                PreparedStatement statement = connection.prepareStatement("SELECT ?::int + 1, ?::text")) {
            PGStatement pg = statement.unwrap(PGStatement.class);
            for (int n = 1; n <= 50; n++) {
                statement.setInt(1, n);
                statement.setString(2, "text " + n);
                try (ResultSet rows = statement.executeQuery()) {
                    assertTrue(rows.next());
                    assertEquals(n + 1, rows.getInt(1));
                    assertEquals("text " + n, rows.getString(2));
                    assertFalse(rows.next());
                }
                // What it says is about the next execution.
                assertEquals(n + 1 >= 5, pg.isUseServerPrepare(), "after execution " + n);
            }
        }
    }

    /** 1: named from the first; -1: binary from the first, with a Describe; 0: unnamed for ever. */
    @ParameterizedTest
    @ValueSource(strings = {"-1", "0", "1", "2"})
    void otherThresholds(String threshold) throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", threshold)) {
            for (int round = 0; round < 4; round++) {
                for (int n = 0; n < 30; n++) {
                    assertEquals(String.valueOf(n + 7), Fixture.value(connection, "SELECT ? + 7", n));
                    assertEquals("x" + n, Fixture.value(connection, "SELECT 'x' || ?::text", n));
                }
                connection.setAutoCommit(round % 2 == 0);
            }
            connection.setAutoCommit(true);
        }
    }

    /** More texts than the driver keeps: the oldest are closed, in front of the next statement. */
    @Test
    void aSmallCache() throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "1", "preparedStatementCacheQueries", "3")) {
            for (int round = 0; round < 5; round++) {
                for (int n = 0; n < 20; n++) {
                    assertEquals(String.valueOf(n + round), Fixture.value(connection, "SELECT " + n + " + ?", round));
                    assertEquals(String.valueOf(round), Fixture.value(connection, "SELECT " + n / 2 + " * 0 + ?", round));
                }
            }
        }
    }

    /** The same text with other types is another statement on the server. */
    @Test
    void typesThatChange() throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "2");
                PreparedStatement statement = connection.prepareStatement("SELECT pg_typeof(?)::text")) {
            for (int round = 0; round < 6; round++) {
                statement.setInt(1, round);
                assertEquals(List.of("integer"), Fixture.column(statement.executeQuery()));
                statement.setLong(1, round);
                assertEquals(List.of("bigint"), Fixture.column(statement.executeQuery()));
                statement.setString(1, "text");
                assertEquals(List.of("character varying"), Fixture.column(statement.executeQuery()));
                statement.setBoolean(1, true);
                assertEquals(List.of("boolean"), Fixture.column(statement.executeQuery()));
            }
        }
    }

    @Test
    void manyStatementsOpenAtOnce() throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "1")) {
            PreparedStatement[] statements = new PreparedStatement[400];
            for (int n = 0; n < statements.length; n++) {
                statements[n] = connection.prepareStatement("SELECT " + n + " + ?");
            }
            for (int round = 0; round < 3; round++) {
                for (int n = statements.length - 1; n >= 0; n--) {
                    statements[n].setInt(1, round);
                    assertEquals(List.of(String.valueOf(n + round)), Fixture.column(statements[n].executeQuery()));
                }
            }
            for (PreparedStatement statement : statements) {
                statement.close();
            }
            Fixture.usable(connection);
        }
    }

    /** When Postgres says 0A000, the driver prepares anew by itself; in a transaction it cannot. */
    @Test
    void aTableThatChanges() throws Exception {
        String table = Fixture.unique("changing");
        try (Connection connection = Fixture.connect("prepareThreshold", "1"); Connection other = Fixture.connect()) {
            Fixture.execute(other, "CREATE TABLE " + table + " (a int)", "INSERT INTO " + table + " VALUES (1)");
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM " + table)) {
                for (int columns = 1; columns < 5; columns++) {
                    for (int n = 0; n < 3; n++) {
                        try (ResultSet rows = statement.executeQuery()) {
                            assertTrue(rows.next());
                            assertEquals(columns, rows.getMetaData().getColumnCount());
                            assertEquals(1, rows.getInt("a"));
                        }
                    }
                    Fixture.execute(other, "ALTER TABLE " + table + " ADD COLUMN b" + columns + " int DEFAULT 7");
                }
                statement.executeQuery().close();
                Fixture.execute(other, "ALTER TABLE " + table + " ALTER COLUMN a TYPE bigint");
                connection.setAutoCommit(false);
                Fixture.fails("0A000", statement::executeQuery);
                connection.rollback();
                connection.setAutoCommit(true);
                assertEquals("[1]", Fixture.column(statement.executeQuery()).toString());
            }
        }
    }

    /** The driver forgets its statements when it sees one of these succeed. */
    @ParameterizedTest
    @ValueSource(strings = {"DEALLOCATE ALL", "DISCARD ALL"})
    void statementsThatAreTakenAway(String sql) throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "1");
                PreparedStatement statement = connection.prepareStatement("SELECT ?::int")) {
            for (int n = 0; n < 10; n++) {
                statement.setInt(1, n);
                assertEquals(List.of(String.valueOf(n)), Fixture.column(statement.executeQuery()));
                Fixture.execute(connection, sql);
            }
        }
    }

    @Test
    void errorsInPreparedStatements() throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "2");
                PreparedStatement statement = connection.prepareStatement("SELECT 10 / ?")) {
            for (int n = 0; n < 12; n++) {
                int divisor = n % 3;
                statement.setInt(1, divisor);
                if (divisor == 0) {
                    Fixture.fails("22012", statement::executeQuery);
                } else {
                    assertEquals(List.of(String.valueOf(10 / divisor)), Fixture.column(statement.executeQuery()));
                }
                Fixture.fails("42601", () -> Fixture.value(connection, "SELEC ?", 1));
            }
        }
    }

    @Test
    void statementsOfSql() throws Exception {
        try (Connection connection = Fixture.connect()) {
            Fixture.execute(connection, "PREPARE twice (int) AS SELECT $1 * 2");
            for (int n = 0; n < 10; n++) {
                assertEquals(String.valueOf(n * 2), Fixture.value(connection, "EXECUTE twice(" + n + ")"));
            }
            Fixture.execute(connection, "DEALLOCATE twice");
            Fixture.fails("26000", () -> Fixture.execute(connection, "EXECUTE twice(1)"));
        }
    }
}
