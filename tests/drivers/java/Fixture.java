//! What the suites share: connections from the environment, names of a test's own, and neighbours
//! that make server connections change hands.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.function.Executable;
import org.postgresql.PGConnection;

final class Fixture {
    private static final AtomicInteger COUNT = new AtomicInteger();

    static {
        for (int number = 0; number < 2; number++) {
            int it = number;
            Thread thread = new Thread(() -> neighbour(it));
            thread.setDaemon(true);
            thread.start();
        }
    }

    private Fixture() {}

    static String url() {
        return "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    }

    /** The driver's properties, by name and value in turn. */
    static Properties properties(String... more) {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        for (int n = 0; n < more.length; n += 2) {
            properties.setProperty(more[n], more[n + 1]);
        }
        return properties;
    }

    static Connection connect(String... more) throws SQLException {
        return DriverManager.getConnection(url(), properties(more));
    }

    static String unique(String stem) {
        return stem + "_" + ProcessHandle.current().pid() + "_" + COUNT.incrementAndGet();
    }

    static void execute(Connection connection, String... statements) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    /** The first column of each row, as text. */
    static List<String> column(Connection connection, String sql, Object... parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int n = 0; n < parameters.length; n++) {
                statement.setObject(n + 1, parameters[n]);
            }
            return column(statement.executeQuery());
        }
    }

    static List<String> column(ResultSet rows) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(1));
        }
        rows.close();
        return values;
    }

    /** The first column of the only row. */
    static String value(Connection connection, String sql, Object... parameters) throws SQLException {
        List<String> values = column(connection, sql, parameters);
        assertEquals(1, values.size(), sql);
        return values.get(0);
    }

    /** The connection works, and what it gets is its own. */
    static void usable(Connection connection) throws SQLException {
        int number = ThreadLocalRandom.current().nextInt();
        assertEquals(String.valueOf(number), value(connection, "SELECT ?::int", number));
    }

    static SQLException fails(String state, Executable executable) {
        SQLException error = assertThrows(SQLException.class, executable);
        assertEquals(state, error.getSQLState(), error.getMessage());
        return error;
    }

    static PGConnection pg(Connection connection) throws SQLException {
        return connection.unwrap(PGConnection.class);
    }

    /** Under transaction pooling the server connections thus change hands between any two transactions. */
    private static void neighbour(int number) {
        try (Connection connection = connect(); PreparedStatement statement = connection.prepareStatement("SELECT ?::text")) {
            for (long count = 0; ; count++) {
                String text = "neighbour " + number + " says " + count;
                statement.setString(1, text);
                List<String> said = column(statement.executeQuery());
                if (!said.equals(List.of(text))) {
                    throw new IllegalStateException(said + " instead of " + text);
                }
                Thread.sleep(4);
            }
        } catch (Exception failure) {
            System.err.println("neighbour " + number + " failed: " + failure);
            Runtime.getRuntime().halt(101);
        }
    }
}
