// Every type: text in and binary out, that binary in and text out, one by one, in arrays, and through binary COPY.
#include "suite.h"

static const struct {
    const char *name, *literal;
} TYPES[] = {
    {"bool", "t"}, {"\"char\"", "x"}, {"name", "a name"}, {"int2", "-32768"}, {"int4", "2147483647"},
    {"int8", "-9223372036854775808"}, {"float4", "-1.5e-07"}, {"float8", "NaN"}, {"numeric", "-12345678901234567890.000100"},
    {"numeric", "Infinity"}, {"money", "$1,234.56"}, {"text", "Zażółć\\ \"gęślą\" {jaźń}, 🐘"}, {"text", ""},
    {"varchar", "a\tb\nc"}, {"bpchar", "padded  "}, {"bytea", "\\x00ff10"}, {"date", "4713-01-01 BC"}, {"date", "infinity"},
    {"time", "23:59:59.999999"}, {"timetz", "01:02:03.5+05:30"}, {"timestamp", "1999-12-31 23:59:59.000001"},
    {"timestamptz", "2038-01-19 03:14:08+00"}, {"interval", "-1 years -2 mons +3 days -04:05:06.007"}, {"uuid",
    "12345678-1234-5678-1234-567812345678"}, {"json", "{\"a\": [1, null]}"}, {"jsonb", "{\"a\": [1, null]}"},
    {"jsonpath", "$.\"a\"[*]?(@ > 1)"}, {"xml", "<a>b</a>"}, {"inet", "2001:db8::1/64"}, {"cidr", "10.1.0.0/16"},
    {"macaddr", "08:00:2b:01:02:03"}, {"macaddr8", "08:00:2b:01:02:03:04:05"}, {"bit(5)", "10110"}, {"varbit", "101"},
    {"point", "(1.5,-2)"}, {"line", "{1,2,3}"}, {"lseg", "[(0,0),(1,1)]"}, {"box", "(3,4),(1,2)"}, {"path", "((0,0),(1,2))"},
    {"polygon", "((0,0),(1,1),(1,0))"}, {"circle", "<(1,2),3>"}, {"tsvector", "'cat':3A 'fat':2"}, {"tsquery", "'fat' & 'cat'"},
    {"pg_lsn", "16/B374D848"}, {"xid", "42"}, {"xid8", "18446744073709551615"}, {"tid", "(1,2)"}, {"oid", "4294967295"},
    {"regclass", "pg_class"}, {"regtype", "integer"}, {"int4range", "[1,5)"}, {"int8range", "empty"}, {"numrange", "(,1.5]"},
    {"daterange", "[2026-01-01,)"}, {"tsrange", "[\"2026-01-01 00:00:00\",\"2026-01-02 00:00:00\")"},
    {"int4multirange", "{[1,3),[5,7)}"}, {"int4[]", "{1,NULL,3}"}, {"text[]", "{\"a,b\",\"c\\\"d\",\"\",NULL,\"NULL\"}"},
    {"int8[]", "{{1,2},{3,4}}"}, {"int4[]", "[0:1]={7,8}"}, {"timestamptz[]", "{\"2026-11-30 00:00:00+00\",infinity}"},
};
enum { COUNT = sizeof TYPES / sizeof *TYPES };

static bool exists(PGconn *conn, const char *type) {
    char *got = value(conn, text("SELECT to_regtype('%s') IS NOT NULL", type));
    bool there = strcmp(got, "t") == 0;
    free(got);
    return there;
}

