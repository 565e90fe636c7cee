// pgx: COPY, transactions, contexts that end, notifications, state, its pool.
package drivers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

func TestPgxCopyFrom(t *testing.T) {
	conn := connect(t)
	table := unique("copied")
	exec(t, conn, "CREATE TABLE "+table+" (n int, word text)")
	for _, size := range []int{0, 1, 20_000} {
		source := pgx.CopyFromSlice(size, func(n int) ([]interface{}, error) { return []interface{}{n, fmt.Sprintf("word %d", n)}, nil })
		copied, err := conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"n", "word"}, source)
		ok(t, err)
		equal(t, size, copied)
	}
	equal(t, "20001 20000", value(t, conn, "SELECT count(*) || ' ' || count(DISTINCT n) FROM "+table))
	for n := 0; n < 5; n++ {
		// The source fails: CopyFail.
		given := errors.New("given up")
		source := pgx.CopyFromSlice(1000, func(m int) ([]interface{}, error) {
			if m == n*200 {
				return nil, given
			}
			return []interface{}{m, "x"}, nil
		})
		_, err := conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"n", "word"}, source)
		fails(t, "57014", err)
		usable(t, conn)
		_, err = conn.CopyFrom(ctx, pgx.Identifier{"no_such_table"}, []string{"n"}, source)
		fails(t, "42P01", err)
		usable(t, conn)
	}
	equal(t, 20_001, value(t, conn, "SELECT count(*) FROM "+table))
}

func TestPgxCopyOfTextBothWays(t *testing.T) {
	conn := connect(t)
	table := unique("copied")
	exec(t, conn, "CREATE TABLE "+table+" (n int, word text)")
	var lines bytes.Buffer
	for n := 0; n < 10_000; n++ {
		fmt.Fprintf(&lines, "%d\tline %d\n", n, n)
	}
	_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(lines.Bytes()), "COPY "+table+" FROM STDIN")
	ok(t, err)
	var out bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM "+table+" ORDER BY n) TO STDOUT")
	ok(t, err)
	equal(t, true, bytes.Equal(lines.Bytes(), out.Bytes()))
	for n := 0; n < 3; n++ {
		_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader("no\tx\n"+strings.Repeat("1\tx\n", n*100_000)), "COPY "+table+" FROM STDIN")
		fails(t, "22P02", err)
		_, err = conn.PgConn().CopyTo(ctx, io.Discard, "COPY (SELECT 1 / (900 - g) FROM generate_series(1, 1000) g) TO STDOUT")
		fails(t, "22012", err)
		usable(t, conn)
	}
}

func TestPgxTransactions(t *testing.T) {
	conn := connect(t)
	table := unique("transactions")
	exec(t, conn, "CREATE TABLE "+table+" (n int PRIMARY KEY)")
	insert := func(tx pgx.Tx, n int) error {
		_, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", n)
		return err
	}
	for n := 0; n < 10; n++ {
		err := conn.BeginFunc(ctx, func(tx pgx.Tx) error {
			ok(t, insert(tx, n))
			fails(t, "23505", tx.BeginFunc(ctx, func(nested pgx.Tx) error { return insert(nested, n) }))
			ok(t, tx.BeginFunc(ctx, func(nested pgx.Tx) error { return insert(nested, 100+n) }))
			if n%2 == 1 {
				return io.EOF
			}
			return nil
		})
		equal(t, n%2 == 1, err == io.EOF)
	}
	equal(t, 10, value(t, conn, "SELECT count(*) FROM "+table))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
	ok(t, err)
	equal(t, "serializable", value(t, tx, "SHOW transaction_isolation"))
	fails(t, "25006", insert(tx, 999))
	fails(t, "25P02", insert(tx, 999))
	equal(t, pgx.ErrTxCommitRollback, tx.Commit(ctx))
	equal(t, "read committed", value(t, conn, "SHOW transaction_isolation"))
	// A cursor, read in portions.
	tx, err = conn.Begin(ctx)
	ok(t, err)
	_, err = tx.Exec(ctx, "DECLARE c CURSOR FOR SELECT generate_series(1, 30)")
	ok(t, err)
	for n := 1; n <= 30; n++ {
		equal(t, n, value(t, tx, "FETCH 1 FROM c"))
	}
	ok(t, tx.Rollback(ctx))
	// Large objects by functions.
	tx, err = conn.Begin(ctx)
	ok(t, err)
	objects := tx.LargeObjects()
	oid, err := objects.Create(ctx, 0)
	ok(t, err)
	object, err := objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	ok(t, err)
	_, err = object.Write(bytes.Repeat([]byte("x"), 100_000))
	ok(t, err)
	_, err = object.Seek(0, io.SeekStart)
	ok(t, err)
	data := make([]byte, 100_000)
	_, err = io.ReadFull(object, data)
	ok(t, err)
	equal(t, true, bytes.Equal(bytes.Repeat([]byte("x"), 100_000), data))
	ok(t, tx.Rollback(ctx))
	usable(t, conn)
}

// pgx closes its connection when a context ends while it waits, and sends a cancel behind it.
func TestPgxContextThatEnds(t *testing.T) {
	observer := connect(t)
	for n := 0; n < 4; n++ {
		conn := connect(t)
		mark := unique("mark")
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err := conn.Exec(short, "SELECT pg_sleep(30) /* "+mark+" */")
		cancel()
		equal(t, true, pgconn.Timeout(err))
		eventually(t, "the connection to be closed", conn.IsClosed)
		eventually(t, "the query to be cancelled", func() bool {
			sql := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%" + mark + "%' AND pid <> pg_backend_pid()"
			return value(t, observer, sql) == "0"
		})
	}
}

