//! Batches: many Bind and Execute before one Sync, or INSERTs rewritten to have many rows.

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BatchTest {
    private static String table(Connection connection) throws Exception {
        String table = Fixture.unique("batch");
        Fixture.execute(connection, "CREATE TABLE " + table + " (id serial, n int PRIMARY KEY, word text)");
        return table;
    }

    private static PreparedStatement insert(Connection connection, String table, int from, int to) throws Exception {
        PreparedStatement statement =
                connection.prepareStatement("INSERT INTO " + table + " (n, word) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS);
        for (int n = from; n < to; n++) {
            statement.setInt(1, n);
            statement.setString(2, n % 10 == 0 ? null : "word " + n);
            statement.addBatch();
        }
        return statement;
    }

    @ParameterizedTest
    @CsvSource({"true,true", "true,false", "false,true", "false,false"})
    void inserts(String rewritten, boolean autoCommit) throws Exception {
        try (Connection connection = Fixture.connect("reWriteBatchedInserts", rewritten)) {
            String table = table(connection);
            connection.setAutoCommit(autoCommit);
            int next = 0;
            for (int size : new int[] {1, 2, 3, 128, 1000, 3001}) {
                try (PreparedStatement statement =
                        connection.prepareStatement("INSERT INTO " + table + " (n, word) VALUES (?, ?)")) {
                    for (int n = next; n < next + size; n++) {
                        statement.setInt(1, n);
                        statement.setString(2, "word " + n);
                        statement.addBatch();
                    }
                    next += size;
                    int[] counts = statement.executeBatch();
                    assertEquals(size, counts.length);
                    int expected = rewritten.equals("true") && size > 1 ? Statement.SUCCESS_NO_INFO : 1;
                    assertTrue(Arrays.stream(counts).allMatch(count -> count == expected || count == 1), "size " + size);
                }
            }
            if (!autoCommit) {
                connection.commit();
            }
            String sum = "SELECT count(*) || ' ' || sum(n) || ' ' || count(DISTINCT word) FROM " + table;
            assertEquals(next + " " + (long) next * (next - 1) / 2 + " " + next, Fixture.value(connection, sum));
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void anErrorInTheMiddle(boolean autoCommit) throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            Fixture.execute(connection, "INSERT INTO " + table + " (n) VALUES (500)");
            connection.setAutoCommit(autoCommit);
            for (int round = 0; round < 3; round++) {
                try (PreparedStatement statement =
                        connection.prepareStatement("INSERT INTO " + table + " (n, word) VALUES (?, ?)")) {
                    for (int n = 450; n < 550; n++) {
                        statement.setInt(1, n);
                        statement.setString(2, "x");
                        statement.addBatch();
                    }
                    BatchUpdateException error = assertThrows(BatchUpdateException.class, statement::executeBatch);
                    assertEquals("23505", error.getSQLState());
                    assertEquals(100, error.getUpdateCounts().length);
                    assertTrue(Arrays.stream(error.getUpdateCounts()).allMatch(it -> it == Statement.EXECUTE_FAILED));
                }
                if (!autoCommit) {
                    Fixture.fails("25P02", () -> Fixture.value(connection, "SELECT 1"));
                    connection.rollback();
                }
                assertEquals("1", Fixture.value(connection, "SELECT count(*) FROM " + table));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"true", "false"})
    void generatedKeys(String rewritten) throws Exception {
        try (Connection connection = Fixture.connect("reWriteBatchedInserts", rewritten)) {
            String table = table(connection);
            for (int round = 0; round < 8; round++) {
                try (PreparedStatement statement = insert(connection, table, round * 100, round * 100 + 100)) {
                    assertEquals(100, statement.executeBatch().length);
                    ResultSet keys = statement.getGeneratedKeys();
                    for (int n = 0; n < 100; n++) {
                        assertTrue(keys.next());
                        assertEquals(round * 100 + n + 1, keys.getInt("id"));
                        assertEquals(round * 100 + n, keys.getInt("n"));
                    }
                }
            }
        }
    }

    /** The driver syncs in between where replies could fill the sockets' buffers. */
    @Test
    void muchToBeReturned() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            String sql = "INSERT INTO " + table + " (n, word) VALUES (?, repeat('w', 3000)) RETURNING word";
            try (PreparedStatement statement = connection.prepareStatement(sql, new String[] {"id", "word"})) {
                for (int n = 0; n < 300; n++) {
                    statement.setInt(1, n);
                    statement.addBatch();
                }
                statement.executeBatch();
                int keys = 0;
                for (ResultSet rows = statement.getGeneratedKeys(); rows.next(); keys++) {
                    assertEquals(3000, rows.getString("word").length());
                }
                assertEquals(300, keys);
            }
        }
    }

    @Test
    void statementsOfAllKinds() throws Exception {
        try (Connection connection = Fixture.connect(); Statement statement = connection.createStatement()) {
            String table = table(connection);
            for (int round = 0; round < 8; round++) {
                statement.addBatch("INSERT INTO " + table + " (n) VALUES (1), (2), (3)");
                statement.addBatch("UPDATE " + table + " SET word = 'x' WHERE n > 1");
                statement.addBatch("CREATE TABLE " + table + "_" + round + " (n int)");
                statement.addBatch("DELETE FROM " + table);
                assertArrayEquals(new int[] {3, 2, 0, 3}, statement.executeBatch());
            }
            statement.addBatch("INSERT INTO " + table + " (n) VALUES (1)");
            statement.addBatch("INSERT INTO " + table + " (n) VALUES (1)");
            statement.addBatch("INSERT INTO " + table + " (n) VALUES (2)");
            assertThrows(BatchUpdateException.class, statement::executeBatch);
            assertEquals("0", Fixture.value(connection, "SELECT count(*) FROM " + table));
            Fixture.usable(connection);
        }
    }

    /** Types that change within a batch make the driver describe in the middle of it. */
    @Test
    void typesThatChange() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = Fixture.unique("batch");
            Fixture.execute(connection, "CREATE TABLE " + table + " (value text)");
            try (PreparedStatement statement = connection.prepareStatement("INSERT INTO " + table + " VALUES (?::text)")) {
                for (int n = 0; n < 200; n++) {
                    switch (n % 4) {
                        case 0 -> statement.setInt(1, n);
                        case 1 -> statement.setString(1, "s" + n);
                        case 2 -> statement.setNull(1, java.sql.Types.NULL);
                        default -> statement.setObject(1, n * 1L);
                    }
                    statement.addBatch();
                }
                assertEquals(200, statement.executeBatch().length);
            }
            assertEquals("150", Fixture.value(connection, "SELECT count(value) FROM " + table));
        }
    }
}
