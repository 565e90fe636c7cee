//! CopyManager and its streams, both ways.

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.copy.CopyOut;
import org.postgresql.copy.PGCopyInputStream;
import org.postgresql.copy.PGCopyOutputStream;

class CopyTest {
    private static String table(Connection connection) throws Exception {
        String table = Fixture.unique("copied");
        Fixture.execute(connection, "CREATE TABLE " + table + " (n int, word text)");
        return table;
    }

    private static CopyManager manager(Connection connection) throws Exception {
        return Fixture.pg(connection).getCopyAPI();
    }

    private static String lines(int count) {
        return IntStream.range(0, count).mapToObj(n -> n + "\tline " + n + "\n").collect(Collectors.joining());
    }

    private static String count(Connection connection, String table) throws Exception {
        return Fixture.value(connection, "SELECT count(*) FROM " + table);
    }

    @Test
    void textInAndOut() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            for (int size : new int[] {0, 1, 20_000}) {
                assertEquals(size, manager(connection).copyIn("COPY " + table + " FROM STDIN", new StringReader(lines(size))));
                StringWriter out = new StringWriter();
                manager(connection).copyOut("COPY (SELECT * FROM " + table + " ORDER BY n) TO STDOUT", out);
                assertTrue(out.toString().equals(lines(size)), "what comes out is not what went in, " + size);
                Fixture.execute(connection, "TRUNCATE " + table);
            }
        }
    }

    @Test
    void binaryInAndOut() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            ByteArrayOutputStream first = new ByteArrayOutputStream();
            String rows = "COPY (SELECT g, repeat('x', g) FROM generate_series(1, 1000) g) TO STDOUT (FORMAT binary)";
            assertEquals(1000, manager(connection).copyOut(rows, first));
            manager(connection).copyIn("COPY " + table + " FROM STDIN (FORMAT binary)", new ByteArrayInputStream(first.toByteArray()));
            ByteArrayOutputStream second = new ByteArrayOutputStream();
            manager(connection).copyOut("COPY (SELECT * FROM " + table + " ORDER BY n) TO STDOUT (FORMAT binary)", second);
            assertArrayEquals(first.toByteArray(), second.toByteArray());
        }
    }

    @Test
    void streams() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            try (PGCopyOutputStream out = new PGCopyOutputStream(Fixture.pg(connection), "COPY " + table + " FROM STDIN", 100)) {
                out.write(lines(500).getBytes(StandardCharsets.UTF_8));
                assertTrue(out.isActive());
            }
            try (PGCopyInputStream in =
                    new PGCopyInputStream(Fixture.pg(connection), "COPY (SELECT * FROM " + table + " ORDER BY n) TO STDOUT")) {
                assertEquals(lines(500), new String(in.readAllBytes(), StandardCharsets.UTF_8));
            }
        }
    }

    @Test
    void givenUp() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            for (int n = 0; n < 5; n++) {
                CopyIn copy = manager(connection).copyIn("COPY " + table + " FROM STDIN");
                byte[] data = lines(n * 10).getBytes(StandardCharsets.UTF_8);
                copy.writeToCopy(data, 0, data.length);
                copy.cancelCopy();
                assertEquals("0", count(connection, table));
            }
            // Out: the driver cancels, and takes what comes for the reply to its next statement, with Postgres itself
            // as well. The connection goes away, and nobody else may feel the cancel.
            for (int n = 0; n < 5; n++) {
                try (Connection leaver = Fixture.connect()) {
                    CopyOut out = manager(leaver).copyOut("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT");
                    assertEquals(1001, out.readFromCopy().length);
                    out.cancelCopy();
                }
                Fixture.usable(connection);
            }
        }
    }

    @Test
    void badData() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            String copy = "COPY " + table + " FROM STDIN";
            for (int n = 0; n < 3; n++) {
                Fixture.fails("22P02", () -> manager(connection).copyIn(copy, new StringReader("1\tone\ntwo\ttwo\n")));
                Fixture.usable(connection);
                // Much is still on its way when the error comes.
                Fixture.fails("22P02", () -> manager(connection).copyIn(copy, new StringReader("bad\tone\n" + lines(100_000))));
                Fixture.usable(connection);
                Fixture.fails("42P01", () -> manager(connection).copyIn("COPY no_such_table FROM STDIN", new StringReader("")));
                Fixture.fails("22012", () -> manager(connection)
                        .copyOut("COPY (SELECT 1 / (900 - g) FROM generate_series(1, 1000) g) TO STDOUT", new StringWriter()));
            }
            assertEquals("0", count(connection, table));
        }
    }

    @Test
    void inATransaction() throws Exception {
        try (Connection connection = Fixture.connect("autosave", "always")) {
            String table = table(connection);
            connection.setAutoCommit(false);
            String copy = "COPY " + table + " FROM STDIN";
            assertEquals(10, manager(connection).copyIn(copy, new StringReader(lines(10))));
            connection.rollback();
            assertEquals(20, manager(connection).copyIn(copy, new StringReader(lines(20))));
            connection.commit();
            assertEquals("20", count(connection, table));
            connection.commit();
        }
    }
}
