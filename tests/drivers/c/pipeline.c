// libpq's pipeline mode: order, errors in the middle, Flush and Sync, prepared statements, back-pressure.
#include "suite.h"

#include <poll.h>

static void begin(PGconn *conn) { EXPECT(conn, PQenterPipelineMode(conn) == 1); }

static void end(PGconn *conn) {
    EXPECT(conn, PQexitPipelineMode(conn) == 1);
    EXPECT(conn, PQpipelineStatus(conn) == PQ_PIPELINE_OFF);
}

static void send(PGconn *conn, const char *statement, const char *parameter) {
    EXPECT(conn, PQsendQueryParams(conn, statement, parameter ? 1 : 0, NULL, &parameter, NULL, NULL, 0) == 1);
}

static void synchronize(PGconn *conn) { EXPECT(conn, PQpipelineSync(conn) == 1); }
static void synchronized(PGconn *conn) { expect_status(conn, PGRES_PIPELINE_SYNC); }

static void one_row(PGconn *conn, const char *wanted) {
    PGresult *result = NEXT(conn, PGRES_TUPLES_OK);
    EXPECT(conn, PQntuples(result) == 1);
    EXPECT_TEXT(conn, PQgetvalue(result, 0, 0), wanted);
    PQclear(result);
    END(conn);
}

static void ok(PGconn *conn) { expect_status(conn, PGRES_COMMAND_OK), END(conn); }
static void error(PGconn *conn, const char *sqlstate) { expect_error(conn, sqlstate), END(conn); }
static void aborted(PGconn *conn) { expect_status(conn, PGRES_PIPELINE_ABORTED), END(conn); }

static void replies_in_order(PGconn *conn) {
    begin(conn);
    for (int n = 0; n < 500; n++) send(conn, "SELECT $1::int * 2", text("%d", n));
    synchronize(conn);
    for (int n = 0; n < 500; n++) one_row(conn, text("%d", n * 2));
    synchronized(conn);
    end(conn);
}

static void many_syncs_in_one_write(PGconn *conn) {
    begin(conn);
    for (int n = 0; n < 300; n++) {
        send(conn, n % 7 == 3 ? "SELECT 1 / ($1::int * 0)" : "SELECT $1::int", text("%d", n));
        if (n % 7 == 3) send(conn, "SELECT 'never'", NULL);
        synchronize(conn);
    }
    synchronize(conn);
    for (int n = 0; n < 300; n++) {
        if (n % 7 == 3) {
            error(conn, "22012");
            aborted(conn);
        } else {
            one_row(conn, text("%d", n));
        }
        synchronized(conn);
    }
    synchronized(conn);
    end(conn);
}

// The reply comes before a Sync, and the implicit transaction stays open.
static void flush_request(PGconn *conn) {
    const char *name = own_name();
    PGconn *other = connect_with("");
    run(conn, text("CREATE TABLE %s (n int)", name));
    begin(conn);
    for (int n = 0; n < 5; n++) {
        send(conn, text("INSERT INTO %s VALUES ($1) RETURNING n", name), text("%d", n));
        EXPECT(conn, PQsendFlushRequest(conn) == 1);
        EXPECT(conn, PQflush(conn) == 0);
        one_row(conn, text("%d", n));
        expect_value(other, text("SELECT count(*) FROM %s", name), "0");
    }
    synchronize(conn);
    synchronized(conn);
    expect_value(other, text("SELECT count(*) FROM %s", name), "5");
    end(conn);
    run(conn, text("DROP TABLE %s", name));
    PQfinish(other);
}

static void flush_after_an_error(PGconn *conn) {
    begin(conn);
    send(conn, "SELECT 1 / 0", NULL);
    EXPECT(conn, PQsendFlushRequest(conn) == 1 && PQflush(conn) == 0);
    error(conn, "22012");
    EXPECT(conn, PQpipelineStatus(conn) == PQ_PIPELINE_ABORTED);
    send(conn, "SELECT 1", NULL);
    EXPECT(conn, PQsendFlushRequest(conn) == 1 && PQflush(conn) == 0);
    aborted(conn);
    synchronize(conn);
    synchronized(conn);
    EXPECT(conn, PQpipelineStatus(conn) == PQ_PIPELINE_ON);
    send(conn, "SELECT 2", NULL);
    synchronize(conn);
    one_row(conn, "2");
    synchronized(conn);
    end(conn);
}

