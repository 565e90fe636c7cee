//! Portals with a fetch size, and what SQL calls cursors.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.sql.Types;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FetchTest {
    private static final String MANY = "SELECT generate_series(1, ?)";

    private static PreparedStatement many(Connection connection, int rows, int fetchSize) throws Exception {
        PreparedStatement statement = connection.prepareStatement(MANY);
        statement.setFetchSize(fetchSize);
        statement.setInt(1, rows);
        return statement;
    }

    private static Connection transaction() throws Exception {
        Connection connection = Fixture.connect("prepareThreshold", "3");
        connection.setAutoCommit(false);
        return connection;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 100, 1000})
    void inPortions(int fetchSize) throws Exception {
        try (Connection connection = transaction()) {
            for (int round = 0; round < 6; round++) {
                try (PreparedStatement statement = many(connection, 250, fetchSize); ResultSet rows = statement.executeQuery()) {
                    for (int n = 1; n <= 250; n++) {
                        assertTrue(rows.next());
                        assertEquals(n, rows.getInt(1));
                    }
                    assertFalse(rows.next());
                }
                connection.commit();
            }
        }
    }

    @Test
    void severalInTurn() throws Exception {
        try (Connection connection = transaction()) {
            ResultSet[] rows = new ResultSet[5];
            for (int n = 0; n < rows.length; n++) {
                rows[n] = many(connection, 1000, 10 + n).executeQuery();
            }
            for (int n = 1; n <= 500; n++) {
                for (ResultSet it : rows) {
                    assertTrue(it.next());
                    assertEquals(n, it.getInt(1));
                }
                if (n % 50 == 0) {
                    Fixture.usable(connection);
                }
            }
            for (ResultSet it : rows) {
                it.getStatement().close();
            }
            connection.commit();
            Fixture.usable(connection);
            connection.commit();
        }
    }

    @Test
    void closedHalfWay() throws Exception {
        try (Connection connection = transaction()) {
            for (int round = 0; round < 20; round++) {
                try (PreparedStatement statement = many(connection, 100_000, 20); ResultSet rows = statement.executeQuery()) {
                    for (int n = 0; n < 30; n++) {
                        assertTrue(rows.next());
                    }
                }
                Fixture.usable(connection);
                if (round % 5 == 4) {
                    connection.rollback();
                }
            }
            connection.commit();
        }
    }

    /** The portal is gone with the transaction. */
    @Test
    void overTheEndOfTheTransaction() throws Exception {
        try (Connection connection = transaction()) {
            for (int round = 0; round < 3; round++) {
                PreparedStatement statement = many(connection, 100, 10);
                ResultSet rows = statement.executeQuery();
                assertTrue(rows.next());
                connection.commit();
                for (int n = 0; n < 9; n++) {
                    assertTrue(rows.next());
                }
                Fixture.fails("34000", rows::next);
                connection.rollback();
                statement.close();
            }
        }
    }

    @Test
    void anErrorInALaterPortion() throws Exception {
        try (Connection connection = transaction()) {
            PreparedStatement statement = connection.prepareStatement("SELECT 1 / (50 - n) FROM generate_series(1, 100) n");
            statement.setFetchSize(20);
            for (int round = 0; round < 6; round++) {
                ResultSet rows = statement.executeQuery();
                for (int n = 0; n < 40; n++) {
                    assertTrue(rows.next());
                }
                Fixture.fails("22012", rows::next);
                Fixture.fails("25P02", () -> Fixture.value(connection, "SELECT 1"));
                connection.rollback();
            }
        }
    }

    /** Without a transaction the driver reads all at once; maxRows is a row limit as well. */
    @Test
    void withoutATransaction() throws Exception {
        try (Connection connection = Fixture.connect("defaultRowFetchSize", "10")) {
            for (int round = 0; round < 8; round++) {
                try (PreparedStatement statement = many(connection, 500, 10)) {
                    assertEquals(500, Fixture.column(statement.executeQuery()).size());
                    statement.setMaxRows(33);
                    assertEquals(33, Fixture.column(statement.executeQuery()).size());
                }
            }
        }
    }

    @Test
    void cursorsOfSql() throws Exception {
        try (Connection connection = transaction(); Statement statement = connection.createStatement()) {
            statement.execute("DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 9)");
            connection.commit();
            for (int n = 1; n <= 9; n++) {
                assertEquals(String.valueOf(n), Fixture.value(connection, "FETCH 1 FROM held"));
                connection.commit();
            }
            assertEquals("5", Fixture.value(connection, "FETCH ABSOLUTE 5 FROM held"));
            statement.execute("CLOSE held");
            connection.commit();
            Fixture.fails("34000", () -> statement.execute("FETCH 1 FROM held"));
            connection.rollback();
        }
    }

    @Test
    void cursorsThatAFunctionReturns() throws Exception {
        try (Connection connection = transaction()) {
            String function = Fixture.unique("cursor");
            Fixture.execute(connection, "CREATE FUNCTION " + function + "(n int) RETURNS refcursor LANGUAGE plpgsql AS "
                    + "$$ DECLARE c refcursor; BEGIN OPEN c FOR SELECT generate_series(1, n); RETURN c; END $$");
            for (int n = 1; n < 20; n++) {
                try (CallableStatement call = connection.prepareCall("{? = call " + function + "(?)}")) {
                    call.registerOutParameter(1, Types.REF_CURSOR);
                    call.setInt(2, n);
                    call.execute();
                    assertEquals(n, Fixture.column((ResultSet) call.getObject(1)).size());
                }
            }
            connection.rollback();
        }
    }

    @Test
    void updatableAndScrollable() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = Fixture.unique("updatable");
            Fixture.execute(connection, "CREATE TABLE " + table + " (n int PRIMARY KEY, word text)");
            try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
                    ResultSet rows = statement.executeQuery("SELECT n, word FROM " + table)) {
                for (int n = 0; n < 10; n++) {
                    rows.moveToInsertRow();
                    rows.updateInt(1, n);
                    rows.updateString(2, "inserted");
                    rows.insertRow();
                }
                rows.absolute(3);
                rows.updateString("word", "updated");
                rows.updateRow();
                rows.refreshRow();
                assertEquals("updated", rows.getString(2));
                rows.last();
                rows.deleteRow();
            }
            assertEquals("9 1", Fixture.value(connection,
                    "SELECT count(*) || ' ' || count(*) FILTER (WHERE word = 'updated') FROM " + table));
        }
    }
}