// The value's binary form by way of a prepared statement or an unnamed one, then back to text.
static void both_ways(PGconn *conn) {
    int tried = 0;
    for (int n = 0; n < COUNT; n++) {
        // Multiranges came with Postgres 14.
        if (!exists(conn, TYPES[n].name)) continue;
        tried++;
        const char *statement = text("SELECT $1::%s, $1::%s", TYPES[n].name, TYPES[n].name), *literal = TYPES[n].literal;
        PQclear(PQprepare(conn, text("type_%d", n), statement, 0, NULL));
        PGresult *text_out = PQexecPrepared(conn, text("type_%d", n), 1, &literal, NULL, NULL, 0);
        if (PQresultStatus(text_out) != PGRES_TUPLES_OK) printf("    %s\n", statement);
        EXPECT(conn, PQresultStatus(text_out) == PGRES_TUPLES_OK);
        EXPECT_TEXT(conn, PQgetvalue(text_out, 0, 0), literal);
        PGresult *binary_out = PQexecParams(conn, statement, 1, NULL, &literal, NULL, NULL, 1);
        if (PQresultStatus(binary_out) == PGRES_TUPLES_OK) {
            const char *bytes = PQgetvalue(binary_out, 0, 1);
            const int size = PQgetlength(binary_out, 0, 1), binary = 1;
            EXPECT(conn, PQfformat(binary_out, 0) == 1);
            for (int format = 0; format < 2; format++) {
                PGresult *back = PQexecPrepared(conn, text("type_%d", n), 1, &bytes, &size, &binary, format);
                EXPECT(conn, PQresultStatus(back) == PGRES_TUPLES_OK);
                EXPECT(conn, PQftype(back, 0) == PQftype(text_out, 0) && PQfmod(back, 0) == PQfmod(text_out, 0));
                if (format == 0) EXPECT_TEXT(conn, PQgetvalue(back, 0, 1), literal);
                else EXPECT(conn, PQgetlength(back, 0, 0) == size && memcmp(PQgetvalue(back, 0, 0), bytes, (size_t)size) == 0);
                PQclear(back);
            }
        } else {
            // A few types have no binary form.
            EXPECT_TEXT(conn, PQresultErrorField(binary_out, PG_DIAG_SQLSTATE), "42883");
        }
        PQclear(text_out);
        PQclear(binary_out);
    }
    EXPECT(conn, tried > COUNT - 3);
}

static void binary_copy(PGconn *conn) {
    PGconn *other = connect_with("");
    const char *table = own_name();
    for (int n = 0; n < COUNT; n++) {
        if (!exists(conn, TYPES[n].name)) continue;
        run(conn, text("CREATE TABLE %s (v %s)", table, TYPES[n].name));
        const char *literal = TYPES[n].literal;
        PQclear(PQexecParams(conn, text("INSERT INTO %s VALUES ($1), (NULL), ($1)", table), 1, NULL, &literal, NULL, NULL, 0));
        EXPECT(conn, PQsendQuery(conn, text("COPY %s TO STDOUT (FORMAT binary)", table)) == 1);
        PGresult *result = PQgetResult(conn);
        EXPECT(conn, PQresultStatus(result) == PGRES_COPY_OUT);
        PQclear(result);
        EXPECT(other, PQsendQuery(other, text("COPY %s FROM STDIN (FORMAT binary)", table)) == 1);
        expect_status(other, PGRES_COPY_IN);
        char *row = NULL;
        for (int size; (size = PQgetCopyData(conn, &row, 0)) > 0; PQfreemem(row)) {
            EXPECT(other, PQputCopyData(other, row, size) == 1);
        }
        EXPECT(other, PQputCopyEnd(other, NULL) == 1);
        expect_status(conn, PGRES_COMMAND_OK);
        END(conn);
        expect_status(other, PGRES_COMMAND_OK);
        END(other);
        expect_value(conn, text("SELECT count(*) || ' ' || count(v) || ' ' || count(DISTINCT v::text) FROM %s", table), "6 4 1");
        run(conn, text("DROP TABLE %s", table));
    }
    PQfinish(other);
}

// More parameters and columns than one buffer holds, in alternating formats.
static void many_parameters(PGconn *conn) {
    enum { MANY = 1600 };
    char *statement = malloc(MANY * 20);
    const char *values[MANY];
    int lengths[MANY], formats[MANY];
    size_t size = (size_t)sprintf(statement, "SELECT ");
    for (int n = 0; n < MANY; n++) {
        size += (size_t)sprintf(statement + size, "%s$%d::text", n ? "," : "", n + 1);
        values[n] = n % 5 ? strdup(text("value %d", n)) : NULL;
        lengths[n] = values[n] ? (int)strlen(values[n]) : 0;
        formats[n] = n % 2;
    }
    PGresult *result = PQexecParams(conn, statement, MANY, NULL, values, lengths, formats, 0);
    EXPECT(conn, PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == MANY);
    for (int n = 0; n < MANY; n++) {
        EXPECT(conn, PQgetisnull(result, 0, n) == (values[n] == NULL));
        EXPECT_TEXT(conn, PQgetvalue(result, 0, n), values[n] ? values[n] : "");
        free((void *)values[n]);
    }
    PQclear(result);
    free(statement);
}

const struct test type_tests[] = {
    {"types: text and binary both ways", both_ways},
    {"types: binary COPY", binary_copy},
    {"types: many parameters", many_parameters},
    {0},
};
