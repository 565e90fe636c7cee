//! Every type there and back, in text and in binary.

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLXML;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.postgresql.geometric.PGbox;
import org.postgresql.geometric.PGpoint;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PGobject;

class TypesTest {
    private static PGobject object(String type, String value) throws Exception {
        PGobject object = new PGobject();
        object.setType(type);
        object.setValue(value);
        return object;
    }

    private static Connection connect(String binary, String threshold) throws Exception {
        return Fixture.connect("binaryTransfer", binary, "prepareThreshold", threshold, "stringtype", "unspecified");
    }

    @ParameterizedTest
    @CsvSource({"true,-1", "true,5", "false,5", "false,0"})
    void scalars(String binary, String threshold) throws Exception {
        Map<String, Object> values = new HashMap<>();
        values.put("int2", -32768);
        values.put("int4", Integer.MIN_VALUE);
        values.put("int8", Long.MAX_VALUE);
        values.put("float4", 1.5f);
        values.put("float8", -1e300);
        values.put("numeric", new BigDecimal("-12345678901234567890.0123456789"));
        values.put("bool", true);
        values.put("text", "it's ünïcödé 🐘 \\ \"");
        values.put("varchar", "");
        values.put("uuid", UUID.fromString("01234567-89ab-cdef-0123-456789abcdef"));
        values.put("date", LocalDate.of(2024, 2, 29));
        values.put("time", LocalTime.of(23, 59, 59, 123_456_000));
        values.put("timestamp", LocalDateTime.of(1, 2, 3, 4, 5, 6));
        values.put("timestamptz", OffsetDateTime.parse("2024-02-29T12:34:56.789Z"));
        try (Connection connection = connect(binary, threshold)) {
            for (Map.Entry<String, Object> it : values.entrySet()) {
                try (PreparedStatement statement = connection.prepareStatement("SELECT ?::" + it.getKey() + ", NULL::" + it.getKey())) {
                    for (int n = 0; n < 7; n++) {
                        statement.setObject(1, it.getValue());
                        try (ResultSet rows = statement.executeQuery()) {
                            assertTrue(rows.next());
                            assertEquals(it.getValue(), rows.getObject(1, it.getValue().getClass()), it.getKey());
                            assertNull(rows.getObject(2));
                            assertTrue(rows.wasNull());
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"true,-1", "true,5", "false,5"})
    void bytesAndArrays(String binary, String threshold) throws Exception {
        byte[] bytes = {0, 1, 127, -128, -1};
        try (Connection connection = connect(binary, threshold);
                PreparedStatement statement = connection.prepareStatement("SELECT ?::bytea, ?::int[], ?::text[], ?::uuid[], ?::int8[][]")) {
            UUID id = UUID.randomUUID();
            for (int n = 0; n < 7; n++) {
                statement.setBytes(1, bytes);
                statement.setArray(2, connection.createArrayOf("int4", new Integer[] {1, null, -3}));
                statement.setArray(3, connection.createArrayOf("text", new String[] {"a b", "\"", null, "{}", ""}));
                statement.setObject(4, new UUID[] {id});
                statement.setObject(5, new long[][] {{1, 2}, {3, 4}});
                try (ResultSet rows = statement.executeQuery()) {
                    assertTrue(rows.next());
                    assertArrayEquals(bytes, rows.getBytes(1));
                    assertArrayEquals(new Integer[] {1, null, -3}, (Object[]) rows.getArray(2).getArray());
                    assertArrayEquals(new String[] {"a b", "\"", null, "{}", ""}, (Object[]) rows.getArray(3).getArray());
                    assertArrayEquals(new UUID[] {id}, (Object[]) rows.getArray(4).getArray());
                    assertArrayEquals(new Long[][] {{1L, 2L}, {3L, 4L}}, (Object[]) rows.getArray(5).getArray());
                    Array array = rows.getArray(2);
                    assertEquals("int4", array.getBaseTypeName());
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"true,-1", "true,3", "false,3"})
    void ofPostgresOnly(String binary, String threshold) throws Exception {
        String mood = Fixture.unique("mood");
        String item = Fixture.unique("item");
        try (Connection connection = connect(binary, threshold)) {
            Fixture.execute(connection, "CREATE TYPE " + mood + " AS ENUM ('sad', 'happy')",
                    "CREATE TYPE " + item + " AS (name text, price int)");
            Map<String, PGobject> values = new HashMap<>();
            values.put("interval", new PGInterval(1, 2, -3, 4, 5, 6.5));
            values.put("point", new PGpoint(1.5, -2));
            values.put("box", new PGbox(3, 4, 1, 2));
            values.put("jsonb", object("jsonb", "{\"a\": [1, null]}"));
            values.put("json", object("json", "{\"a\":1 }"));
            values.put("inet", object("inet", "2001:db8::1/64"));
            values.put("int4range", object("int4range", "[1,10)"));
            values.put("tsvector", object("tsvector", "'a':1 'cat':2,5B"));
            values.put(mood, object(mood, "happy"));
            values.put(item, object(item, "(\"big, lamp\",30)"));
            for (Map.Entry<String, PGobject> it : values.entrySet()) {
                try (PreparedStatement statement = connection.prepareStatement("SELECT ?::" + it.getKey())) {
                    for (int n = 0; n < 5; n++) {
                        statement.setObject(1, it.getValue());
                        try (ResultSet rows = statement.executeQuery()) {
                            assertTrue(rows.next());
                            Object got = rows.getObject(1);
                            String text = got instanceof PGobject ? ((PGobject) got).getValue() : got.toString();
                            assertEquals(it.getValue().getValue(), text, it.getKey());
                        }
                    }
                }
            }
            try (PreparedStatement statement = connection.prepareStatement("SELECT ?::xml, ?::text")) {
                SQLXML xml = connection.createSQLXML();
                xml.setString("<a>b</a>");
                statement.setSQLXML(1, xml);
                statement.setNull(2, Types.VARCHAR);
                ResultSet rows = statement.executeQuery();
                assertTrue(rows.next());
                assertEquals("<a>b</a>", rows.getSQLXML(1).getString());
                assertNull(rows.getString(2));
            }
        }
    }
}
