// Statements one at a time: results in every form, errors, notices, cancel, nonblocking mode, large values.
#include "suite.h"

#include <poll.h>

static void several_statements_in_one(PGconn *conn) {
    EXPECT(conn, PQsendQuery(conn, "SELECT 1; ; SELECT 2, 3; SET LOCAL statement_timeout = 0; SELECT 'x' WHERE false") == 1);
    expect_status(conn, PGRES_TUPLES_OK);
    PGresult *result = NEXT(conn, PGRES_TUPLES_OK);
    EXPECT(conn, PQnfields(result) == 2);
    PQclear(result);
    expect_status(conn, PGRES_COMMAND_OK);
    result = NEXT(conn, PGRES_TUPLES_OK);
    EXPECT(conn, PQntuples(result) == 0);
    PQclear(result);
    END(conn);
    PQclear(result = PQexec(conn, ""));
    EXPECT(conn, PQsendQuery(conn, " ; ") == 1);
    expect_status(conn, PGRES_EMPTY_QUERY);
    END(conn);
}

static void an_error_ends_the_rest(PGconn *conn) {
    EXPECT(conn, PQsendQuery(conn, "SELECT 1; SELECT 1 / 0; SELECT 2") == 1);
    expect_status(conn, PGRES_TUPLES_OK);
    expect_error(conn, "22012");
    END(conn);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_IDLE);
}

static void single_rows(PGconn *conn) {
    EXPECT(conn, PQsendQueryParams(conn, "SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n", 0, NULL, NULL,
                                   NULL, NULL, 1) == 1);
    EXPECT(conn, PQsetSingleRowMode(conn) == 1);
    for (unsigned n = 1; n <= 50000; n++) {
        PGresult *result = NEXT(conn, PGRES_SINGLE_TUPLE);
        const unsigned char *number = (const unsigned char *)PQgetvalue(result, 0, 0);
        EXPECT(conn, ((unsigned)number[0] << 24 | number[1] << 16 | number[2] << 8 | number[3]) == n);
        PQclear(result);
    }
    expect_status(conn, PGRES_TUPLES_OK);
    END(conn);
}

static void an_error_after_rows(PGconn *conn) {
    EXPECT(conn, PQsendQuery(conn, "SELECT 1 / (3000 - n) FROM generate_series(1, 5000) n") == 1);
    EXPECT(conn, PQsetSingleRowMode(conn) == 1);
    for (int n = 1; n < 3000; n++) expect_status(conn, PGRES_SINGLE_TUPLE);
    expect_error(conn, "22012");
    END(conn);
}

static void cancel(PGconn *conn, bool expected) {
    char message[256];
    PGcancel *cancel = PQgetCancel(conn);
    EXPECT(conn, cancel && PQcancel(cancel, message, sizeof message) == expected);
    PQfreeCancel(cancel);
}

static void cancelled_while_it_runs(PGconn *conn) {
    PGconn *other = connect_with("");
    for (int round = 0; round < 3; round++) {
        const char *mark = text("%s_%d", own_name(), round);
        EXPECT(conn, PQsendQuery(conn, text("SELECT pg_sleep(30) AS %s", mark)) == 1);
        EXPECT(conn, PQflush(conn) == 0);
        wait_true(other, text("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%%AS %s%%' AND state = "
                              "'active' AND pid <> pg_backend_pid()", mark));
        cancel(conn, true);
        expect_error(conn, "57014");
        END(conn);
    }
    PQfinish(other);
}

static void cancelled_while_it_waits_for_a_lock(PGconn *conn) {
    const char *table = own_name();
    PGconn *other = connect_with("");
    run(other, text("CREATE TABLE %s (n int)", table));
    run(other, "BEGIN");
    run(other, text("LOCK TABLE %s", table));
    run(conn, "BEGIN");
    EXPECT(conn, PQsendQuery(conn, text("INSERT INTO %s VALUES (1)", table)) == 1);
    EXPECT(conn, PQflush(conn) == 0);
    wait_true(other, text("SELECT count(*) = 1 FROM pg_locks WHERE relation = '%s'::regclass AND NOT granted", table));
    cancel(conn, true);
    expect_error(conn, "57014");
    END(conn);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_INERROR);
    run(conn, "ROLLBACK");
    run(other, "COMMIT");
    run(other, text("DROP TABLE %s", table));
    PQfinish(other);
}

static void cancelled_while_rows_come(PGconn *conn) {
    EXPECT(conn, PQsendQuery(conn, "SELECT repeat('x', 1000) FROM generate_series(1, 2000000)") == 1);
    EXPECT(conn, PQsetSingleRowMode(conn) == 1);
    for (int n = 0; n < 100; n++) expect_status(conn, PGRES_SINGLE_TUPLE);
    cancel(conn, true);
    PGresult *result = PQgetResult(conn);
    int rows = 0;
    for (; PQresultStatus(result) == PGRES_SINGLE_TUPLE; result = PQgetResult(conn)) PQclear(result), rows++;
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    EXPECT(conn, rows < 1900000);
    PQclear(result);
    END(conn);
}

