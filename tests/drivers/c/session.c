// What lasts as long as the session, and what is outside of SQL: login, notifications, large objects, function calls.
#include "suite.h"

#include <arpa/inet.h>
#include <libpq/libpq-fs.h>

static void login(PGconn *conn) {
    PGconn *other = connect_with("application_name=suite client_encoding=LATIN1 options='-c search_path=pg_catalog "
                                 "-c work_mem=5MB -c DateStyle=German'");
    EXPECT_TEXT(other, PQparameterStatus(other, "application_name"), "suite");
    EXPECT_TEXT(other, PQparameterStatus(other, "client_encoding"), "LATIN1");
    EXPECT_TEXT(other, PQparameterStatus(other, "server_encoding"), "UTF8");
    EXPECT(other, strstr(PQparameterStatus(other, "DateStyle"), "German"));
    EXPECT(other, PQprotocolVersion(other) == 3 && PQserverVersion(other) >= 130000);
    for (int n = 0; n < 10; n++) {
        expect_value(other, "SHOW search_path", "pg_catalog");
        expect_value(other, "SHOW work_mem", "5MB");
        expect_value(other, "SELECT '2026-11-30'::date", "30.11.2026");
        expect_value(other, "SELECT U&'\\00e9'", "\xe9");
        expect_value(conn, "SELECT U&'\\00e9'", "\xc3\xa9");
    }
    PQreset(other);
    EXPECT(other, PQstatus(other) == CONNECTION_OK);
    expect_value(other, "SHOW work_mem", "5MB");
    PQfinish(other);
    const char *server = text("host=%s port=%s", getenv("PGHOST"), getenv("PGPORT"));
    EXPECT(conn, PQping(server) == PQPING_OK);
    other = PQconnectdb("password=wrong");
    EXPECT(other, PQstatus(other) == CONNECTION_BAD && strstr(PQerrorMessage(other), "password authentication failed"));
    PQfinish(other);
}

static void settings(PGconn *conn) {
    PQclear(PQexec(conn, "SET client_encoding = LATIN1"));
    EXPECT_TEXT(conn, PQparameterStatus(conn, "client_encoding"), "LATIN1");
    for (int n = 0; n < 5; n++) expect_value(conn, "SELECT U&'\\00e9'", "\xe9");
    EXPECT(conn, PQsetClientEncoding(conn, "UTF8") == 0);
    expect_value(conn, "SELECT U&'\\00e9'", "\xc3\xa9");
    run(conn, "BEGIN; SET LOCAL TIME ZONE 'Asia/Tokyo'; SET DateStyle = 'SQL'");
    EXPECT_TEXT(conn, PQparameterStatus(conn, "TimeZone"), "Asia/Tokyo");
    run(conn, "COMMIT");
    EXPECT_TEXT(conn, PQparameterStatus(conn, "TimeZone"), "UTC");
    EXPECT(conn, strstr(PQparameterStatus(conn, "DateStyle"), "SQL"));
    run(conn, "BEGIN; SET TIME ZONE 'Asia/Tokyo'; ROLLBACK");
    EXPECT_TEXT(conn, PQparameterStatus(conn, "TimeZone"), "UTC");
    run(conn, "DISCARD ALL");
    EXPECT(conn, strstr(PQparameterStatus(conn, "DateStyle"), "ISO"));
}

static void receive(PGconn *conn, const char *channel, const char *payload) {
    PGnotify *notification = NULL;
    while ((notification = PQnotifies(conn)) == NULL) {
        wait_readable(conn);
        EXPECT(conn, PQconsumeInput(conn) == 1);
    }
    EXPECT_TEXT(conn, notification->relname, channel);
    EXPECT_TEXT(conn, notification->extra, payload);
    PQfreemem(notification);
}

