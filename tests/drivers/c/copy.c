// COPY both ways: text, CSV and binary, any size of piece, errors on either side, given up, several in one query.
#include "suite.h"

static const char *make_table(PGconn *conn) {
    const char *table = own_name();
    run(conn, text("CREATE TABLE %s (n int PRIMARY KEY, word text)", table));
    return table;
}

static void drop(PGconn *conn, const char *table) { run(conn, text("DROP TABLE %s", table)); }

static void start(PGconn *conn, const char *statement, ExecStatusType status) {
    EXPECT(conn, PQsendQuery(conn, statement) == 1);
    expect_status(conn, status);
}

static void finish(PGconn *conn) { expect_status(conn, PGRES_COMMAND_OK), END(conn); }

static void put(PGconn *conn, const char *bytes, size_t size) {
    EXPECT(conn, PQputCopyData(conn, bytes, (int)size) == 1);
}

static void expect_count(PGconn *conn, const char *table, const char *wanted) {
    expect_value(conn, text("SELECT count(*) FROM %s", table), wanted);
}

static void pieces_of_any_size(PGconn *conn) {
    const char *table = make_table(conn);
    char *data = malloc(2000000);
    size_t size = 0;
    for (int n = 0; n < 30000; n++) size += (size_t)sprintf(data + size, "%d\tline \\\\ %d\n", n, n);
    const size_t pieces[] = {1, 7, 4096, 300000};
    for (int n = 0; n < 4; n++) {
        // Single bytes are many messages: a smaller part will do.
        size_t all = pieces[n] == 1 ? (size_t)(strstr(data, "\n2000\t") + 1 - data) : size;
        start(conn, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
        for (size_t at = 0; at < all; at += pieces[n]) put(conn, data + at, all - at < pieces[n] ? all - at : pieces[n]);
        EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
        finish(conn);
        expect_count(conn, table, pieces[n] == 1 ? "2000" : "30000");
        run(conn, text("TRUNCATE %s", table));
    }
    free(data);
    drop(conn, table);
}

static void out_of_one_into_another(PGconn *conn) {
    PGconn *other = connect_with("");
    const char *table = make_table(conn);
    const char *formats[] = {"text", "csv", "binary"};
    for (int n = 0; n < 3; n++) {
        EXPECT(conn, PQsendQuery(conn, text("COPY (SELECT n, repeat('x', n %% 500) FROM generate_series(1, 20000) n) "
                                            "TO STDOUT (FORMAT %s)", formats[n])) == 1);
        PGresult *result = NEXT(conn, PGRES_COPY_OUT);
        EXPECT(conn, PQbinaryTuples(result) == (n == 2) && PQnfields(result) == 2);
        PQclear(result);
        start(other, text("COPY %s FROM STDIN (FORMAT %s)", table, formats[n]), PGRES_COPY_IN);
        char *row = NULL;
        int size = 0;
        while ((size = PQgetCopyData(conn, &row, 0)) > 0) {
            put(other, row, (size_t)size);
            PQfreemem(row);
        }
        EXPECT(conn, size == -1);
        EXPECT(other, PQputCopyEnd(other, NULL) == 1);
        finish(conn);
        finish(other);
        expect_value(conn, text("SELECT count(*) || ' ' || sum(length(word)) FROM %s", table), "20000 4990000");
        run(conn, text("TRUNCATE %s", table));
    }
    drop(conn, table);
    PQfinish(other);
}

static void given_up(PGconn *conn) {
    const char *table = make_table(conn);
    start(conn, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
    put(conn, "1\tone\n2\t", 8);
    EXPECT(conn, PQputCopyEnd(conn, "changed my mind") == 1);
    PGresult *result = NEXT(conn, PGRES_FATAL_ERROR);
    EXPECT(conn, strstr(PQresultErrorMessage(result), "changed my mind"));
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    END(conn);
    expect_count(conn, table, "0");
    drop(conn, table);
}

// The server gives up long before the client does, and what the client still sends belongs to nobody.
static void bad_data_and_much_more(PGconn *conn) {
    const char *table = make_table(conn);
    char *filler = long_text(1 << 20);
    for (int round = 0; round < 3; round++) {
        start(conn, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
        put(conn, "one\tone\n", 8);
        for (int n = 0; n < 10; n++) put(conn, filler, 1 << 20);
        EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
        expect_error(conn, "22P02");
        END(conn);
        expect_value(conn, "SELECT 'next'", "next");
    }
    expect_count(conn, table, "0");
    free(filler);
    drop(conn, table);
}

static void in_a_prepared_statement(PGconn *conn) {
    const char *table = make_table(conn);
    PQclear(PQprepare(conn, "copy_in", text("COPY %s FROM STDIN", table), 0, NULL));
    for (int round = 0; round < 3; round++) {
        EXPECT(conn, PQsendQueryPrepared(conn, "copy_in", 0, NULL, NULL, NULL, 0) == 1);
        expect_status(conn, PGRES_COPY_IN);
        const char *row = text("%d\tx\n", round);
        put(conn, row, strlen(row));
        EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
        finish(conn);
    }
    EXPECT(conn, PQsendQueryPrepared(conn, "copy_in", 0, NULL, NULL, NULL, 0) == 1);
    expect_status(conn, PGRES_COPY_IN);
    put(conn, "0\tagain\n", 8);
    EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
    expect_error(conn, "23505");
    END(conn);
    expect_count(conn, table, "3");
    drop(conn, table);
}

static void among_other_statements(PGconn *conn) {
    const char *table = make_table(conn);
    EXPECT(conn, PQsendQuery(conn, text("SELECT 1; COPY %s FROM STDIN; COPY (SELECT 5) TO STDOUT; COPY %s FROM STDIN; "
                                        "SELECT count(*) FROM %s", table, table, table)) == 1);
    expect_status(conn, PGRES_TUPLES_OK);
    expect_status(conn, PGRES_COPY_IN);
    put(conn, "1\tone\n", 6);
    EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
    expect_status(conn, PGRES_COMMAND_OK);
    expect_status(conn, PGRES_COPY_OUT);
    char *row = NULL;
    EXPECT(conn, PQgetCopyData(conn, &row, 0) == 2);
    EXPECT_TEXT(conn, row, "5\n");
    PQfreemem(row);
    EXPECT(conn, PQgetCopyData(conn, &row, 0) == -1);
    expect_status(conn, PGRES_COMMAND_OK);
    expect_status(conn, PGRES_COPY_IN);
    put(conn, "2\ttwo\n", 6);
    EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
    expect_status(conn, PGRES_COMMAND_OK);
    PGresult *result = NEXT(conn, PGRES_TUPLES_OK);
    EXPECT_TEXT(conn, PQgetvalue(result, 0, 0), "2");
    PQclear(result);
    END(conn);
    drop(conn, table);
}

static void without_waiting(PGconn *conn) {
    EXPECT(conn, PQsendQuery(conn, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT") == 1);
    expect_status(conn, PGRES_COPY_OUT);
    int rows = 0, waits = 0;
    for (char *row = NULL;;) {
        int size = PQgetCopyData(conn, &row, 1);
        if (size == -1) break;
        if (size == 0) {
            waits++;
            wait_readable(conn);
            EXPECT(conn, PQconsumeInput(conn) == 1);
        } else {
            EXPECT(conn, size == 1001);
            rows++;
            PQfreemem(row);
        }
    }
    EXPECT(conn, rows == 20000 && waits > 0);
    finish(conn);
}

static void an_error_after_rows(PGconn *conn) {
    start(conn, "COPY (SELECT 1 / (2000 - n) FROM generate_series(1, 3000) n) TO STDOUT", PGRES_COPY_OUT);
    char *row = NULL;
    int rows = 0, size = 0;
    for (; (size = PQgetCopyData(conn, &row, 0)) > 0; rows++) PQfreemem(row);
    EXPECT(conn, rows == 1999 && size == -1);
    expect_error(conn, "22012");
    END(conn);
}

static void cancelled(PGconn *conn) {
    char message[256], *row = NULL;
    start(conn, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 5000000)) TO STDOUT", PGRES_COPY_OUT);
    EXPECT(conn, PQgetCopyData(conn, &row, 0) == 1001);
    PQfreemem(row);
    PGcancel *cancel = PQgetCancel(conn);
    EXPECT(conn, PQcancel(cancel, message, sizeof message) == 1);
    int size = 0;
    while ((size = PQgetCopyData(conn, &row, 0)) > 0) PQfreemem(row);
    expect_error(conn, "57014");
    END(conn);
    // And one that waits for the client, which Postgres ends with the next row.
    const char *table = make_table(conn);
    start(conn, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
    put(conn, "1\tone\n", 6);
    EXPECT(conn, PQflush(conn) == 0);
    EXPECT(conn, PQcancel(cancel, message, sizeof message) == 1);
    put(conn, "2\ttwo\n", 6);
    EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
    expect_error(conn, "57014");
    END(conn);
    PQfreeCancel(cancel);
    drop(conn, table);
}

static void in_transactions(PGconn *conn) {
    const char *table = make_table(conn);
    run(conn, "BEGIN");
    start(conn, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
    put(conn, "1\tone\n", 6);
    EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
    finish(conn);
    run(conn, "SAVEPOINT a");
    start(conn, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
    put(conn, "1\tagain\n", 8);
    EXPECT(conn, PQputCopyEnd(conn, NULL) == 1);
    expect_error(conn, "23505");
    END(conn);
    run(conn, "ROLLBACK TO a");
    run(conn, "COMMIT");
    expect_count(conn, table, "1");
    drop(conn, table);
}

static void left_in_the_middle(PGconn *conn) {
    const char *table = make_table(conn);
    for (int n = 0; n < 5; n++) {
        PGconn *leaving = connect_with("");
        start(leaving, text("COPY %s FROM STDIN", table), PGRES_COPY_IN);
        put(leaving, "1\tone\n2\t", 8);
        EXPECT(leaving, PQflush(leaving) == 0);
        PQfinish(leaving);
        leaving = connect_with("");
        start(leaving, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 5000000)) TO STDOUT", PGRES_COPY_OUT);
        PQfinish(leaving);
    }
    expect_count(conn, table, "0");
    // The lock of the last COPY is gone as soon as Postgres knows.
    run(conn, "SET lock_timeout = '5s'");
    drop(conn, table);
}

const struct test copy_tests[] = {
    {"copy: pieces of any size", pieces_of_any_size},
    {"copy: out of one connection into another", out_of_one_into_another},
    {"copy: given up", given_up},
    {"copy: bad data and much more", bad_data_and_much_more},
    {"copy: in a prepared statement", in_a_prepared_statement},
    {"copy: among other statements", among_other_statements},
    {"copy: out without waiting", without_waiting},
    {"copy: an error after rows", an_error_after_rows},
    {"copy: cancelled", cancelled},
    {"copy: in transactions", in_transactions},
    {"copy: left in the middle", left_in_the_middle},
    {0},
};
