// pgx: statements in each of its ways, types, batches, large values.
package drivers

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgconn/stmtcache"
	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
)

// Prepared and cached, described and cached, unnamed each time, and the simple protocol.
func eachMode(t *testing.T, check func(t *testing.T, conn *pgx.Conn)) {
	modes := map[string]func(*pgx.ConnConfig){
		"prepare":     func(*pgx.ConnConfig) {},
		"small_cache": func(config *pgx.ConnConfig) { cache(config, stmtcache.ModePrepare, 2) },
		"describe":    func(config *pgx.ConnConfig) { cache(config, stmtcache.ModeDescribe, 512) },
		"no_cache":    func(config *pgx.ConnConfig) { config.BuildStatementCache = nil },
		"simple":      func(config *pgx.ConnConfig) { config.PreferSimpleProtocol = true },
	}
	for name, change := range modes {
		t.Run(name, func(t *testing.T) {
			config, err := pgx.ParseConfig("")
			ok(t, err)
			change(config)
			check(t, connectWith(t, config))
		})
	}
}

func cache(config *pgx.ConnConfig, mode, capacity int) {
	config.BuildStatementCache = func(conn *pgconn.PgConn) stmtcache.Cache { return stmtcache.New(conn, mode, capacity) }
}

func TestPgxStatements(t *testing.T) {
	eachMode(t, func(t *testing.T, conn *pgx.Conn) {
		for n := 0; n < 40; n++ {
			equal(t, n+1, value(t, conn, "SELECT $1::int + 1", n))
			equal(t, fmt.Sprintf("it's %d", n), value(t, conn, fmt.Sprintf("SELECT $1 || ' %d'::text", n), "it's"))
			_, err := conn.Exec(ctx, "SELECT 1 / $1::int", 0)
			fails(t, "22012", err)
			_, err = conn.Exec(ctx, "SELEC")
			fails(t, "42601", err)
		}
		rows, err := conn.Query(ctx, "SELECT g, g::text FROM generate_series(1, $1::int) g", 1000)
		ok(t, err)
		read := 0
		for rows.Next() {
			var number int
			var text string
			ok(t, rows.Scan(&number, &text))
			read++
			equal(t, read, number)
			equal(t, read, text)
		}
		ok(t, rows.Err())
		equal(t, 1000, read)
	})
}

func TestPgxTypes(t *testing.T) {
	eachMode(t, func(t *testing.T, conn *pgx.Conn) {
		exec(t, conn, "SET TIME ZONE 'UTC'")
		_, address, _ := net.ParseCIDR("192.0.2.0/24")
		for sqlType, pair := range map[string][2]interface{}{
			"int2":        {int16(-32768), "-32768"},
			"int4":        {int32(2147483647), "2147483647"},
			"int8":        {int64(-9223372036854775808), "-9223372036854775808"},
			"float4":      {float32(1.5), "1.5"},
			"float8":      {-1e300, "-1e+300"},
			"bool":        {true, "true"},
			"text":        {"it's ünï 🐘", "it's ünï 🐘"},
			"bytea":       {[]byte{0, 1, 255}, "\\x0001ff"},
			"date":        {time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), "2024-02-29"},
			"timestamp":   {time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC), "2024-02-29 01:02:03.000004"},
			"timestamptz": {time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC), "2024-02-29 01:02:03+00"},
			"cidr":        {address, "192.0.2.0/24"},
			"int4[]":      {[]int32{1, -2, 3}, "{1,-2,3}"},
			"text[]":      {[]string{"a b", "\""}, `{"a b","\""}`},
		} {
			var got, null interface{}
			var text string
			sql := fmt.Sprintf("SELECT ($1)::%s, ($1)::%s::text, NULL::%s", sqlType, sqlType, sqlType)
			ok(t, conn.QueryRow(ctx, sql, pair[0]).Scan(&got, &text, &null))
			equal(t, pair[1], text)
			if _, isArray := got.(pgtype.Int4Array); !isArray && !strings.HasSuffix(sqlType, "[]") && sqlType != "timestamptz" {
				equal(t, pair[0], got)
			}
			equal(t, nil, null)
		}
		var numeric pgtype.Numeric
		ok(t, numeric.Set("-12345678901234567890.0123456789"))
		equal(t, "-12345678901234567890.0123456789", value(t, conn, "SELECT ($1)::numeric::text", &numeric))
		var document map[string]interface{}
		ok(t, conn.QueryRow(ctx, "SELECT $1::jsonb", `{"a": [1, null]}`).Scan(&document))
		equal(t, "map[a:[1 <nil>]]", document)
	})
}

// pgx drops the statement when it hears of this, and the next time is good.
func TestPgxTableThatChanges(t *testing.T) {
	conn, other := connect(t), connect(t)
	table := unique("changing")
	exec(t, other, "CREATE TABLE "+table+" (a int); INSERT INTO "+table+" VALUES (1)")
	columns := func() (int, error) {
		rows, err := conn.Query(ctx, "SELECT * FROM "+table)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return len(rows.FieldDescriptions()), rows.Err()
	}
	for n := 1; n < 5; n++ {
		got, err := columns()
		ok(t, err)
		equal(t, n, got)
		exec(t, other, fmt.Sprintf("ALTER TABLE %s ADD COLUMN b%d int", table, n))
		_, err = columns()
		// pgx itself prepares anew each time after the first.
		if n == 1 || err != nil {
			fails(t, "0A000", err)
		}
	}
}

