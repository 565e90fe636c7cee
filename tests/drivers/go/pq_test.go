// lib/pq through database/sql: its unnamed statements live from one Sync to the next.
package drivers

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// A pool of so many connections of lib/pq's.
func open(t *testing.T, connections int, settings ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", strings.Join(settings, " "))
	ok(t, err)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	t.Cleanup(func() { db.Close() })
	return db
}

// A row's first column.
func scan(t *testing.T, row *sql.Row) string {
	t.Helper()
	var got interface{}
	ok(t, row.Scan(&got))
	if text, isText := got.([]byte); isText {
		return string(text)
	}
	return fmt.Sprint(got)
}

// Parse, Describe, Sync; then, when the reply has come, Bind, Execute, Sync.
func TestPqUnnamedStatements(t *testing.T) {
	for _, settings := range [][]string{nil, {"binary_parameters=yes"}, {"timezone=Asia/Kathmandu", "statement_timeout=30000"}} {
		db := open(t, 3, settings...)
		var work sync.WaitGroup
		failed := make(chan error, 1000)
		for worker := 0; worker < 6; worker++ {
			work.Add(1)
			go func(worker int) {
				defer work.Done()
				for n := 0; n < 100; n++ {
					var sum int
					var text string
					err := db.QueryRow(fmt.Sprintf("SELECT $1::int + %d, $2::text", n), worker, "it's").Scan(&sum, &text)
					if err != nil || sum != worker+n || text != "it's" {
						failed <- fmt.Errorf("with %v: %d instead of %d, %q, %v", settings, sum, worker+n, text, err)
					}
				}
			}(worker)
		}
		work.Wait()
		close(failed)
		for err := range failed {
			t.Fatal(err)
		}
	}
}

func TestPqPreparedStatements(t *testing.T) {
	db := open(t, 3)
	statements := make([]*sql.Stmt, 100)
	for n := range statements {
		var err error
		statements[n], err = db.Prepare(fmt.Sprintf("SELECT %d + $1::int", n))
		ok(t, err)
	}
	for round := 0; round < 3; round++ {
		for n, statement := range statements {
			equal(t, n+round, scan(t, statement.QueryRow(round)))
		}
	}
	for _, statement := range statements {
		ok(t, statement.Close())
	}
	_, err := db.Prepare("SELECT * FROM no_such_table")
	fails(t, "42P01", err)
	equal(t, 1, scan(t, db.QueryRow("SELECT 1")))
}

func TestPqTypes(t *testing.T) {
	for _, settings := range [][]string{nil, {"binary_parameters=yes"}} {
		db := open(t, 1, append(settings, "timezone=UTC")...)
		for n := 0; n < 5; n++ {
			var (
				number int64
				float  float64
				flag   bool
				text   string
				data   []byte
				moment time.Time
				list   []int64
				words  []string
				null   sql.NullString
			)
			row := db.QueryRow("SELECT $1::int8, $2::float8, $3::bool, $4::text, $5::bytea, $6::timestamptz, $7::int8[], $8::text[], $9::text",
				int64(-1<<63), 1.5e300, true, "it's ü 🐘", []byte{0, 1, 255}, time.Unix(1e9, 0).UTC(), pq.Array([]int64{1, -2}),
				pq.Array([]string{"a b", "\""}), nil)
			ok(t, row.Scan(&number, &float, &flag, &text, &data, &moment, pq.Array(&list), pq.Array(&words), &null))
			equal(t, "-9223372036854775808 1.5e+300 true it's ü 🐘 [0 1 255] 1000000000 [1 -2] [a b \"] false",
				fmt.Sprint(number, float, flag, " ", text, " ", data, moment.Unix(), list, words, null.Valid))
		}
	}
}