static void notifications_on_an_idle_connection(PGconn *conn) {
    PGconn *other = connect_with("");
    const char *channel = own_name();
    run(conn, text("LISTEN %s", channel));
    run(other, "BEGIN");
    for (int n = 0; n < 300; n++) run(other, text("NOTIFY %s, 'number %d'", channel, n));
    run(other, "COMMIT");
    for (int n = 0; n < 300; n++) receive(conn, channel, text("number %d", n));
    run(other, text("BEGIN; NOTIFY %s, 'undone'; ROLLBACK", channel));
    run(other, text("SELECT pg_notify('%s', repeat('x', 7000))", channel));
    char *payload = malloc(7001);
    memset(payload, 'x', 7000);
    payload[7000] = 0;
    receive(conn, channel, payload);
    free(payload);
    run(conn, "UNLISTEN *");
    run(other, text("NOTIFY %s", channel));
    expect_value(conn, "SELECT 1", "1");
    EXPECT(conn, PQnotifies(conn) == NULL);
    PQfinish(other);
}

// A program tells its own notifications from those of others by the pid.
static void notifications_of_ones_own(PGconn *conn) {
    const char *channel = own_name();
    run(conn, text("LISTEN %s", channel));
    run(conn, text("NOTIFY %s", channel));
    PGnotify *notification = PQnotifies(conn);
    EXPECT(conn, notification != NULL);
    EXPECT(conn, notification->be_pid == PQbackendPID(conn));
    PQfreemem(notification);
    run(conn, "UNLISTEN *");
}

static void notifications_during_a_transaction(PGconn *conn) {
    PGconn *other = connect_with("");
    const char *channel = own_name();
    run(conn, text("LISTEN %s", channel));
    run(conn, "BEGIN");
    run(other, text("NOTIFY %s, 'meanwhile'", channel));
    expect_value(conn, "SELECT 1", "1");
    // Postgres delivers between transactions.
    EXPECT(conn, PQnotifies(conn) == NULL);
    run(conn, "COMMIT");
    receive(conn, channel, "meanwhile");
    run(conn, "UNLISTEN *");
    PQfinish(other);
}

static void large_objects(PGconn *conn) {
    enum { SIZE = 3 << 20 };
    char *data = long_text(SIZE), *back = malloc(SIZE);
    Oid oid = lo_create(conn, 0);
    EXPECT(conn, oid != InvalidOid);
    run(conn, "BEGIN");
    int fd = lo_open(conn, oid, INV_READ | INV_WRITE);
    EXPECT(conn, fd >= 0);
    EXPECT(conn, lo_write(conn, fd, data, SIZE) == SIZE);
    EXPECT(conn, lo_lseek64(conn, fd, 1000, SEEK_SET) == 1000);
    EXPECT(conn, lo_read(conn, fd, back, 5000) == 5000 && memcmp(back, data + 1000, 5000) == 0);
    EXPECT(conn, lo_tell64(conn, fd) == 6000);
    EXPECT(conn, lo_truncate64(conn, fd, 10000) == 0);
    EXPECT(conn, lo_lseek(conn, fd, 0, SEEK_END) == 10000);
    EXPECT(conn, lo_close(conn, fd) == 0);
    run(conn, "COMMIT");
    run(conn, "BEGIN");
    fd = lo_open(conn, oid, INV_READ);
    EXPECT(conn, lo_read(conn, fd, back, SIZE) == 10000 && memcmp(back, data, 10000) == 0);
    run(conn, "COMMIT");
    // An error of a function call fails the transaction as one of a statement does.
    run(conn, "BEGIN");
    EXPECT(conn, lo_open(conn, oid + 1000000, INV_READ) == -1);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_INERROR);
    EXPECT(conn, lo_open(conn, oid, INV_READ) == -1);
    run(conn, "ROLLBACK");
    EXPECT(conn, lo_unlink(conn, oid) == 1);
    EXPECT(conn, lo_unlink(conn, oid) == -1);
    free(data);
    free(back);
}

