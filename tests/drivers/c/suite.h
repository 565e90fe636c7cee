// What the C files share: a list of tests, expectations that end a test, and statements that must succeed.
#ifndef SUITE_H
#define SUITE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(PGconn *conn);
};

extern const struct test pipeline_tests[], query_tests[], copy_tests[], session_tests[], type_tests[];

// Ends the test (each is a process of its own) unless `condition` holds.
#define EXPECT(conn, condition) ((condition) ? (void)0 : failed(__FILE__, __LINE__, #condition, conn))
#define EXPECT_TEXT(conn, got, wanted) expect_text(__FILE__, __LINE__, conn, got, wanted)
// The next result, which must have this status; it is to be cleared.
#define NEXT(conn, status) next_result(__FILE__, __LINE__, conn, status)
// No more results of this statement.
#define END(conn) EXPECT(conn, PQgetResult(conn) == NULL)

_Noreturn void failed(const char *file, int line, const char *what, PGconn *conn);
void expect_text(const char *file, int line, PGconn *conn, const char *got, const char *wanted);
PGresult *next_result(const char *file, int line, PGconn *conn, ExecStatusType status);
void expect_status(PGconn *conn, ExecStatusType status);
void expect_error(PGconn *conn, const char *sqlstate);

// A connection by the environment, with `options` added.
PGconn *connect_with(const char *options);
// Runs `statement`, which must succeed.
void run(PGconn *conn, const char *statement);
// Its one value as text; to be freed.
char *value(PGconn *conn, const char *statement);
void expect_value(PGconn *conn, const char *statement, const char *wanted);
// A name of the test's own, for a table, channel or lock.
const char *own_name(void);
// Printed text, which lives as long as its test.
const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Waits until there is something to read.
void wait_readable(PGconn *conn);
// Polls `statement` until it says "t", at most for 30 seconds.
void wait_true(PGconn *conn, const char *statement);
// `size` bytes of a text that repeats nowhere soon; to be freed.
char *long_text(size_t size);

#endif