func TestPgxCancelRequest(t *testing.T) {
	conn, observer := connect(t), connect(t)
	for n := 0; n < 3; n++ {
		mark := unique("mark")
		done := make(chan error)
		go func() {
			_, err := conn.Exec(ctx, "SELECT pg_sleep(30) /* "+mark+" */")
			done <- err
		}()
		eventually(t, "the query to run", func() bool {
			sql := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%" + mark + "%' AND pid <> pg_backend_pid()"
			return value(t, observer, sql) != "0"
		})
		ok(t, conn.PgConn().CancelRequest(ctx))
		fails(t, "57014", <-done)
		usable(t, conn)
	}
}

func TestPgxStatementTimeout(t *testing.T) {
	conn := connect(t, "statement_timeout=300", "application_name=timed")
	for n := 0; n < 3; n++ {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(30)")
		fails(t, "57014", err)
	}
	equal(t, "300ms timed", value(t, conn, "SELECT current_setting('statement_timeout') || ' ' || current_setting('application_name')"))
	exec(t, conn, "SET statement_timeout = 0")
	exec(t, conn, "SELECT pg_sleep(0.4)")
}

func TestPgxNotifications(t *testing.T) {
	conn, other := connect(t), connect(t)
	channel := unique("channel")
	exec(t, conn, "LISTEN "+channel)
	for n := 0; n < 10; n++ {
		exec(t, other, "SELECT pg_notify($1, $2)", channel, fmt.Sprint(n))
		wait, cancel := context.WithTimeout(ctx, patience)
		heard, err := conn.WaitForNotification(wait)
		cancel()
		ok(t, err)
		equal(t, channel+" "+fmt.Sprint(n), heard.Channel+" "+heard.Payload)
		usable(t, conn)
	}
	// A wait that ends by its context leaves the connection good.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	_, err := conn.WaitForNotification(short)
	cancel()
	equal(t, true, pgconn.Timeout(err))
	exec(t, other, "NOTIFY "+channel+", 'later'")
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	heard, err := conn.WaitForNotification(wait)
	ok(t, err)
	equal(t, "later", heard.Payload)
}

func TestPgxState(t *testing.T) {
	conn, other := connect(t, "search_path=pg_catalog", "timezone=Asia/Kathmandu"), connect(t)
	exec(t, conn, "SET work_mem = '5MB'")
	exec(t, conn, "CREATE TEMP TABLE temporary (n int)")
	exec(t, conn, "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 9)")
	exec(t, conn, "SELECT pg_advisory_lock(77)")
	for n := 1; n < 9; n++ {
		equal(t, "pg_catalog Asia/Kathmandu 5MB", value(t, conn,
			"SELECT concat_ws(' ', current_setting('search_path'), current_setting('timezone'), current_setting('work_mem'))"))
		exec(t, conn, "INSERT INTO temporary VALUES ($1)", n)
		equal(t, n, value(t, conn, "FETCH 1 FROM held"))
		equal(t, false, value(t, other, "SELECT pg_try_advisory_lock(77)"))
	}
	equal(t, "36", value(t, conn, "SELECT sum(n) FROM temporary"))
	exec(t, conn, "CLOSE held; DROP TABLE temporary")
	equal(t, true, value(t, conn, "SELECT pg_advisory_unlock(77)"))
	equal(t, "Asia/Kathmandu", conn.PgConn().ParameterStatus("TimeZone"))
	equal(t, false, value(t, other, "SHOW work_mem") == "5MB")
}

func TestPgxPool(t *testing.T) {
	config, err := pgxpool.ParseConfig("pool_max_conns=4")
	ok(t, err)
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET application_name = 'pooled'")
		return err
	}
	config.BeforeAcquire = func(ctx context.Context, conn *pgx.Conn) bool { return conn.Ping(ctx) == nil }
	pool, err := pgxpool.ConnectConfig(ctx, config)
	ok(t, err)
	defer pool.Close()
	var work sync.WaitGroup
	failed := make(chan error, 1000)
	for worker := 0; worker < 12; worker++ {
		work.Add(1)
		go func(worker int) {
			defer work.Done()
			for n := 0; n < 20; n++ {
				var sum int
				var name string
				err := pool.QueryRow(ctx, "SELECT $1::int + $2::int, current_setting('application_name')", worker, n).Scan(&sum, &name)
				if err != nil || sum != worker+n || name != "pooled" {
					failed <- fmt.Errorf("%d %q %v", sum-worker-n, name, err)
				}
			}
		}(worker)
	}
	work.Wait()
	close(failed)
	for err := range failed {
		t.Fatal(err)
	}
	// A connection whose backend dies is replaced.
	tx, err := pool.Begin(ctx)
	ok(t, err)
	// The pool waits for it when it is closed, whatever has failed before.
	t.Cleanup(func() { tx.Rollback(ctx) })
	pid := value(t, tx, "SELECT pg_backend_pid()")
	exec(t, connect(t), "SELECT pg_terminate_backend("+pid+")")
	_, err = tx.Exec(ctx, "SELECT pg_sleep(1)")
	equal(t, true, err != nil)
	tx.Rollback(ctx)
	usable(t, pool)
}
