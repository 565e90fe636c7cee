//! Large values, statements, results and objects; the latter are read and written by FunctionCall.

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.sql.Blob;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

class LargeTest {
    private static final int LARGE = 50_000_000;

    @Test
    void aValue() throws Exception {
        byte[] bytes = new byte[LARGE];
        ThreadLocalRandom.current().nextBytes(bytes);
        try (Connection connection = Fixture.connect("prepareThreshold", "-1");
                PreparedStatement statement = connection.prepareStatement("SELECT ?::bytea")) {
            statement.setBytes(1, bytes);
            try (ResultSet rows = statement.executeQuery()) {
                assertTrue(rows.next());
                assertTrue(Arrays.equals(bytes, rows.getBytes(1)), "the value has changed on the way");
            }
            statement.setBinaryStream(1, new ByteArrayInputStream(bytes), LARGE / 10);
            try (ResultSet rows = statement.executeQuery()) {
                assertTrue(rows.next());
                assertTrue(Arrays.equals(Arrays.copyOf(bytes, LARGE / 10), rows.getBytes(1)), "the stream has changed on the way");
            }
            Fixture.usable(connection);
        }
    }

    @Test
    void statements() throws Exception {
        try (Connection connection = Fixture.connect("prepareThreshold", "2")) {
            String padding = "x".repeat(3_000_000);
            for (int n = 0; n < 3; n++) {
                assertEquals("3000000", Fixture.value(connection, "SELECT length('" + padding + "')"));
            }
            Object[] many = new Object[32_767];
            Arrays.setAll(many, n -> n);
            String sql = "SELECT sum(n) FROM (VALUES " + String.join(",", Collections.nCopies(many.length, "(?::int)")) + ") v (n)";
            assertEquals(String.valueOf(32_766L * 32_767 / 2), Fixture.value(connection, sql, many));
            Fixture.usable(connection);
        }
    }

    @Test
    void manyRows() throws Exception {
        try (Connection connection = Fixture.connect();
                PreparedStatement statement = connection.prepareStatement("SELECT g, g::text FROM generate_series(1, 100000) g");
                ResultSet rows = statement.executeQuery()) {
            for (int n = 1; n <= 100_000; n++) {
                assertTrue(rows.next());
                assertEquals(n, rows.getInt(1));
                assertEquals(n, Integer.parseInt(rows.getString(2)));
            }
        }
    }

    @Test
    void largeObjects() throws Exception {
        byte[] bytes = new byte[3_000_000];
        ThreadLocalRandom.current().nextBytes(bytes);
        try (Connection connection = Fixture.connect()) {
            LargeObjectManager manager = Fixture.pg(connection).getLargeObjectAPI();
            connection.setAutoCommit(false);
            long oid = manager.createLO();
            try (LargeObject object = manager.open(oid, LargeObjectManager.READWRITE)) {
                OutputStream out = object.getOutputStream();
                out.write(bytes);
                out.flush();
                assertEquals(bytes.length, object.tell64());
            }
            connection.commit();
            for (int n = 0; n < 3; n++) {
                try (LargeObject object = manager.open(oid, LargeObjectManager.READ); InputStream in = object.getInputStream()) {
                    assertTrue(Arrays.equals(bytes, in.readAllBytes()), "the object has changed on the way");
                    object.seek(1_000_000);
                    assertArrayEquals(Arrays.copyOfRange(bytes, 1_000_000, 1_000_100), object.read(100));
                }
                connection.commit();
            }
            try (LargeObject object = manager.open(oid, LargeObjectManager.WRITE)) {
                object.truncate(10);
                assertEquals(10, object.size64());
            }
            manager.delete(oid);
            connection.commit();
            Fixture.fails("42704", () -> manager.open(oid, LargeObjectManager.READ));
            connection.rollback();
            // Outside a transaction the driver refuses by itself.
            connection.setAutoCommit(true);
            Fixture.usable(connection);
        }
    }

    @Test
    void blobs() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = Fixture.unique("blobs");
            Fixture.execute(connection, "CREATE TABLE " + table + " (n int, data oid)");
            connection.setAutoCommit(false);
            try (PreparedStatement statement = connection.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)")) {
                for (int n = 0; n < 5; n++) {
                    statement.setInt(1, n);
                    statement.setBlob(2, new ByteArrayInputStream(("blob " + n).getBytes()));
                    statement.executeUpdate();
                }
            }
            connection.commit();
            try (PreparedStatement statement = connection.prepareStatement("SELECT n, data FROM " + table + " ORDER BY n");
                    ResultSet rows = statement.executeQuery()) {
                while (rows.next()) {
                    Blob blob = rows.getBlob(2);
                    assertEquals("blob " + rows.getInt(1), new String(blob.getBytes(1, (int) blob.length())));
                    blob.free();
                }
            }
            connection.commit();
        }
    }
}
