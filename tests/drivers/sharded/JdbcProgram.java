//! What programs do with JDBC; prints every answer.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;

public final class JdbcProgram {
    interface Act {
        void run() throws SQLException;
    }

    private JdbcProgram() {}

    static void show(String what, ResultSet rows) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        StringBuilder text = new StringBuilder(what);
        for (int column = 1; column <= meta.getColumnCount(); column++) {
            text.append(' ').append(meta.getColumnLabel(column)).append(':').append(meta.getColumnTypeName(column));
        }
        while (rows.next()) {
            text.append(" |");
            for (int column = 1; column <= meta.getColumnCount(); column++) {
                text.append(' ').append(rows.getObject(column));
            }
        }
        System.out.println(text);
    }

    static void failure(String what, Act act) {
        try {
            act.run();
            System.out.println(what + " did not fail");
        } catch (SQLException error) {
            System.out.println(what + " " + error.getSQLState() + " " + error.getMessage().lines().findFirst().orElse(""));
        }
    }

    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("prepareThreshold", "3");
        properties.setProperty("sslmode", "disable");
        try (Connection conn = DriverManager.getConnection(url, properties)) {
            try (PreparedStatement one = conn.prepareStatement("SELECT name, balance FROM users WHERE id = ?")) {
                for (long key = 1; key < 12; key++) {
                    one.setLong(1, key);
                    show("one", one.executeQuery());
                }
            }
            try (PreparedStatement group =
                    conn.prepareStatement("SELECT country, count(*), sum(balance) FROM users WHERE id > ? GROUP BY country ORDER BY country")) {
                for (long low = 0; low < 50; low += 8) {
                    group.setLong(1, low);
                    show("groups", group.executeQuery());
                }
            }
            conn.setAutoCommit(false);
            try (PreparedStatement rows = conn.prepareStatement("SELECT id, total FROM orders ORDER BY id")) {
                rows.setFetchSize(25);
                ResultSet set = rows.executeQuery();
                int count = 0;
                long sum = 0;
                while (set.next()) {
                    count++;
                    sum += set.getLong(1);
                }
                System.out.println("fetched " + count + " " + sum);
            }
            try (PreparedStatement batch = conn.prepareStatement("INSERT INTO orders VALUES (?, ?, ?)")) {
                for (int number = 0; number < 30; number++) {
                    batch.setLong(1, 3000 + number);
                    batch.setLong(2, 1 + number);
                    batch.setBigDecimal(3, java.math.BigDecimal.valueOf(number));
                    batch.addBatch();
                }
                System.out.println("batch " + Arrays.toString(batch.executeBatch()));
            }
            conn.commit();
            try (Statement statement = conn.createStatement()) {
                statement.executeUpdate("UPDATE users SET balance = balance + 1 WHERE id = 1");
                Savepoint point = conn.setSavepoint();
                failure("division", () -> statement.executeQuery("SELECT 1 / 0"));
                failure("aborted", () -> statement.executeQuery("SELECT 1"));
                conn.rollback(point);
                show("kept", statement.executeQuery("SELECT balance FROM users WHERE id = 1"));
                conn.rollback();
                show("undone", statement.executeQuery("SELECT balance FROM users WHERE id = 1"));
                conn.commit();
                conn.setAutoCommit(true);
                failure("unique", () -> statement.executeUpdate("INSERT INTO users VALUES (1, 'x', 'de', 0)"));
                failure("nowhere", () -> statement.executeQuery("SELECT * FROM nowhere"));
                statement.executeUpdate("INSERT INTO users VALUES (400, 'four', 'at', 4)", Statement.RETURN_GENERATED_KEYS);
                show("keys", statement.getGeneratedKeys());
                System.out.println("update " + statement.executeUpdate("UPDATE users SET balance = 0 WHERE id >= 50"));
                show("table", statement.executeQuery("SELECT count(*), sum(balance) FROM users"));
                show("orders", statement.executeQuery("SELECT count(*), sum(total) FROM orders"));
            }
        }
    }
}