func TestPqErrors(t *testing.T) {
	db := open(t, 2)
	table := unique("errors")
	_, err := db.Exec("CREATE TABLE " + table + " (n int PRIMARY KEY)")
	ok(t, err)
	for n := 0; n < 10; n++ {
		_, err = db.Exec("INSERT INTO "+table+" VALUES ($1)", 1)
		if n > 0 {
			fails(t, "23505", err)
			equal(t, table+"_pkey", err.(*pq.Error).Constraint)
		}
		_, err = db.Exec("SELECT 1 / $1::int", 0)
		fails(t, "22012", err)
		_, err = db.Exec("SELEC")
		fails(t, "42601", err)
		rows, err := db.Query("SELECT 1 / (500 - g) FROM generate_series(1, $1::int) g", 1000)
		ok(t, err)
		for rows.Next() {
		}
		fails(t, "22012", rows.Err())
		// Left half way: lib/pq reads the rest.
		rows, err = db.Query("SELECT generate_series(1, 20000)")
		ok(t, err)
		equal(t, true, rows.Next())
		ok(t, rows.Close())
	}
	equal(t, 1, scan(t, db.QueryRow("SELECT count(*) FROM "+table)))
	var several []string
	rows, err := db.Query("SELECT 'a'; SELECT 'b'")
	ok(t, err)
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			var text string
			ok(t, rows.Scan(&text))
			several = append(several, text)
		}
	}
	equal(t, "[a b]", several)
}

func TestPqTransactions(t *testing.T) {
	db := open(t, 3)
	table := unique("transactions")
	_, err := db.Exec("CREATE TABLE " + table + " (n int PRIMARY KEY)")
	ok(t, err)
	for n := 0; n < 12; n++ {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		ok(t, err)
		statement, err := tx.Prepare("INSERT INTO " + table + " VALUES ($1)")
		ok(t, err)
		_, err = statement.Exec(n)
		ok(t, err)
		_, err = tx.Exec("SAVEPOINT s")
		ok(t, err)
		_, err = statement.Exec(n)
		fails(t, "23505", err)
		_, err = tx.Exec("ROLLBACK TO s")
		ok(t, err)
		equal(t, "repeatable read", scan(t, tx.QueryRow("SHOW transaction_isolation")))
		if n%3 == 0 {
			ok(t, tx.Commit())
		} else {
			ok(t, tx.Rollback())
		}
	}
	equal(t, 4, scan(t, db.QueryRow("SELECT count(*) FROM "+table)))
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	ok(t, err)
	_, err = tx.Exec("INSERT INTO " + table + " VALUES (99)")
	fails(t, "25006", err)
	equal(t, true, tx.Commit() != nil)
	_, err = db.Exec("INSERT INTO " + table + " VALUES (99)")
	ok(t, err)
}

func TestPqCopyIn(t *testing.T) {
	db := open(t, 2)
	table := unique("copied")
	_, err := db.Exec("CREATE TABLE " + table + " (n int, word text)")
	ok(t, err)
	run := func(rows int, bad bool) error {
		tx, err := db.Begin()
		ok(t, err)
		defer tx.Rollback()
		statement, err := tx.Prepare(pq.CopyIn(table, "n", "word"))
		ok(t, err)
		for n := 0; n < rows; n++ {
			if _, err := statement.Exec(n, "it's\t\\ "+fmt.Sprint(n)); err != nil {
				return err
			}
		}
		if bad {
			statement.Exec("no number", "x")
		}
		if _, err := statement.Exec(); err != nil {
			return err
		}
		ok(t, statement.Close())
		return tx.Commit()
	}
	ok(t, run(10_000, false))
	for n := 0; n < 3; n++ {
		fails(t, "22P02", run(n*3000, true))
		equal(t, 10_000, scan(t, db.QueryRow("SELECT count(*) FROM "+table)))
	}
	equal(t, "it's\t\\ 77", scan(t, db.QueryRow("SELECT word FROM "+table+" WHERE n = 77")))
}