static void a_large_object_from_a_file(PGconn *conn) {
    char from[] = "/tmp/pgherd-lo-XXXXXX", to[] = "/tmp/pgherd-lo-XXXXXX";
    char *data = long_text(200000), *back = malloc(200001);
    FILE *file = fdopen(mkstemp(from), "w");
    EXPECT(conn, file && fwrite(data, 1, 200000, file) == 200000 && fclose(file) == 0);
    run(conn, "BEGIN");
    Oid oid = lo_import(conn, from);
    EXPECT(conn, oid != InvalidOid);
    file = fdopen(mkstemp(to), "r");
    EXPECT(conn, lo_export(conn, oid, to) == 1);
    run(conn, "COMMIT");
    EXPECT(conn, file && fread(back, 1, 200001, file) == 200000 && memcmp(data, back, 200000) == 0);
    EXPECT(conn, lo_unlink(conn, oid) == 1);
    fclose(file);
    remove(from);
    remove(to);
    free(data);
    free(back);
}

static void function_calls(PGconn *conn) {
    char *oid = value(conn, "SELECT 'int4pl'::regproc::oid");
    const PQArgBlock arguments[] = {{.isint = 1, .len = 4, .u.integer = 40}, {.isint = 1, .len = 4, .u.integer = 2}};
    for (int n = 0; n < 20; n++) {
        int got = 0, size = 0;
        PGresult *result = PQfn(conn, atoi(oid), &got, &size, 1, arguments, 2);
        EXPECT(conn, PQresultStatus(result) == PGRES_COMMAND_OK && size == 4 && got == 42);
        PQclear(result);
    }
    free(oid);
    oid = value(conn, "SELECT 'int4div'::regproc::oid");
    const PQArgBlock by_zero[] = {{.isint = 1, .len = 4, .u.integer = 40}, {.isint = 1, .len = 4, .u.integer = 0}};
    int got = 0, size = 0;
    PGresult *result = PQfn(conn, atoi(oid), &got, &size, 1, by_zero, 2);
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "22012");
    PQclear(result);
    free(oid);
    oid = value(conn, "SELECT 'pg_sleep'::regproc::oid");
    result = PQfn(conn, 0, &got, &size, 1, NULL, 0);
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "42883");
    PQclear(result);
    free(oid);
}

static void what_pins(PGconn *conn) {
    const char *name = own_name();
    run(conn, text("CREATE TEMP TABLE %s (n int)", name));
    run(conn, text("INSERT INTO %s SELECT generate_series(1, 100)", name));
    for (int n = 0; n < 10; n++) expect_value(conn, text("SELECT count(*) FROM %s", name), "100");
    run(conn, text("DROP TABLE %s", name));
    PGconn *other = connect_with("");
    run(conn, text("SELECT pg_advisory_lock(hashtext('%s'))", name));
    expect_value(other, text("SELECT pg_try_advisory_lock(hashtext('%s'))", name), "f");
    expect_value(conn, text("SELECT pg_advisory_unlock(hashtext('%s'))", name), "t");
    expect_value(other, text("SELECT pg_try_advisory_lock(hashtext('%s'))", name), "t");
    PQfinish(other);
    run(conn, "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 10)");
    for (int n = 1; n <= 10; n++) expect_value(conn, "FETCH held", text("%d", n));
    run(conn, "CLOSE held");
    run(conn, "PREPARE plus (int) AS SELECT $1 + 1");
    for (int n = 0; n < 5; n++) expect_value(conn, text("EXECUTE plus(%d)", n), text("%d", n + 1));
    run(conn, "DEALLOCATE plus");
    EXPECT(conn, PQsendQuery(conn, "EXECUTE plus(1)") == 1);
    expect_error(conn, "26000");
    END(conn);
}