static void an_error_undoes_its_batch_only(PGconn *conn) {
    const char *name = own_name();
    const char *insert = text("INSERT INTO %s VALUES ($1)", name);
    run(conn, text("CREATE TABLE %s (n int PRIMARY KEY)", name));
    begin(conn);
    send(conn, insert, "1");
    synchronize(conn);
    send(conn, insert, "2");
    send(conn, insert, "1");
    send(conn, insert, "3");
    synchronize(conn);
    send(conn, insert, "4");
    synchronize(conn);
    ok(conn), synchronized(conn);
    ok(conn), error(conn, "23505"), aborted(conn), synchronized(conn);
    ok(conn), synchronized(conn);
    end(conn);
    expect_value(conn, text("SELECT string_agg(n::text, ',' ORDER BY n) FROM %s", name), "1,4");
    run(conn, text("DROP TABLE %s", name));
}

static void a_transaction_that_fails(PGconn *conn) {
    begin(conn);
    send(conn, "BEGIN", NULL);
    send(conn, "SELECT 1", NULL);
    synchronize(conn);
    send(conn, "SELECT nothing", NULL);
    synchronize(conn);
    send(conn, "SELECT 2", NULL);
    synchronize(conn);
    send(conn, "ROLLBACK", NULL);
    send(conn, "SELECT 3", NULL);
    synchronize(conn);
    ok(conn), one_row(conn, "1"), synchronized(conn);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_INTRANS || PQtransactionStatus(conn) == PQTRANS_ACTIVE);
    error(conn, "42703"), synchronized(conn);
    error(conn, "25P02"), synchronized(conn);
    ok(conn), one_row(conn, "3"), synchronized(conn);
    end(conn);
    EXPECT(conn, PQtransactionStatus(conn) == PQTRANS_IDLE);
}

static void savepoints(PGconn *conn) {
    begin(conn);
    const char *before[] = {"BEGIN", "SAVEPOINT a", NULL}, *after[] = {"ROLLBACK TO a", "SELECT 7", "COMMIT", NULL};
    for (int n = 0; before[n]; n++) send(conn, before[n], NULL);
    send(conn, "SELECT 1 / 0", NULL);
    synchronize(conn);
    for (int n = 0; after[n]; n++) send(conn, after[n], NULL);
    synchronize(conn);
    ok(conn), ok(conn), error(conn, "22012"), synchronized(conn);
    ok(conn), one_row(conn, "7"), ok(conn), synchronized(conn);
    end(conn);
}

static void prepared_statements(PGconn *conn) {
    const Oid types[] = {23};
    begin(conn);
    for (int n = 0; n < 50; n++) {
        const char *name = text("twice_%d", n), *parameter = "21";
        EXPECT(conn, PQsendPrepare(conn, name, text("SELECT $1 * 2 AS number_%d", n), 1, types) == 1);
        EXPECT(conn, PQsendDescribePrepared(conn, name) == 1);
        EXPECT(conn, PQsendQueryPrepared(conn, name, 1, &parameter, NULL, NULL, 0) == 1);
    }
    synchronize(conn);
    for (int n = 0; n < 50; n++) {
        ok(conn);
        PGresult *result = NEXT(conn, PGRES_COMMAND_OK);
        EXPECT(conn, PQnparams(result) == 1 && PQparamtype(result, 0) == 23);
        EXPECT_TEXT(conn, PQfname(result, 0), text("number_%d", n));
        PQclear(result);
        END(conn);
        one_row(conn, "42");
    }
    synchronized(conn);
    // Long after, in another order, each in a transaction of its own.
    for (int n = 49; n >= 0; n -= 7) {
        const char *parameter = text("%d", n);
        EXPECT(conn, PQsendQueryPrepared(conn, text("twice_%d", n), 1, &parameter, NULL, NULL, 0) == 1);
        synchronize(conn);
    }
    for (int n = 49; n >= 0; n -= 7) one_row(conn, text("%d", n * 2)), synchronized(conn);
    end(conn);
}