// A cancel of an idle client must meet nobody.
static void cancelled_while_idle(PGconn *conn) {
    for (int n = 0; n < 20; n++) {
        cancel(conn, true);
        PGconn *other = connect_with("");
        expect_value(other, "SELECT 1 FROM pg_sleep(0.005)", "1");
        PQfinish(other);
    }
    // Postgres may see the last one late, and then it is this client's.
    PGresult *result = PQexec(conn, "SELECT pg_sleep(0.1)");
    PQclear(result);
}

static void all_fields_of_an_error(PGconn *conn) {
    const char *table = own_name();
    run(conn, text("CREATE TABLE %s (n int CONSTRAINT positive CHECK (n > 0), m int NOT NULL)", table));
    PGresult *result = PQexec(conn, text("INSERT INTO %s VALUES (0, 1)", table));
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SEVERITY), "ERROR");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "23514");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SCHEMA_NAME), "public");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_TABLE_NAME), table);
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME), "positive");
    EXPECT(conn, strstr(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL), "(0, 1)"));
    EXPECT(conn, PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION) && PQresultErrorField(result, PG_DIAG_SOURCE_LINE));
    PQclear(result);
    result = PQexec(conn, "SELECT 1 + nothing");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION), "12");
    PQclear(result);
    result = PQexec(conn, "DO $$ BEGIN RAISE 'no' USING HINT = 'none', ERRCODE = 'PG123'; END $$");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_MESSAGE_HINT), "none");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "PG123");
    EXPECT(conn, strstr(PQresultErrorField(result, PG_DIAG_CONTEXT), "PL/pgSQL"));
    PQclear(result);
    run(conn, text("DROP TABLE %s", table));
}

static char notices[2000];
static void receive_notice(void *conn, const PGresult *notice) {
    (void)conn;
    strcat(notices, PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED));
    strcat(strcat(strcat(notices, " "), PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY)), "\n");
}

static void notices_arrive_in_order(PGconn *conn) {
    PQsetNoticeReceiver(conn, receive_notice, NULL);
    run(conn, "SET client_min_messages = debug1");
    run(conn, "DO $$ BEGIN RAISE DEBUG 'one'; RAISE LOG 'two'; RAISE INFO 'three'; RAISE NOTICE 'four'; "
              "RAISE WARNING 'five'; END $$");
    EXPECT_TEXT(conn, notices, "DEBUG one\nLOG two\nINFO three\nNOTICE four\nWARNING five\n");
    notices[0] = 0;
    run(conn, "COMMIT");
    EXPECT_TEXT(conn, notices, "WARNING there is no transaction in progress\n");
}

static void fifty_megabytes(PGconn *conn) {
    enum { SIZE = 50 << 20 };
    char *parameter = long_text(SIZE);
    const char *values[] = {parameter};
    const int lengths[] = {SIZE}, binary[] = {1};
    for (int format = 0; format < 2; format++) {
        PGresult *result = PQexecParams(conn, "SELECT $1::text", 1, NULL, values, lengths, binary, format);
        EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK);
        EXPECT(conn, PQgetlength(result, 0, 0) == SIZE && memcmp(PQgetvalue(result, 0, 0), parameter, SIZE) == 0);
        PQclear(result);
    }
    // The same in the text of a statement, written as the socket takes it.
    char *statement = malloc(SIZE + 100);
    sprintf(statement, "SELECT md5('%s')", parameter);
    EXPECT(conn, PQsetnonblocking(conn, 1) == 0);
    EXPECT(conn, PQsendQuery(conn, statement) == 1);
    int rounds = 0;
    for (int pending = PQflush(conn); pending; pending = PQflush(conn), rounds++) {
        EXPECT(conn, pending == 1);
        struct pollfd socket = {.fd = PQsocket(conn), .events = POLLIN | POLLOUT};
        EXPECT(conn, poll(&socket, 1, 10000) == 1);
        if (socket.revents & POLLIN) EXPECT(conn, PQconsumeInput(conn) == 1);
    }
    EXPECT(conn, rounds > 0);
    PGresult *result = NEXT(conn, PGRES_TUPLES_OK);
    EXPECT(conn, PQgetlength(result, 0, 0) == 32);
    PQclear(result);
    END(conn);
    EXPECT(conn, PQsetnonblocking(conn, 0) == 0);
    free(statement);
    free(parameter);
}

