//! Transactions, savepoints (the driver's own, too), isolation, two-phase commit.

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.sql.Connection;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import javax.sql.XAConnection;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.xa.PGXADataSource;

class TransactionTest {
    private static String table(Connection connection) throws Exception {
        String table = Fixture.unique("transactions");
        Fixture.execute(connection, "CREATE TABLE " + table + " (n int PRIMARY KEY)");
        return table;
    }

    private static String all(Connection connection, String table) throws Exception {
        return Fixture.column(connection, "SELECT n FROM " + table + " ORDER BY n").toString();
    }

    @Test
    void commitAndRollback() throws Exception {
        try (Connection connection = Fixture.connect(); Connection other = Fixture.connect()) {
            String table = table(connection);
            connection.setAutoCommit(false);
            for (int n = 0; n < 10; n++) {
                Fixture.value(connection, "INSERT INTO " + table + " VALUES (?) RETURNING n", n);
                if (n % 2 == 0) {
                    connection.commit();
                } else {
                    connection.rollback();
                }
            }
            assertEquals("[0, 2, 4, 6, 8]", all(other, table));
            Fixture.value(connection, "INSERT INTO " + table + " VALUES (99) RETURNING n");
            // This commits.
            connection.setAutoCommit(true);
            assertEquals("[0, 2, 4, 6, 8, 99]", all(other, table));
        }
    }

    @Test
    void savepoints() throws Exception {
        try (Connection connection = Fixture.connect()) {
            String table = table(connection);
            connection.setAutoCommit(false);
            String insert = "INSERT INTO " + table + " VALUES (?) RETURNING n";
            Fixture.value(connection, insert, 1);
            Savepoint outer = connection.setSavepoint("outer");
            Fixture.value(connection, insert, 2);
            Savepoint inner = connection.setSavepoint();
            Fixture.fails("23505", () -> Fixture.value(connection, insert, 1));
            Fixture.fails("25P02", () -> Fixture.value(connection, insert, 3));
            connection.rollback(inner);
            Fixture.value(connection, insert, 3);
            connection.releaseSavepoint(inner);
            connection.rollback(outer);
            Fixture.value(connection, insert, 4);
            connection.commit();
            assertEquals("[1, 4]", all(connection, table));
            connection.rollback();
        }
    }

    /** The driver sets a savepoint before each statement and goes back to it by itself. */
    @Test
    void autosave() throws Exception {
        try (Connection connection = Fixture.connect("autosave", "always", "cleanupSavepoints", "true", "prepareThreshold", "2")) {
            String table = table(connection);
            connection.setAutoCommit(false);
            for (int n = 0; n < 10; n++) {
                int it = n;
                Fixture.value(connection, "INSERT INTO " + table + " VALUES (?) RETURNING n", n);
                Fixture.fails("23505", () -> Fixture.value(connection, "INSERT INTO " + table + " VALUES (?) RETURNING n", it));
                Fixture.fails("42601", () -> Fixture.execute(connection, "SELEC"));
            }
            connection.commit();
            assertEquals("10", Fixture.value(connection, "SELECT count(*) FROM " + table));
            connection.commit();
        }
    }

    /** Conservative: only what prepared statements that DDL has broken need; the driver heals those. */
    @ParameterizedTest
    @ValueSource(strings = {"conservative", "always"})
    void autosaveAcrossDdl(String autosave) throws Exception {
        try (Connection connection = Fixture.connect("autosave", autosave, "prepareThreshold", "1")) {
            String table = table(connection);
            connection.setAutoCommit(false);
            Fixture.execute(connection, "INSERT INTO " + table + " VALUES (1)");
            for (int n = 0; n < 5; n++) {
                assertEquals("1", Fixture.value(connection, "SELECT * FROM " + table));
                Fixture.execute(connection, "ALTER TABLE " + table + " ADD COLUMN b" + n + " int");
                assertEquals("1", Fixture.value(connection, "SELECT * FROM " + table));
                Fixture.execute(connection, "DEALLOCATE ALL");
                assertEquals("1", Fixture.value(connection, "SELECT * FROM " + table));
            }
            connection.commit();
        }
    }

