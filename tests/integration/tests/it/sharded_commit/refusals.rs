//! What must be there before anything is written to several shards.

use anyhow::Result;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Message};

use super::bank::{Bank, SHARDS, Told, commit};

fn error(answer: &[Message]) -> Option<(String, String, String)> {
    let error = answer.iter().find(|message| message.tag == b'E')?;
    let field = |code| error.field(code).unwrap_or_default();
    Some((field(b'C'), field(b'M'), field(b'H')))
}

fn total(bank: &Bank, table: &str) -> Result<i64> {
    let counts = bank.cluster.rows(&format!("SELECT count(*) FROM {table}"))?.concat();
    Ok(counts.iter().map(|n| n.parse::<i64>()).sum::<Result<_, _>>()?)
}

#[test]
fn without_prepared_transactions_nothing_is_written_to_several_shards() -> Result<()> {
    let bank = Bank::with(Bank::builder().setting("max_prepared_transactions", "0").start()?)?;
    let proxy = bank.proxy()?;
    let mut client = Client::login(proxy.addr())?;
    let ids: Vec<i64> = (0..SHARDS).map(|shard| bank.account(shard, 0)).collect();
    // One shard is as ever.
    client.rows(&format!("UPDATE accounts SET balance = balance WHERE id = {}", ids[0]))?;
    client.rows("BEGIN")?;
    client.rows(&format!("INSERT INTO transfers VALUES (1, {}, 1)", ids[0]))?;
    assert_eq!(commit(&mut client), Told::Committed);
    client.rows(&format!("DELETE FROM transfers WHERE account = {}", ids[0]))?;

    let answer = client.simple("UPDATE accounts SET balance = balance + 1")?;
    let (code, message, hint) = error(&answer).expect("an error");
    assert_eq!(code, "55000");
    assert!(message.contains("prepared transactions"), "{message}");
    assert!(hint.contains("max_prepared_transactions"), "{hint}");
    // The second shard of a transaction is where it ends.
    client.rows("BEGIN")?;
    client.rows(&format!("INSERT INTO transfers VALUES (1, {}, 1)", ids[2]))?;
    let answer = client.simple(&format!("INSERT INTO transfers VALUES (1, {}, 1)", ids[0]))?;
    assert_eq!(error(&answer).map(|it| it.0).as_deref(), Some("55000"), "{answer:?}");
    client.rows("ROLLBACK")?;
    assert_eq!(total(&bank, "transfers")?, 0);
    bank.check_books()
}

#[test]
fn who_may_not_create_the_table_hears_what_an_administrator_must_run() -> Result<()> {
    let bank = Bank::open()?;
    for shard in 0..SHARDS {
        let server = bank.cluster.server(shard);
        let database = bank.cluster.database(shard);
        let mut superuser = server.superuser(&database)?;
        superuser.rows(&format!("ALTER DATABASE {database} OWNER TO postgres"))?;
        superuser.rows(&format!("REVOKE CREATE ON DATABASE {database} FROM PUBLIC, app"))?;
    }
    let proxy = bank.proxy()?;
    let mut client = Client::login(proxy.addr())?;
    let answer = client.simple("UPDATE accounts SET balance = balance + 1")?;
    let (code, message, hint) = error(&answer).expect("an error");
    assert_eq!(code, "42501");
    assert!(message.contains("pgherd.commits"), "{message}");
    bank.check_books()?;
    // He runs just that.
    let statements = hint.split_once("there: ").expect("the statements").1;
    for shard in 0..SHARDS {
        bank.cluster.server(shard).superuser(&bank.cluster.database(shard))?.rows(statements)?;
    }
    assert_eq!(bank.transfer(&proxy, 1)?, Told::Committed);
    bank.settle()?;
    bank.check(&[(1, "behind the administrator", Told::Committed)])
}

#[test]
fn proxies_that_are_the_first_at_once_all_commit() -> Result<()> {
    let bank = Bank::open()?;
    let proxies: Vec<Proxy> = (0..4).map(|_| bank.proxy()).collect::<Result<_>>()?;
    let bank = &bank;
    let told = std::thread::scope(|scope| {
        let clients = proxies.iter().enumerate().flat_map(|(index, proxy)| {
            [0, 1].map(|turn| {
                let transfer = i64::try_from(2 * index + turn).expect("small");
                (transfer, scope.spawn(move || bank.transfer(proxy, transfer)))
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .map(|(transfer, it)| {
                let told = it.join().expect("the client's thread has panicked")?;
                Ok((transfer, "at once", told))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    assert!(told.iter().all(|(.., told)| *told == Told::Committed), "{told:?}");
    bank.settle()?;
    bank.check(&told)
}

#[test]
fn copies_of_one_database_are_told_apart_first() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    assert_eq!(bank.transfer(&proxy, 1)?, Told::Committed);
    drop(proxy);
    let name = "SELECT obj_description('pgherd.commits'::regclass)";
    let origin = bank.cluster.shard(0)?.value(name)?;
    let mut shards = (0..SHARDS).map(|it| bank.cluster.shard(it)).collect::<Result<Vec<_>>>()?;
    let differs = |client: &mut Client| {
        // The servers of these tests are copies of one image: their identifiers are the same.
        client.value("SELECT system_identifier::text FROM pg_control_system()")
    };
    assert_eq!(differs(&mut shards[0])?, differs(&mut shards[2])?);
    let own = shards[2].value(name)?;
    shards[2].rows(&format!("COMMENT ON TABLE pgherd.commits IS '{origin}'"))?;
    // Mostly the OIDs are as well, since the same was made on all of them.
    let oid = "SELECT oid::text FROM pg_database WHERE datname = current_database()";
    let same = shards[0].value(oid)? == shards[2].value(oid)?;
    let proxy = bank.proxy()?;
    let mut client = Client::login(proxy.addr())?;
    let answer = client.simple("UPDATE accounts SET balance = balance + 0")?;
    let refused = error(&answer).map(|(code, message, _)| (code, message));
    let copies = ("55000".to_owned(), "shards 0 and 2 are copies of one database".to_owned());
    assert_eq!(refused, same.then_some(copies), "with the same OID: {same}");
    shards[2].rows(&format!("COMMENT ON TABLE pgherd.commits IS '{own}'"))?;
    assert_eq!(bank.transfer(&proxy, 2)?, Told::Committed);
    bank.check(&[(2, "told apart", Told::Committed)])
}

#[test]
fn clients_prepare_nothing_themselves() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    let mut client = Client::login(proxy.addr())?;
    for sql in ["PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'"] {
        let answer = client.simple(sql)?;
        assert_eq!(error(&answer).map(|it| it.0).as_deref(), Some("0A000"), "{sql}: {answer:?}");
    }
    // Savepoints, a cursor and a SET of the transaction are no obstacle.
    client.rows("BEGIN")?;
    client.rows("SET LOCAL work_mem = '7MB'")?;
    for shard in 0..SHARDS {
        let id = bank.account(shard, 3);
        client.rows(&format!("SAVEPOINT s{shard}"))?;
        client.rows(&format!("INSERT INTO transfers VALUES (3, {id}, {})", [-2, 1, 1][shard]))?;
        client.rows(&format!(
            "UPDATE accounts SET balance = balance + {} WHERE id = {id}",
            [-2, 1, 1][shard]
        ))?;
    }
    assert_eq!(commit(&mut client), Told::Committed);
    assert_ne!(client.value("SHOW work_mem")?, "7MB");
    bank.settle()?;
    bank.check(&[(3, "with savepoints", Told::Committed)])
}