static void busy_until_the_answer_is_there(PGconn *conn) {
    EXPECT(conn, PQsendQuery(conn, "SELECT 'late' FROM pg_sleep(0.2)") == 1);
    EXPECT(conn, PQflush(conn) == 0);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_ACTIVE);
    int busy = 0;
    for (; PQisBusy(conn); busy++) {
        wait_readable(conn);
        EXPECT(conn, PQconsumeInput(conn) == 1);
    }
    EXPECT(conn, busy > 0);
    expect_status(conn, PGRES_TUPLES_OK);
    END(conn);
}

static void transaction_status(PGconn *conn) {
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_IDLE);
    run(conn, "BEGIN");
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_INTRANS);
    PQclear(PQexec(conn, "SELECT nothing"));
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_INERROR);
    PGresult *result = PQexec(conn, "COMMIT");
    EXPECT_TEXT(conn, PQcmdStatus(result), "ROLLBACK");
    PQclear(result);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_IDLE);
}

static void timeouts(PGconn *conn) {
    run(conn, "SET statement_timeout = '300ms'");
    EXPECT(conn, PQsendQuery(conn, "SELECT pg_sleep(10)") == 1);
    expect_error(conn, "57014");
    END(conn);
    run(conn, "RESET statement_timeout");
    const char *table = own_name();
    PGconn *other = connect_with("options='-c lock_timeout=50ms -c statement_timeout=10s'");
    run(conn, text("CREATE TABLE %s (n int)", table));
    run(conn, "BEGIN");
    run(conn, text("LOCK TABLE %s", table));
    EXPECT(other, PQsendQuery(other, text("SELECT * FROM %s", table)) == 1);
    expect_error(other, "55P03");
    END(other);
    run(conn, "COMMIT");
    run(conn, text("DROP TABLE %s", table));
    PQfinish(other);
}

static void portals(PGconn *conn) {
    run(conn, "BEGIN");
    run(conn, "DECLARE c SCROLL CURSOR FOR SELECT n, n::text AS word FROM generate_series(1, 100) n");
    PGresult *result = PQdescribePortal(conn, "c");
    EXPECT(conn, PQresultStatus(result) == PGRES_COMMAND_OK && PQnfields(result) == 2);
    EXPECT(conn, PQftype(result, 0) == 23 && PQftype(result, 1) == 25);
    EXPECT_TEXT(conn, PQfname(result, 1), "word");
    PQclear(result);
    expect_value(conn, "FETCH ABSOLUTE 70 FROM c", "70");
    expect_value(conn, "FETCH RELATIVE -20 FROM c", "50");
    run(conn, "MOVE LAST FROM c");
    expect_value(conn, "FETCH PRIOR FROM c", "99");
    run(conn, "COMMIT");
    result = PQdescribePortal(conn, "c");
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "34000");
    PQclear(result);
}

static void command_tags(PGconn *conn) {
    const char *table = own_name();
    PGresult *result = PQexec(conn, text("CREATE TABLE %s AS SELECT generate_series(1, 10) n", table));
    EXPECT_TEXT(conn, PQcmdStatus(result), "SELECT 10");
    PQclear(result);
    result = PQexec(conn, text("UPDATE %s SET n = -n WHERE n > 7", table));
    EXPECT_TEXT(conn, PQcmdTuples(result), "3");
    PQclear(result);
    result = PQexec(conn, text("DELETE FROM %s RETURNING n", table));
    EXPECT(conn, PQntuples(result) == 10);
    EXPECT_TEXT(conn, PQcmdStatus(result), "DELETE 10");
    PQclear(result);
    result = PQexec(conn, text("DROP TABLE %s", table));
    EXPECT_TEXT(conn, PQcmdStatus(result), "DROP TABLE");
    PQclear(result);
}

const struct test query_tests[] = {
    {"query: several statements in one", several_statements_in_one},
    {"query: an error ends the rest", an_error_ends_the_rest},
    {"query: single rows", single_rows},
    {"query: an error after rows", an_error_after_rows},
    {"query: cancelled while it runs", cancelled_while_it_runs},
    {"query: cancelled while it waits for a lock", cancelled_while_it_waits_for_a_lock},
    {"query: cancelled while rows come", cancelled_while_rows_come},
    {"query: cancelled while idle", cancelled_while_idle},
    {"query: all fields of an error", all_fields_of_an_error},
    {"query: notices arrive in order", notices_arrive_in_order},
    {"query: fifty megabytes", fifty_megabytes},
    {"query: busy until the answer is there", busy_until_the_answer_is_there},
    {"query: transaction status", transaction_status},
    {"query: timeouts", timeouts},
    {"query: portals", portals},
    {"query: command tags", command_tags},
    {0},
};