static void prepared_for_the_session(PGconn *conn) {
    const Oid types[] = {23, 25};
    PGresult *result = PQprepare(conn, "pair", "SELECT $1 AS a, $2 AS b, now() AS c", 2, types);
    EXPECT(conn, PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
    for (int n = 0; n < 20; n++) {
        result = PQdescribePrepared(conn, "pair");
        EXPECT(conn, PQnparams(result) == 2 && PQparamtype(result, 0) == 23 && PQparamtype(result, 1) == 25);
        EXPECT(conn, PQnfields(result) == 3 && PQftype(result, 2) == 1184);
        PQclear(result);
        // The first parameter binary, the second as text; NULL now and then.
        uint32_t number = htonl((uint32_t)n);
        const char *values[] = {(char *)&number, n % 3 ? "text" : NULL};
        const int lengths[] = {4, 0}, formats[] = {1, 0};
        result = PQexecPrepared(conn, "pair", 2, values, lengths, formats, n % 2);
        EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK && PQgetisnull(result, 0, 1) == (n % 3 == 0));
        if (n % 2) EXPECT(conn, memcmp(PQgetvalue(result, 0, 0), &number, 4) == 0);
        else EXPECT_TEXT(conn, PQgetvalue(result, 0, 0), text("%d", n));
        PQclear(result);
    }
    run(conn, "DEALLOCATE ALL");
    result = PQdescribePrepared(conn, "pair");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
    PQclear(result);
}

static void prepared_here_and_executed_there(PGconn *conn) {
    PQclear(PQprepare(conn, "in_protocol", "SELECT $1::int * 2", 0, NULL));
    expect_value(conn, "EXECUTE in_protocol(21)", "42");
    run(conn, "PREPARE in_sql (int) AS SELECT $1 * 3");
    const char *parameter = "14";
    PGresult *result = PQexecPrepared(conn, "in_sql", 1, &parameter, NULL, NULL, 0);
    EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK);
    EXPECT_TEXT(conn, PQgetvalue(result, 0, 0), "42");
    PQclear(result);
    run(conn, "DEALLOCATE in_protocol");
    result = PQdescribePrepared(conn, "in_protocol");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
    PQclear(result);
}

// A statement that is parsed after DDL has the types and columns of now.
static void the_same_text_after_ddl(PGconn *conn) {
    const char *table = own_name();
    const char *insert = text("INSERT INTO %s VALUES ($1)", table), *select = text("SELECT * FROM %s", table);
    const char *types[] = {"date", "time", "int, m int", "text"};
    const Oid oids[] = {1082, 1083, 23, 25};
    for (int n = 0; n < 4; n++) {
        run(conn, text("CREATE TABLE %s (v %s)", table, types[n]));
        PQclear(PQprepare(conn, text("insert_%d", n), insert, 0, NULL));
        PQclear(PQprepare(conn, text("select_%d", n), select, 0, NULL));
        PGresult *result = PQdescribePrepared(conn, text("insert_%d", n));
        EXPECT(conn, PQresultStatus(result) == PGRES_COMMAND_OK && PQparamtype(result, 0) == oids[n]);
        PQclear(result);
        result = PQdescribePrepared(conn, text("select_%d", n));
        EXPECT(conn, PQresultStatus(result) == PGRES_COMMAND_OK && PQnfields(result) == (n == 2 ? 2 : 1));
        EXPECT(conn, PQftype(result, 0) == oids[n]);
        PQclear(result);
        result = PQexecPrepared(conn, text("select_%d", n), 0, NULL, NULL, NULL, 0);
        EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK);
        PQclear(result);
        run(conn, text("DROP TABLE %s", table));
    }
}

const struct test session_tests[] = {
    {"session: login", login},
    {"session: settings follow and are told", settings},
    {"session: notifications on an idle connection", notifications_on_an_idle_connection},
    {"session: notifications of one's own", notifications_of_ones_own},
    {"session: notifications during a transaction", notifications_during_a_transaction},
    {"session: large objects", large_objects},
    {"session: a large object from a file", a_large_object_from_a_file},
    {"session: function calls", function_calls},
    {"session: what pins", what_pins},
    {"session: prepared statements", prepared_for_the_session},
    {"session: statements prepared by message, executed in SQL, and the reverse", prepared_here_and_executed_there},
    {"session: the same text after DDL", the_same_text_after_ddl},
    {0},
};
