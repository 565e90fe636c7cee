//! Sequences of messages in which a client could tell the proxy from Postgres.

use anyhow::Result;
use pgherd_harness::raw::frontend::{
    bind, bind_formats, close_portal, copy_data, copy_done, copy_fail, describe_portal, execute,
    flush, function_call, message, parse, query, sync,
};

use super::compare::Twins;

const BY_ID: &str = "SELECT id FROM users ORDER BY id";

/// Each row begins and ends outside of a transaction.
#[track_caller]
fn check(twins: &mut Twins, rows: &[(&str, Vec<Vec<u8>>, usize)]) {
    for (what, messages, readies) in rows {
        twins.same(what, &messages.concat(), *readies);
        // Whatever it was, both are in order.
        twins.same(what, &[query("ROLLBACK"), query("SELECT 'usable'")].concat(), 2);
    }
}

#[test]
fn limits_hold_for_whatever_returns_rows() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let in_steps = |sql: &str, limits: &[u32]| {
        let mut messages = vec![parse("", sql, &[]), bind("", "", &[])];
        messages.extend(limits.iter().map(|limit| execute("", *limit)));
        messages.push(sync());
        messages
    };
    let returning = "UPDATE users SET balance = balance WHERE id = 3 RETURNING id";
    check(
        &mut twins,
        &[
            ("SHOW", in_steps("SHOW work_mem", &[1, 1, 1]), 1),
            ("EXPLAIN", in_steps("EXPLAIN (COSTS OFF) SELECT 1", &[1, 0]), 1),
            ("RETURNING, then nothing", in_steps(returning, &[1, 1, 1]), 1),
            ("RETURNING, more than there is", in_steps(returning, &[2, 1]), 1),
            ("no rows at all", in_steps("UPDATE users SET balance = 1 WHERE id = 0", &[1, 1]), 1),
            ("rows of shards", in_steps(BY_ID, &[3, 3, 0, 0]), 1),
        ],
    );
    let prepared = [query(&format!("PREPARE p AS {BY_ID}"))];
    let all = [prepared.to_vec(), in_steps("EXECUTE p", &[2, 2, 0])].concat();
    check(&mut twins, &[("EXECUTE", all, 2)]);
    Ok(())
}

#[test]
fn portals_and_cursors_are_the_same() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let begin = || query("BEGIN");
    for declared in
        [BY_ID, "SELECT id FROM orders WHERE user_id = 4 ORDER BY id", "VALUES (1), (2), (3)"]
    {
        let declare = || query(&format!("DECLARE c SCROLL CURSOR FOR {declared}"));
        let bound = || [parse("s", declared, &[]), bind("c", "s", &[])].concat();
        check(
            &mut twins,
            &[
                (
                    "a cursor is executed as a portal",
                    vec![
                        begin(),
                        declare(),
                        query("FETCH 1 FROM c"),
                        describe_portal("c"),
                        execute("c", 1),
                        execute("c", 0),
                        sync(),
                        close_portal("c"),
                        sync(),
                        query("FETCH c"),
                    ],
                    6,
                ),
                (
                    "a cursor in binary",
                    vec![
                        begin(),
                        declare(),
                        parse("", "FETCH 2 FROM c", &[]),
                        bind_formats("", "", &[], 0, 1),
                        describe_portal(""),
                        execute("", 0),
                        sync(),
                        query("FETCH BACKWARD 1 FROM c"),
                        query("MOVE LAST IN c"),
                        query("FETCH RELATIVE 0 FROM c"),
                    ],
                    6,
                ),
                (
                    "a binary cursor",
                    vec![
                        begin(),
                        query(&format!("DECLARE c BINARY CURSOR FOR {declared}")),
                        query("FETCH 2 FROM c"),
                    ],
                    3,
                ),
                (
                    "a portal is fetched from as a cursor",
                    vec![
                        begin(),
                        bound(),
                        execute("c", 1),
                        sync(),
                        query("FETCH 1 FROM c"),
                        query("MOVE 1 FROM c"),
                        query("FETCH BACKWARD 1 FROM c"),
                        query("ROLLBACK"),
                        query("DEALLOCATE s"),
                    ],
                    7,
                ),
                (
                    "a portal is closed as a cursor",
                    vec![
                        begin(),
                        bound(),
                        sync(),
                        query("CLOSE c"),
                        execute("c", 1),
                        sync(),
                        query("ROLLBACK"),
                        query("DEALLOCATE s"),
                    ],
                    6,
                ),
                (
                    "a name is taken",
                    vec![
                        begin(),
                        declare(),
                        bound(),
                        sync(),
                        query("ROLLBACK"),
                        query("DEALLOCATE ALL"),
                    ],
                    5,
                ),
                (
                    "a savepoint takes the cursor with it",
                    vec![
                        begin(),
                        query("SAVEPOINT a"),
                        declare(),
                        query("ROLLBACK TO a"),
                        declare(),
                        query("FETCH c"),
                        query("ROLLBACK TO a"),
                        query("FETCH c"),
                    ],
                    8,
                ),
                (
                    "in one text",
                    vec![query(&format!(
                        "DECLARE c CURSOR FOR {declared}; FETCH 2 FROM c; CLOSE c"
                    ))],
                    1,
                ),
                (
                    "it only goes forward",
                    vec![
                        begin(),
                        query(&format!("DECLARE c NO SCROLL CURSOR FOR {declared}")),
                        query("FETCH 2 FROM c"),
                        query("FETCH PRIOR FROM c"),
                    ],
                    4,
                ),
            ],
        );
    }
    Ok(())
}

