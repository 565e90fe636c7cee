// Runs each test of the C files in a process and on a connection of its own, beside two neighbours that make
// server connections change hands:
//     suite [PART OF A NAME]
#include "suite.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_TEST = 60, NEIGHBOURS = 2 };

_Noreturn void failed(const char *file, int line, const char *what, PGconn *conn) {
    printf("    %s:%d: %s\n    %s", file, line, what, conn ? PQerrorMessage(conn) : "no connection");
    printf("\n");
    fflush(stdout);
    _exit(1);
}

void expect_text(const char *file, int line, PGconn *conn, const char *got, const char *wanted) {
    if (strcmp(got, wanted) == 0) return;
    char what[300];
    snprintf(what, sizeof what, "got '%.120s' instead of '%.120s'", got, wanted);
    failed(file, line, what, conn);
}

PGresult *next_result(const char *file, int line, PGconn *conn, ExecStatusType status) {
    PGresult *result = PQgetResult(conn);
    ExecStatusType got = PQresultStatus(result);
    if (result && got == status) return result;
    char what[300];
    snprintf(what, sizeof what, "%s instead of %s: %.200s", result ? PQresStatus(got) : "no result",
             PQresStatus(status), result ? PQresultErrorMessage(result) : "");
    failed(file, line, what, conn);
}

void expect_status(PGconn *conn, ExecStatusType status) { PQclear(NEXT(conn, status)); }

void expect_error(PGconn *conn, const char *sqlstate) {
    PGresult *result = NEXT(conn, PGRES_FATAL_ERROR);
    EXPECT_TEXT(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE), sqlstate);
    PQclear(result);
}

PGconn *connect_with(const char *options) {
    const char *keys[] = {"dbname", "connect_timeout", NULL};
    const char *values[] = {options, "10", NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    EXPECT(conn, PQstatus(conn) == CONNECTION_OK);
    return conn;
}

void run(PGconn *conn, const char *statement) {
    PGresult *result = PQexec(conn, statement);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) failed("statement", 0, statement, conn);
    PQclear(result);
}

char *value(PGconn *conn, const char *statement) {
    PGresult *result = PQexec(conn, statement);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) failed("statement", 0, statement, conn);
    char *got = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return got;
}

void expect_value(PGconn *conn, const char *statement, const char *wanted) {
    char *got = value(conn, statement);
    if (strcmp(got, wanted) != 0) {
        printf("    %s\n", statement);
        EXPECT_TEXT(conn, got, wanted);
    }
    free(got);
}

const char *own_name(void) { return text("c_%d_%ld", (int)getpid(), (long)time(NULL)); }

const char *text(const char *format, ...) {
    char *printed = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&printed, format, arguments) < 0) abort();
    va_end(arguments);
    return printed;
}

void wait_readable(PGconn *conn) {
    struct pollfd socket = {.fd = PQsocket(conn), .events = POLLIN};
    EXPECT(conn, poll(&socket, 1, 10000) == 1);
}

void wait_true(PGconn *conn, const char *statement) {
    for (time_t end = time(NULL) + 30;;) {
        char *got = value(conn, statement);
        bool done = strcmp(got, "t") == 0;
        free(got);
        if (done) return;
        if (time(NULL) > end) failed("statement", 0, statement, conn);
        poll(NULL, 0, 10);
    }
}

char *long_text(size_t size) {
    char *made = malloc(size + 1);
    unsigned long state = 88172645463325252UL;
    for (size_t n = 0; n < size; n++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        made[n] = (char)('a' + state % 26);
    }
    made[size] = 0;
    return made;
}

// === The runner ===

static volatile sig_atomic_t stopped;
static void stop(int number) { (void)number, stopped = 1; }

// A neighbour checks that each reply is its own.
static void be_neighbour(int number) {
    signal(SIGTERM, stop);
    PGconn *conn = connect_with("");
    for (int count = 0; !stopped; count++) {
        char said[100];
        snprintf(said, sizeof said, "neighbour %d says %d", number, count);
        const char *parameter = said;
        PGresult *result = PQexecParams(conn, "SELECT $1::text", 1, NULL, &parameter, NULL, NULL, 0);
        EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK);
        EXPECT_TEXT(conn, PQgetvalue(result, 0, 0), said);
        PQclear(result);
        usleep(4000);
    }
    PQfinish(conn);
    _exit(0);
}

static bool succeeded(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("    ended by signal %d (14 is the time limit)\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool run_test(const struct test *test) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(LONGEST_TEST);
        PGconn *conn = connect_with("");
        test->run(conn);
        // Whatever a test did, its connection is in order afterwards.
        if (conn && PQstatus(conn) == CONNECTION_OK) expect_value(conn, "SELECT 'usable'", "usable");
        PQfinish(conn);
        fflush(stdout);
        _exit(0);
    }
    return succeeded(pid);
}

int main(int count, char **arguments) {
    const struct test *files[] = {pipeline_tests, query_tests, copy_tests, session_tests, type_tests};
    pid_t neighbours[NEIGHBOURS];
    const char *mode = getenv("PGHERD_MODE") ? getenv("PGHERD_MODE") : "direct";
    int passed = 0, broken = 0;
    for (int n = 0; n < NEIGHBOURS; n++) {
        if ((neighbours[n] = fork()) == 0) be_neighbour(n);
    }
    for (size_t file = 0; file < sizeof files / sizeof *files; file++) {
        for (const struct test *test = files[file]; test->name; test++) {
            if (count > 1 && !strstr(test->name, arguments[1])) continue;
            if (run_test(test)) {
                passed++;
            } else {
                printf("FAILED %s\n", test->name);
                broken++;
            }
        }
    }
    for (int n = 0; n < NEIGHBOURS; n++) {
        kill(neighbours[n], SIGTERM);
        if (!succeeded(neighbours[n])) printf("FAILED neighbour %d\n", n), broken++;
    }
    printf("libpq %d, %s: %d passed, %d failed\n", PQlibVersion(), mode, passed, broken);
    return broken > 0 || passed == 0;
}
