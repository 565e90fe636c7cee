//! Procedures, functions, generated keys, and what drivers ask the catalogs.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class CallTest {
    @Test
    void functions() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String function = Fixture.unique("function");
            Fixture.execute(connection, "CREATE FUNCTION " + function + "(a int, INOUT b int, OUT c text) LANGUAGE sql AS "
                    + "$$ SELECT a + b, 'c' || a $$");
            for (int n = 0; n < 12; n++) {
                try (CallableStatement call = connection.prepareCall("{call " + function + "(?, ?, ?)}")) {
                    call.setInt(1, n);
                    call.setInt(2, 10);
                    call.registerOutParameter(2, Types.INTEGER);
                    call.registerOutParameter(3, Types.VARCHAR);
                    call.execute();
                    assertEquals(n + 10, call.getInt(2));
                    assertEquals("c" + n, call.getString(3));
                }
                try (CallableStatement call = connection.prepareCall("{? = call upper(?)}")) {
                    call.registerOutParameter(1, Types.VARCHAR);
                    call.setString(2, "text " + n);
                    call.execute();
                    assertEquals("TEXT " + n, call.getString(1));
                }
            }
        }
    }

    /** One that commits in the middle: it must not stand in a transaction. */
    @Test
    void procedures() throws Exception {
        try (Connection connection = Fixture.connect("escapeSyntaxCallMode", "callIfNoReturn")) {
            String procedure = Fixture.unique("procedure");
            Fixture.execute(connection, "CREATE TABLE " + procedure + "_rows (n int)",
                    "CREATE PROCEDURE " + procedure + "(count int, INOUT done int) LANGUAGE plpgsql AS $$ BEGIN "
                    + "FOR n IN 1..count LOOP INSERT INTO " + procedure + "_rows VALUES (n); "
                    + "IF n % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF; END LOOP; done := count; END $$");
            for (int n = 0; n < 8; n++) {
                try (CallableStatement call = connection.prepareCall("{call " + procedure + "(?, ?)}")) {
                    call.setInt(1, 4);
                    call.setInt(2, 0);
                    call.registerOutParameter(2, Types.INTEGER);
                    call.execute();
                    assertEquals(4, call.getInt(2));
                }
            }
            assertEquals("16", Fixture.value(connection, "SELECT count(*) FROM " + procedure + "_rows"));
            connection.setAutoCommit(false);
            Fixture.fails("2D000", () -> Fixture.execute(connection, "CALL " + procedure + "(4, 0)"));
            connection.rollback();
        }
    }

    @Test
    void generatedKeys() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = Fixture.unique("keys");
            Fixture.execute(connection, "CREATE TABLE " + table + " (id serial PRIMARY KEY, word text, at timestamptz DEFAULT now())");
            String insert = "INSERT INTO " + table + " (word) VALUES (?)";
            for (int n = 1; n < 10; n++) {
                try (PreparedStatement statement = n % 2 == 0
                        ? connection.prepareStatement(insert, new String[] {"id"})
                        : connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
                    statement.setString(1, "x");
                    assertEquals(1, statement.executeUpdate());
                    ResultSet keys = statement.getGeneratedKeys();
                    assertTrue(keys.next());
                    assertEquals(n, keys.getInt("id"));
                    assertEquals(n % 2 == 0 ? 1 : 3, keys.getMetaData().getColumnCount());
                }
            }
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("UPDATE " + table + " SET word = 'y' WHERE id > 5", new String[] {"id", "word"});
                assertEquals("[6, 7, 8, 9]", Fixture.column(statement.getGeneratedKeys()).toString());
            }
        }
    }

    private static List<String> names(ResultSet rows, String column) throws Exception {
        List<String> names = new ArrayList<>();
        while (rows.next()) {
            names.add(rows.getString(column));
        }
        rows.close();
        return names;
    }

    @Test
    void metadata() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = Fixture.unique("described");
            Fixture.execute(connection,
                    "CREATE TABLE " + table + " (id bigserial PRIMARY KEY, word varchar(20) NOT NULL, price numeric(10, 2), tags text[])",
                    "CREATE TABLE " + table + "_child (parent bigint REFERENCES " + table + ", PRIMARY KEY (parent))",
                    "CREATE INDEX " + table + "_word ON " + table + " (word)");
            DatabaseMetaData data = connection.getMetaData();
            for (int n = 0; n < 6; n++) {
                assertEquals(List.of(table), names(data.getTables(null, "public", table, new String[] {"TABLE"}), "TABLE_NAME"));
                assertEquals(List.of("id", "word", "price", "tags"), names(data.getColumns(null, "public", table, "%"), "COLUMN_NAME"));
                assertEquals(List.of("id"), names(data.getPrimaryKeys(null, "public", table), "COLUMN_NAME"));
                assertEquals(List.of(table), names(data.getImportedKeys(null, "public", table + "_child"), "PKTABLE_NAME"));
                assertEquals(List.of(table + "_child"), names(data.getExportedKeys(null, "public", table), "FKTABLE_NAME"));
                assertTrue(names(data.getIndexInfo(null, "public", table, false, false), "INDEX_NAME").contains(table + "_word"));
            }
            assertTrue(names(data.getSchemas(), "TABLE_SCHEM").contains("public"));
            assertTrue(names(data.getTypeInfo(), "TYPE_NAME").contains("int4"));
            assertTrue(names(data.getFunctions(null, "pg_catalog", "upper"), "FUNCTION_NAME").contains("upper"));
            assertFalse(data.getSQLKeywords().isEmpty());
            assertTrue(data.getMaxColumnNameLength() > 0);
            assertEquals("PostgreSQL", data.getDatabaseProductName());
            assertTrue(data.getDatabaseMajorVersion() >= 13);
            assertEquals(System.getenv("PGUSER"), data.getUserName());
        }
    }

    @Test
    void descriptionsOfStatements() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = Fixture.unique("described");
            Fixture.execute(connection, "CREATE TABLE " + table + " (id serial, word varchar(20) NOT NULL, price numeric(10, 2))");
            for (int n = 0; n < 8; n++) {
                try (PreparedStatement statement =
                        connection.prepareStatement("SELECT id, word, price FROM " + table + " WHERE id > ? AND word = ? AND price < ?")) {
                    ParameterMetaData parameters = statement.getParameterMetaData();
                    assertEquals(3, parameters.getParameterCount());
                    assertEquals("numeric", parameters.getParameterTypeName(3));
                    ResultSetMetaData columns = statement.getMetaData();
                    assertEquals("varchar", columns.getColumnTypeName(2));
                    assertEquals(2, columns.getScale(3));
                    assertEquals(table, columns.getTableName(1));
                    assertTrue(columns.isAutoIncrement(1));
                    assertEquals(ResultSetMetaData.columnNoNulls, columns.isNullable(2));
                    statement.setInt(1, n);
                    statement.setString(2, "x");
                    statement.setBigDecimal(3, java.math.BigDecimal.ONE);
                    assertFalse(statement.executeQuery().next());
                }
            }
        }
    }
}