// database/sql cancels by a CancelRequest, and goes on with the connection when it can.
func TestPqContextThatEnds(t *testing.T) {
	db, observer := open(t, 1), open(t, 1)
	for n := 0; n < 4; n++ {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		started := time.Now()
		_, err := db.ExecContext(short, "SELECT pg_sleep(30)")
		cancel()
		equal(t, true, err != nil)
		equal(t, true, time.Since(started) < patience)
		equal(t, 1, scan(t, db.QueryRow("SELECT 1")))
		// In a transaction: it is rolled back.
		short, cancel = context.WithCancel(ctx)
		tx, err := db.BeginTx(short, nil)
		ok(t, err)
		mark := unique("mark")
		failed := make(chan error)
		go func() {
			_, err := tx.ExecContext(short, "SELECT pg_sleep(30) /* "+mark+" */")
			failed <- err
		}()
		eventually(t, "the query to run", func() bool {
			sql := "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%" + mark + "%' AND pid <> pg_backend_pid()"
			return scan(t, observer.QueryRow(sql)) != "0"
		})
		cancel()
		equal(t, true, <-failed != nil)
		tx.Rollback()
		equal(t, 1, scan(t, db.QueryRow("SELECT 1")))
	}
}

func TestPqListener(t *testing.T) {
	db := open(t, 2)
	channel := unique("channel")
	events := make(chan pq.ListenerEventType, 10)
	listener := pq.NewListener("", 10*time.Millisecond, time.Second, func(event pq.ListenerEventType, _ error) { events <- event })
	defer listener.Close()
	ok(t, listener.Listen(channel))
	equal(t, pq.ListenerEventConnected, <-events)
	heard := func() string {
		select {
		case it := <-listener.Notify:
			if it == nil {
				return "connected anew"
			}
			return it.Extra
		case <-time.After(patience):
			return "nothing"
		}
	}
	for n := 0; n < 10; n++ {
		_, err := db.Exec("SELECT pg_notify($1, $2)", channel, fmt.Sprint(n))
		ok(t, err)
		equal(t, n, heard())
		ok(t, listener.Ping())
	}
	// The backend that listens is ended: the listener connects and listens again.
	_, err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%" + channel + "%'")
	ok(t, err)
	if scan(t, db.QueryRow("SELECT 1")) == "1" && heardSoon(events) {
		equal(t, "connected anew", heard())
		_, err = db.Exec("SELECT pg_notify($1, 'again')", channel)
		ok(t, err)
		equal(t, "again", heard())
	}
	ok(t, listener.Unlisten(channel))
}

// Whether the listener lost its connection; after a Ping its last statement is another, and nothing was ended.
func heardSoon(events chan pq.ListenerEventType) bool {
	select {
	case event := <-events:
		return event == pq.ListenerEventDisconnected
	case <-time.After(200 * time.Millisecond):
		return false
	}
}

func TestPqLargeValues(t *testing.T) {
	db := open(t, 1)
	large := bytes.Repeat([]byte("0123456789"), 2_000_000)
	var got []byte
	ok(t, db.QueryRow("SELECT $1::bytea", large).Scan(&got))
	equal(t, true, bytes.Equal(large, got))
	equal(t, 1, scan(t, db.QueryRow("SELECT 1")))
}

func TestPqOneConnection(t *testing.T) {
	db := open(t, 2, "application_name=lib", "search_path=pg_catalog")
	conn, err := db.Conn(ctx)
	ok(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(ctx, "SET work_mem = '5MB'; CREATE TEMP TABLE temporary (n int)")
	ok(t, err)
	for n := 0; n < 10; n++ {
		_, err = conn.ExecContext(ctx, "INSERT INTO temporary VALUES ($1)", n)
		ok(t, err)
		equal(t, "lib pg_catalog 5MB", scan(t, conn.QueryRowContext(ctx,
			"SELECT concat_ws(' ', current_setting('application_name'), current_setting('search_path'), current_setting('work_mem'))")))
		ok(t, db.Ping())
	}
	equal(t, 45, scan(t, conn.QueryRowContext(ctx, "SELECT sum(n) FROM temporary")))
}