// What was discarded must not be thought prepared, nor closed.
static void statements_around_an_error(PGconn *conn) {
    begin(conn);
    EXPECT(conn, PQsendPrepare(conn, "early", "SELECT 'early'", 0, NULL) == 1);
    send(conn, "SELECT 1 / 0", NULL);
    EXPECT(conn, PQsendPrepare(conn, "late", "SELECT 'late'", 0, NULL) == 1);
    send(conn, "DEALLOCATE early", NULL);
    synchronize(conn);
    ok(conn), error(conn, "22012"), aborted(conn), aborted(conn), synchronized(conn);
    EXPECT(conn, PQsendQueryPrepared(conn, "early", 0, NULL, NULL, NULL, 0) == 1);
    synchronize(conn);
    one_row(conn, "early"), synchronized(conn);
    EXPECT(conn, PQsendQueryPrepared(conn, "late", 0, NULL, NULL, NULL, 0) == 1);
    synchronize(conn);
    error(conn, "26000"), synchronized(conn);
    EXPECT(conn, PQsendPrepare(conn, "late", "SELECT 'late'", 0, NULL) == 1);
    EXPECT(conn, PQsendPrepare(conn, "early", "SELECT 'again'", 0, NULL) == 1);
    synchronize(conn);
    ok(conn), error(conn, "42P05"), synchronized(conn);
    EXPECT(conn, PQsendQueryPrepared(conn, "late", 0, NULL, NULL, NULL, 0) == 1);
    synchronize(conn);
    one_row(conn, "late"), synchronized(conn);
    end(conn);
}

static void single_rows(PGconn *conn) {
    begin(conn);
    send(conn, "SELECT generate_series(1, $1::int)", "1000");
    send(conn, "SELECT 1 / (50 - n) FROM generate_series(1, 100) n", NULL);
    send(conn, "SELECT 'never'", NULL);
    synchronize(conn);
    send(conn, "SELECT 'whole'", NULL);
    synchronize(conn);
    PGresult *result = PQgetResult(conn);
    // Results come whole until one asks for rows, before the first is read.
    EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1000);
    PQclear(result);
    END(conn);
    EXPECT(conn, PQsetSingleRowMode(conn) == 1);
    for (int n = 1; n < 50; n++) expect_status(conn, PGRES_SINGLE_TUPLE);
    error(conn, "22012");
    aborted(conn), synchronized(conn);
    one_row(conn, "whole"), synchronized(conn);
    end(conn);
}

static void a_cursor(PGconn *conn) {
    begin(conn);
    send(conn, "BEGIN", NULL);
    send(conn, "DECLARE numbers CURSOR FOR SELECT generate_series(1, 10) AS number", NULL);
    EXPECT(conn, PQsendDescribePortal(conn, "numbers") == 1);
    send(conn, "FETCH 2 FROM numbers", NULL);
    EXPECT(conn, PQsendFlushRequest(conn) == 1 && PQflush(conn) == 0);
    ok(conn), ok(conn);
    PGresult *result = NEXT(conn, PGRES_COMMAND_OK);
    EXPECT_TEXT(conn, PQfname(result, 0), "number");
    PQclear(result);
    END(conn);
    result = NEXT(conn, PGRES_TUPLES_OK);
    EXPECT(conn, PQntuples(result) == 2);
    PQclear(result);
    END(conn);
    send(conn, "FETCH FROM numbers", NULL);
    send(conn, "COMMIT", NULL);
    synchronize(conn);
    one_row(conn, "3"), ok(conn), synchronized(conn);
    end(conn);
}

// Both directions are full at once: who only writes, or only reads, comes to a standstill.
static void back_pressure(PGconn *conn) {
    enum { COUNT = 1500, SIZE = 30000 };
    char *parameter = long_text(SIZE);
    begin(conn);
    EXPECT(conn, PQsetnonblocking(conn, 1) == 0);
    int sent = 0, received = 0, unread = 0;
    bool done = false;
    while (!done) {
        struct pollfd socket = {.fd = PQsocket(conn), .events = POLLIN};
        int pending = PQflush(conn);
        EXPECT(conn, pending >= 0);
        if (pending || sent < COUNT) socket.events |= POLLOUT;
        EXPECT(conn, poll(&socket, 1, 10000) == 1);
        if (socket.revents & POLLIN) EXPECT(conn, PQconsumeInput(conn) == 1);
        if (!pending && sent < COUNT && (socket.revents & POLLOUT)) {
            send(conn, "SELECT $1::text || repeat('x', 20000)", parameter);
            if (++sent % 100 == 0) synchronize(conn);
        }
        while ((received < sent || sent == COUNT) && !PQisBusy(conn)) {
            PGresult *result = PQgetResult(conn);
            if (!result) {
                if (++unread > 1) break;
                continue;
            }
            unread = 0;
            if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
                done = received == COUNT;
            } else {
                EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK);
                EXPECT(conn, PQgetlength(result, 0, 0) == SIZE + 20000);
                EXPECT(conn, memcmp(PQgetvalue(result, 0, 0), parameter, SIZE) == 0);
                received++;
            }
            PQclear(result);
            if (done) break;
        }
        unread = 0;
    }
    EXPECT(conn, PQsetnonblocking(conn, 0) == 0);
    end(conn);
    free(parameter);
}