    @Test
    void isolationAndReadOnly() throws Exception {
        try (Connection connection = Fixture.connect()) {
            for (int level : new int[] {Connection.TRANSACTION_SERIALIZABLE, Connection.TRANSACTION_REPEATABLE_READ,
                    Connection.TRANSACTION_READ_COMMITTED}) {
                connection.setTransactionIsolation(level);
                assertEquals(level, connection.getTransactionIsolation());
                connection.setAutoCommit(false);
                String name = Fixture.value(connection, "SHOW transaction_isolation").toUpperCase().replace(' ', '_');
                assertEquals(level, Connection.class.getField("TRANSACTION_" + name).getInt(null));
                connection.commit();
                connection.setAutoCommit(true);
            }
            connection.setReadOnly(true);
            assertTrue(connection.isReadOnly());
            connection.setAutoCommit(false);
            Fixture.fails("25006", () -> table(connection));
            connection.rollback();
            connection.setReadOnly(false);
            table(connection);
            connection.rollback();
        }
        // Also outside of transactions, by SET SESSION CHARACTERISTICS.
        try (Connection connection = Fixture.connect("readOnlyMode", "always"); Connection other = Fixture.connect()) {
            connection.setReadOnly(true);
            for (int n = 0; n < 5; n++) {
                Fixture.fails("25006", () -> table(connection));
                table(other);
            }
            connection.setReadOnly(false);
            table(connection);
        }
    }

    @Test
    void aCommitThatRollsBack() throws Exception {
        try (Connection connection = Fixture.connect()) {
            connection.setAutoCommit(false);
            Fixture.fails("22012", () -> Fixture.value(connection, "SELECT 1/0"));
            // Postgres answers ROLLBACK.
            connection.commit();
            Fixture.usable(connection);
            connection.commit();
            String table = Fixture.unique("deferred");
            Fixture.execute(connection, "CREATE TABLE " + table + " (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
                    "INSERT INTO " + table + " VALUES (1), (1)");
            Fixture.fails("23505", connection::commit);
            connection.rollback();
            Fixture.usable(connection);
        }
    }

    @Test
    void controlBySql() throws Exception {
        try (Connection connection = Fixture.connect(); Statement statement = connection.createStatement()) {
            String table = table(connection);
            statement.execute("BEGIN; INSERT INTO " + table + " VALUES (1); SAVEPOINT s; INSERT INTO " + table + " VALUES (2)");
            statement.execute("ROLLBACK TO s; COMMIT AND CHAIN; INSERT INTO " + table + " VALUES (3); ROLLBACK");
            Fixture.fails("22012", () -> statement.execute("INSERT INTO " + table + " VALUES (4); SELECT 1/0"));
            assertEquals("[1]", all(connection, table));
        }
    }

    private record Id(int number) implements Xid {
        @Override
        public int getFormatId() {
            return 7;
        }

        @Override
        public byte[] getGlobalTransactionId() {
            return ByteBuffer.allocate(12).putInt(number).putLong(ProcessHandle.current().pid()).array();
        }

        @Override
        public byte[] getBranchQualifier() {
            return new byte[] {1};
        }
    }

    @Test
    void twoPhases() throws Exception {
        PGXADataSource source = new PGXADataSource();
        source.setUrl(Fixture.url());
        source.setUser(System.getenv("PGUSER"));
        source.setPassword(System.getenv("PGPASSWORD"));
        XAConnection xa = source.getXAConnection();
        try (Connection connection = xa.getConnection(); Connection other = Fixture.connect()) {
            String table = table(other);
            XAResource resource = xa.getXAResource();
            for (int n = 0; n < 6; n++) {
                Id id = new Id(n);
                resource.start(id, XAResource.TMNOFLAGS);
                Fixture.value(connection, "INSERT INTO " + table + " VALUES (?) RETURNING n", n);
                resource.end(id, XAResource.TMSUCCESS);
                if (n % 3 == 0) {
                    resource.commit(id, true);
                    continue;
                }
                assertEquals(XAResource.XA_OK, resource.prepare(id));
                Xid[] known = resource.recover(XAResource.TMSTARTRSCAN | XAResource.TMENDRSCAN);
                assertTrue(Arrays.stream(known).anyMatch(it -> Arrays.equals(it.getGlobalTransactionId(), id.getGlobalTransactionId())));
                if (n % 3 == 1) {
                    resource.commit(id, false);
                } else {
                    resource.rollback(id);
                }
            }
            assertEquals("[0, 1, 3, 4]", all(other, table));
        } finally {
            xa.close();
        }
    }
}