func TestPgxPreparedByName(t *testing.T) {
	conn := connect(t)
	for round := 0; round < 3; round++ {
		for n := 0; n < 100; n++ {
			description, err := conn.Prepare(ctx, fmt.Sprintf("named %d", n), fmt.Sprintf("SELECT %d + $1::int", n))
			ok(t, err)
			equal(t, 1, len(description.ParamOIDs))
		}
		for n := 99; n >= 0; n-- {
			equal(t, n+round, value(t, conn, fmt.Sprintf("named %d", n), round))
			ok(t, conn.Deallocate(ctx, fmt.Sprintf("named %d", n)))
		}
	}
	_, err := conn.Prepare(ctx, "broken", "SELECT * FROM no_such_table")
	fails(t, "42P01", err)
	usable(t, conn)
}

func TestPgxBatches(t *testing.T) {
	eachMode(t, func(t *testing.T, conn *pgx.Conn) {
		table := unique("batch")
		exec(t, conn, "CREATE TABLE "+table+" (n int PRIMARY KEY, word text)")
		for round := 0; round < 4; round++ {
			batch := &pgx.Batch{}
			for n := 0; n < 100; n++ {
				batch.Queue("INSERT INTO "+table+" VALUES ($1, $2)", round*100+n, "word")
				batch.Queue("SELECT count(*) FROM "+table+" WHERE n <= $1", round*100+n)
			}
			results := conn.SendBatch(ctx, batch)
			for n := 0; n < 100; n++ {
				tag, err := results.Exec()
				ok(t, err)
				equal(t, 1, tag.RowsAffected())
				var total int
				ok(t, results.QueryRow().Scan(&total))
				equal(t, round*100+n+1, total)
			}
			ok(t, results.Close())
		}
		// The batch is one transaction: an error takes all of it back.
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO "+table+" VALUES ($1, 'x')", 1000)
		batch.Queue("INSERT INTO "+table+" VALUES ($1, 'x')", 1)
		batch.Queue("INSERT INTO "+table+" VALUES ($1, 'x')", 1001)
		results := conn.SendBatch(ctx, batch)
		_, err := results.Exec()
		ok(t, err)
		_, err = results.Exec()
		fails(t, "23505", err)
		_, err = results.Exec()
		fails(t, "23505", err)
		fails(t, "23505", results.Close())
		equal(t, 400, value(t, conn, "SELECT count(*) FROM "+table))
		// Closed before it has been read.
		batch = &pgx.Batch{}
		for n := 0; n < 50; n++ {
			batch.Queue("SELECT repeat('x', 10000), $1::int", n)
		}
		ok(t, conn.SendBatch(ctx, batch).Close())
		usable(t, conn)
	})
}

func TestPgxRowsLeftHalfWay(t *testing.T) {
	eachMode(t, func(t *testing.T, conn *pgx.Conn) {
		for n := 0; n < 5; n++ {
			rows, err := conn.Query(ctx, "SELECT generate_series(1, $1::int)", 50000)
			ok(t, err)
			for m := 0; m < n*100; m++ {
				equal(t, true, rows.Next())
			}
			rows.Close()
			usable(t, conn)
			rows, err = conn.Query(ctx, "SELECT 1 / (g - $1::int) FROM generate_series(1, 1000) g", 500)
			ok(t, err)
			for rows.Next() {
			}
			fails(t, "22012", rows.Err())
		}
		usable(t, conn)
	})
}

func TestPgxLargeValues(t *testing.T) {
	conn := connect(t)
	large := bytes.Repeat([]byte("0123456789"), 5_000_000)
	var got []byte
	ok(t, conn.QueryRow(ctx, "SELECT $1::bytea", large).Scan(&got))
	if !bytes.Equal(large, got) {
		t.Fatal("the value has changed on the way")
	}
	equal(t, 3_000_000, value(t, conn, "SELECT length('"+strings.Repeat("x", 3_000_000)+"')"))
	usable(t, conn)
}

func TestPgxRawPipelines(t *testing.T) {
	conn := connect(t).PgConn()
	for round := 0; round < 10; round++ {
		batch := &pgconn.Batch{}
		for n := 0; n < 50; n++ {
			batch.ExecParams("SELECT $1::text", [][]byte{[]byte(fmt.Sprint(n))}, nil, nil, nil)
		}
		results, err := conn.ExecBatch(ctx, batch).ReadAll()
		ok(t, err)
		for n, result := range results {
			equal(t, fmt.Sprint(n), string(result.Rows[0][0]))
		}
		equal(t, 50, len(results))
		// Several statements in one query, with an error in their middle.
		results, err = conn.Exec(ctx, "SELECT 1; SELECT 2, 3; SELECT 1/0; SELECT 4").ReadAll()
		fails(t, "22012", err)
		equal(t, "1", string(results[0].Rows[0][0]))
		equal(t, "3", string(results[1].Rows[0][1]))
	}
}