#[test]
fn errors_of_bind_come_before_its_completion() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let failing = || [parse("", "SELECT 1/0", &[]), bind("", "", &[])].concat();
    check(
        &mut twins,
        &[
            ("executed", vec![failing(), execute("", 0), sync()], 1),
            ("only bound", vec![failing(), sync()], 1),
            ("bound, and flushed", vec![failing(), flush(), sync()], 1),
            ("a query behind it", vec![failing(), query("SELECT 2"), sync()], 1),
            (
                "a query behind a Bind drops the portal",
                vec![
                    parse("", "SELECT 1", &[]),
                    bind("p", "", &[]),
                    query("SELECT 2"),
                    execute("p", 0),
                    sync(),
                ],
                2,
            ),
            (
                "result formats where there is no result",
                vec![
                    parse("", "BEGIN", &[]),
                    message(b'B', b"\0\0\0\0\0\0\0\x02\0\0\0\0"),
                    execute("", 0),
                    sync(),
                ],
                1,
            ),
            (
                "a COPY that waits for its data",
                vec![
                    query("BEGIN"),
                    parse("", "COPY users FROM STDIN", &[]),
                    bind("", "", &[]),
                    execute("", 0),
                    copy_data(b"1001\ta\tat\t5\n"),
                    copy_fail("enough"),
                    sync(),
                ],
                2,
            ),
        ],
    );
    // The client sends nothing before it hears that it may.
    for client in [&mut twins.whole, &mut twins.sharded] {
        let copy = [parse("", "COPY users FROM STDIN", &[]), bind("", "", &[]), execute("", 0)];
        client.send(&[query("BEGIN"), copy.concat(), flush()].concat())?;
        client.until_tag(b'G')?;
        client.send(&[copy_data(b"1001\ta\tat\t5\n"), copy_done(), sync()].concat())?;
        client.until_tag(b'C')?;
        client.until_ready(1)?;
        assert_eq!(client.value("SELECT count(*) FROM users WHERE id > 1000")?, "1");
        client.simple("ROLLBACK")?;
    }
    Ok(())
}

#[test]
fn malformed_messages_get_postgres_own_words() -> Result<()> {
    let mut twins = Twins::start(2)?;
    let mut rows = Vec::new();
    for (what, tag, body) in [
        ("a Query without an end", b'Q', &b"SELECT 1"[..]),
        ("a Query with more behind it", b'Q', b"SELECT 1\0\0"),
        ("a Sync with a body", b'S', b"x"),
        ("text that is none", b'Q', b"SELECT '\xe4\xb8'\0"),
    ] {
        rows.push((what, vec![message(tag, body)], 1));
    }
    for (what, tag, body) in [
        ("a Parse without an end", b'P', &b"abc"[..]),
        ("a Parse with too few types", b'P', b"\0SELECT 1\0\0\x01"),
        ("a Bind of what is not there", b'B', b"\0nix\0"),
        ("an Execute without a limit", b'E', b"\0"),
        ("a Describe of nothing", b'D', b""),
        ("a Describe of something else", b'D', b"Z\0"),
        ("a Close of something else", b'C', b"Z\0"),
        ("a Flush with a body", b'H', b"x"),
        ("a name that is no text", b'P', b"\xff\0SELECT 1\0\0\0"),
    ] {
        rows.push((what, vec![message(tag, body), sync()], 1));
    }
    check(&mut twins, &rows);
    // It ends the session, on both sides with the same words.
    let mut ends = Vec::new();
    for client in [&mut twins.whole, &mut twins.sharded] {
        client.send(&[query("COPY users FROM STDIN"), query("SELECT 1")].concat())?;
        let messages = client.rest()?;
        let texts = messages.iter().filter(|it| it.tag == b'E').map(|it| it.field(b'M'));
        ends.push(texts.collect::<Vec<_>>());
    }
    assert_eq!(ends[0], ends[1]);
    Ok(())
}

