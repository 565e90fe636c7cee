//! The driver's query modes: simple, extended, extended for prepared statements, everything cached.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ModesTest {
    private static Connection connect(String mode) throws Exception {
        return Fixture.connect("preferQueryMode", mode, "prepareThreshold", "3");
    }

    @ParameterizedTest
    @ValueSource(strings = {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"})
    void queries(String mode) throws Exception {
        try (Connection connection = connect(mode)) {
            for (int n = 0; n < 12; n++) {
                int it = n;
                assertEquals("it's " + n, Fixture.value(connection, "SELECT ? || ' ' || ?::int", "it's", n));
                try (Statement statement = connection.createStatement()) {
                    ResultSet rows = statement.executeQuery("SELECT 1 AS a, 'x' AS b");
                    assertTrue(rows.next());
                    assertEquals("x", rows.getString("b"));
                }
                Fixture.fails("22012", () -> Fixture.value(connection, "SELECT 1 / (? - ?)", it, it));
                Fixture.fails("42P01", () -> Fixture.execute(connection, "SELECT * FROM no_such_table"));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"})
    void severalStatements(String mode) throws Exception {
        String table = Fixture.unique("modes");
        try (Connection connection = connect(mode); Statement statement = connection.createStatement()) {
            for (int n = 0; n < 6; n++) {
                statement.execute("CREATE TABLE " + table + " (n int); INSERT INTO " + table + " VALUES (1), (2);"
                        + "SELECT n FROM " + table + " ORDER BY n; DROP TABLE " + table);
                assertEquals(0, statement.getUpdateCount());
                assertTrue(!statement.getMoreResults() && statement.getUpdateCount() == 2);
                assertTrue(statement.getMoreResults());
                assertEquals("[1, 2]", Fixture.column(statement.getResultSet()).toString());
                assertTrue(!statement.getMoreResults() && statement.getUpdateCount() == 0);
                assertTrue(!statement.getMoreResults() && statement.getUpdateCount() == -1);
            }
            statement.execute("");
            statement.execute(";");
            Fixture.usable(connection);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"})
    void transactionsAndBatches(String mode) throws Exception {
        String table = Fixture.unique("modes");
        try (Connection connection = connect(mode)) {
            Fixture.execute(connection, "CREATE TABLE " + table + " (n int PRIMARY KEY, word text)");
            connection.setAutoCommit(false);
            for (int round = 0; round < 4; round++) {
                try (PreparedStatement statement = connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)")) {
                    for (int n = 0; n < 50; n++) {
                        statement.setInt(1, round * 50 + n);
                        statement.setString(2, "word's");
                        statement.addBatch();
                    }
                    statement.executeBatch();
                    connection.commit();
                    statement.setInt(1, 7777);
                    statement.setString(2, "x");
                    statement.addBatch();
                    statement.addBatch();
                    assertThrows(BatchUpdateException.class, statement::executeBatch);
                    connection.rollback();
                }
                try (PreparedStatement statement = connection.prepareStatement("SELECT n FROM " + table + " ORDER BY n")) {
                    statement.setFetchSize(17);
                    assertEquals((round + 1) * 50, Fixture.column(statement.executeQuery()).size());
                }
                connection.commit();
            }
        }
    }
}