static void cancelled(PGconn *conn) {
    PGconn *other = connect_with("");
    const char *mark = own_name();
    begin(conn);
    send(conn, "SELECT 'first'", NULL);
    synchronize(conn);
    send(conn, text("SELECT pg_sleep(30) /* %s */", mark), NULL);
    send(conn, "SELECT 'never'", NULL);
    synchronize(conn);
    one_row(conn, "first"), synchronized(conn);
    wait_true(other, text("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(30) /* %s%%' "
                          "AND state = 'active' AND pid <> pg_backend_pid()", mark));
    char message[256];
    PGcancel *cancel = PQgetCancel(conn);
    EXPECT(conn, PQcancel(cancel, message, sizeof message) == 1);
    PQfreeCancel(cancel);
    // Not before the cancel is over: up to 16, Postgres sends its signal twice (to the process, then
    // to its group), and the second may meet what is already in the backend's buffer.
    send(conn, "SELECT 'last'", NULL);
    synchronize(conn);
    error(conn, "57014"), aborted(conn), synchronized(conn);
    one_row(conn, "last"), synchronized(conn);
    end(conn);
    PQfinish(other);
}

static void left_with_replies_unread(PGconn *conn) {
    PGconn *leaving = connect_with("");
    begin(leaving);
    for (int n = 0; n < 200; n++) send(leaving, "SELECT repeat('x', 10000)", NULL);
    synchronize(leaving);
    PQfinish(leaving);
    for (int n = 0; n < 20; n++) expect_value(conn, "SELECT 1", "1");
}

static void large_values(PGconn *conn) {
    char *parameter = long_text(8 << 20);
    begin(conn);
    for (int n = 0; n < 3; n++) send(conn, "SELECT length($1), md5($1)", parameter);
    synchronize(conn);
    for (int n = 0; n < 3; n++) one_row(conn, text("%d", 8 << 20));
    synchronized(conn);
    end(conn);
    free(parameter);
}

static void settings(PGconn *conn) {
    begin(conn);
    send(conn, "SET application_name = 'in a pipeline'", NULL);
    synchronize(conn);
    send(conn, "SET application_name = 'undone'", NULL);
    send(conn, "SELECT 1 / 0", NULL);
    synchronize(conn);
    send(conn, "SHOW application_name", NULL);
    synchronize(conn);
    ok(conn), synchronized(conn);
    ok(conn), error(conn, "22012"), synchronized(conn);
    one_row(conn, "in a pipeline"), synchronized(conn);
    end(conn);
    EXPECT_TEXT(conn, PQparameterStatus(conn, "application_name"), "in a pipeline");
}

const struct test pipeline_tests[] = {
    {"pipeline: replies come in order", replies_in_order},
    {"pipeline: many Syncs in one write", many_syncs_in_one_write},
    {"pipeline: a flush request brings replies before the Sync", flush_request},
    {"pipeline: flush requests after an error", flush_after_an_error},
    {"pipeline: an error undoes its batch only", an_error_undoes_its_batch_only},
    {"pipeline: a transaction that fails", a_transaction_that_fails},
    {"pipeline: savepoints", savepoints},
    {"pipeline: prepared statements", prepared_statements},
    {"pipeline: statements prepared and closed around an error", statements_around_an_error},
    {"pipeline: single rows", single_rows},
    {"pipeline: a cursor is described and read", a_cursor},
    {"pipeline: both directions full", back_pressure},
    {"pipeline: cancelled in the middle", cancelled},
    {"pipeline: left with replies unread", left_with_replies_unread},
    {"pipeline: large values", large_values},
    {"pipeline: settings follow", settings},
    {0},
};
