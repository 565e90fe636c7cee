// What the suites share: connections that end with their test, names of a test's own, and neighbours that make
// server connections change hands.
package drivers

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/lib/pq"
)

// What takes longer hangs.
const patience = 20 * time.Second

var (
	ctx   = context.Background()
	count uint64
)

func TestMain(m *testing.M) {
	// lib/pq asks for TLS otherwise.
	os.Setenv("PGSSLMODE", "disable")
	rand.Seed(time.Now().UnixNano())
	for number := 0; number < 2; number++ {
		go neighbour(number)
	}
	os.Exit(m.Run())
}

// Under transaction pooling the server connections thus change hands between any two transactions of a test, as they
// do under real load. A wrong reply to a neighbour ends the whole run.
func neighbour(number int) {
	fail := func(err error) {
		fmt.Fprintf(os.Stderr, "neighbour %d failed: %v\n", number, err)
		os.Exit(101)
	}
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		fail(err)
	}
	for n := 0; ; n++ {
		text := fmt.Sprintf("neighbour %d says %d", number, n)
		var got string
		if err := conn.QueryRow(ctx, "SELECT $1::text", text).Scan(&got); err != nil {
			fail(err)
		}
		if got != text {
			fail(fmt.Errorf("%q instead of %q", got, text))
		}
		time.Sleep(4 * time.Millisecond)
	}
}

func unique(stem string) string {
	return fmt.Sprintf("%s_%d_%d", stem, os.Getpid(), atomic.AddUint64(&count, 1))
}

// A connection of pgx's; with a query string of settings such as "statement_cache_mode=describe".
func connect(t *testing.T, settings ...string) *pgx.Conn {
	t.Helper()
	text := ""
	for _, setting := range settings {
		text += " " + setting
	}
	config, err := pgx.ParseConfig(text)
	ok(t, err)
	return connectWith(t, config)
}

func connectWith(t *testing.T, config *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(ctx, config)
	ok(t, err)
	t.Cleanup(func() { conn.Close(ctx) })
	return conn
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, expected, got interface{}) {
	t.Helper()
	if fmt.Sprint(expected) != fmt.Sprint(got) {
		t.Fatalf("expected %.300v, got %.300v", expected, got)
	}
}

// The SQLSTATE of an error.
func code(err error) string {
	var ofPgx *pgconn.PgError
	if errors.As(err, &ofPgx) {
		return ofPgx.Code
	}
	var ofPq *pq.Error
	if errors.As(err, &ofPq) {
		return string(ofPq.Code)
	}
	return fmt.Sprint(err)
}

func fails(t *testing.T, expected string, err error) {
	t.Helper()
	if code(err) != expected {
		t.Fatalf("expected %s, got %v", expected, err)
	}
}

// Both kinds of transactions and connections of pgx.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...interface{}) pgx.Row
}

// The first column of the first row, as text.
func value(t *testing.T, conn querier, sql string, args ...interface{}) string {
	t.Helper()
	var got interface{}
	ok(t, conn.QueryRow(ctx, sql, args...).Scan(&got))
	return fmt.Sprint(got)
}

// The connection works, and what it gets is its own.
func usable(t *testing.T, conn querier) {
	t.Helper()
	number := rand.Int31()
	equal(t, number, value(t, conn, "SELECT $1::int", number))
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...interface{}) {
	t.Helper()
	_, err := conn.Exec(ctx, sql, args...)
	ok(t, err)
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