#[test]
fn a_statement_whose_columns_have_changed_is_refused() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let run = || [bind("", "s", &[]), execute("", 0), sync()].concat();
    twins.same("parse", &[parse("s", "SELECT * FROM users WHERE id = 3", &[]), sync()].concat(), 1);
    twins.same("parse", &[parse("r", BY_ID, &[]), sync()].concat(), 1);
    twins.same("before", &run(), 1);
    // By this session, by another one, and back.
    twins.same_query("ALTER TABLE users ADD COLUMN more int");
    twins.same("after", &run(), 1);
    twins.same(
        "the others are what they were",
        &[bind("", "r", &[]), execute("", 0), sync()].concat(),
        1,
    );
    twins.same_query("ALTER TABLE users DROP COLUMN more");
    twins.same("back", &run(), 1);
    Ok(())
}

#[test]
fn large_objects_and_locks_are_on_one_shard() -> Result<()> {
    let mut twins = Twins::start(3)?;
    twins.same_query("BEGIN");
    twins.same_query("SELECT lo_create(777)");
    twins.same_query("SELECT lo_put(777, 0, 'abc')");
    // lo_open, loread, lo_close
    twins.same("lo_open", &function_call(952, &[b"777", b"393216"]), 1);
    twins.same("loread", &function_call(954, &[b"0", b"10"]), 1);
    twins.same("lo_close", &function_call(953, &[b"0"]), 1);
    twins.same_query("COMMIT");
    twins.same_query("SELECT lo_get(777)");
    twins.same_query("SELECT lo_unlink(777)");
    twins.same_query("SELECT lo_get(777)");
    twins.same_query("SELECT pg_backend_pid() = pg_backend_pid(), txid_current() > 0");
    twins.same_query("BEGIN");
    twins.same_query("SELECT pg_advisory_xact_lock(5)");
    let mut other = pgherd_harness::raw::Client::login(twins.sharded.peer_addr()?)?;
    assert_eq!(other.value("SELECT pg_try_advisory_xact_lock(5)")?, "f");
    twins.same_query("COMMIT");
    assert_eq!(other.value("SELECT pg_try_advisory_xact_lock(5)")?, "t");
    twins.refuses("SELECT lo_create(balance) FROM users", "lo_create()");
    twins.refuses("SELECT pg_backend_pid() FROM users", "pg_backend_pid()");
    Ok(())
}

#[test]
fn a_long_literal_is_no_long_statement() -> Result<()> {
    let mut twins = Twins::start(2)?;
    let long = "x".repeat(9 << 20);
    twins.same("simple", &query(&format!("SELECT length('{long}')")), 1);
    let parsed = parse("", &format!("SELECT length('{long}')"), &[]);
    twins.same("extended", &[parsed, bind("", "", &[]), execute("", 0), sync()].concat(), 1);
    Ok(())
}

#[test]
fn set_config_is_a_set_on_all_shards_and_stays_with_its_session() -> Result<()> {
    let mut twins = Twins::start(3)?;
    let addr = twins.sharded.peer_addr()?;
    let show = "SELECT current_setting('work_mem'), current_setting('my.tenant', true)";
    let with = |local: &'static str, tenant: &'static str| {
        let sql = "SELECT set_config('my.tenant', $1, $2::text::bool), set_config('work_mem', '5MB', $2::text::bool)";
        let values: [Option<&[u8]>; 2] = [Some(tenant.as_bytes()), Some(local.as_bytes())];
        [parse("", sql, &[]), bind("", "", &values), execute("", 0), sync()].concat()
    };
    twins.same_query("SELECT set_config('my.tenant', 'it''s', false)");
    twins.same_query("SELECT set_config('work_mem', '7MB', false) AS x, 1");
    for _ in 0..4 {
        twins.same_query(show);
        // The rows of each shard, under its own settings.
        twins.same_query("SELECT DISTINCT current_setting('my.tenant') FROM users");
        let mut other = pgherd_harness::raw::Client::login(addr)?;
        assert_ne!(other.value("SHOW work_mem")?, "7MB");
        assert_eq!(other.rows("SELECT coalesce(current_setting('my.tenant', true), '')")?, [[""]]);
    }
    twins.same_query("BEGIN");
    twins.same("parameters", &with("true", "b\\c"), 1);
    twins.same_query(show);
    twins.same_query("SELECT DISTINCT current_setting('my.tenant') FROM users");
    twins.same_query("COMMIT");
    twins.same_query(show);
    twins.same_query("BEGIN");
    twins.same("lasting", &with("false", "d"), 1);
    twins.same_query("ROLLBACK");
    twins.same_query(show);
    twins.same("lasting", &with("false", "e"), 1);
    twins.same_query(show);
    twins.refuses("SELECT set_config('my.tenant', name, false) FROM users", "set_config()");
    Ok(())
}
