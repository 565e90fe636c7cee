//! Prepared transactions that nobody finishes: any proxy does, and deletes what is not needed.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::postgres::SUPERUSER;
use pgherd_harness::raw::Client;
use pgherd_plan::commit::{Gid, Place, sql};
use uuid::Uuid;

use super::bank::{Bank, SHARDS, SOON, Told};

/// The database of a shard.
fn place(bank: &Bank, shard: usize) -> Result<Place> {
    let mut client = bank.cluster.shard(shard)?;
    let rows = client.rows(&sql::readiness())?;
    Ok(Place::read(rows[0].first().map(|it| &**it), rows[0].get(1).map(|it| &**it))
        .expect("a place"))
}

/// Prepares something on a shard, as some coordinator would have.
fn prepare(client: &mut Client, gid: &Gid, account: i64, transfer: i64) -> Result<()> {
    client.rows("BEGIN")?;
    client.rows(&format!("INSERT INTO transfers VALUES ({transfer}, {account}, 0)"))?;
    client.rows(&sql::prepare(gid)).map(drop)
}

fn transfers(bank: &Bank, transfer: i64) -> Result<usize> {
    let rows = bank.cluster.rows(&format!("SELECT FROM transfers WHERE id = {transfer}"))?;
    Ok(rows.len())
}

/// The value of a metric of a proxy; 0 where there is none.
fn metric(proxy: &pgherd_harness::proxy::Proxy, wanted: &str) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(proxy.metrics())?;
    let line = text.lines().find_map(|line| line.strip_prefix(wanted));
    Ok(line.map_or(Ok(0), |value| value.trim().parse())?)
}

#[test]
fn what_has_no_record_is_rolled_back_and_what_has_one_is_committed() -> Result<()> {
    let bank = Bank::open()?;
    let proxies = [bank.proxy()?, bank.proxy()?];
    assert_eq!(bank.transfer(&proxies[0], 1)?, Told::Committed);
    let home = place(&bank, 1)?;
    let mut clients = (0..SHARDS).map(|it| bank.cluster.shard(it)).collect::<Result<Vec<_>>>()?;
    // The number of the record's shard is that of another topology.
    let gid = |transaction: Uuid, shard: u32| Gid { transaction, record: 7, shard, place: home };
    let (lost, decided) = (Uuid::from_u128(1), Uuid::from_u128(2));
    clients[1].rows(&format!(
        "INSERT INTO pgherd.commits (id, outcome) VALUES ('{decided}', 'committed')"
    ))?;
    for (transaction, transfer) in [(lost, 50), (decided, 51)] {
        for shard in [0, 2] {
            let account = bank.account(shard, 5);
            let gid = gid(transaction, u32::try_from(shard)?);
            prepare(&mut clients[shard], &gid, account, transfer)?;
        }
    }
    // A name that only begins like one of ours, and one whose record is nowhere.
    clients[0].rows("BEGIN")?;
    clients[0].rows("PREPARE TRANSACTION 'pgherd:mine'")?;
    let astray = Place { system: home.system, database: 1 };
    let astray = Gid { place: astray, ..gid(Uuid::from_u128(3), 0) };
    prepare(&mut clients[0], &astray, bank.account(0, 6), 52)?;

    poll::until(SOON, "what is ours to be finished", || {
        let left = bank.cluster.rows("SELECT gid FROM pg_prepared_xacts")?.concat();
        let is_strange = |gid: &String| *gid == "pgherd:mine" || *gid == astray.to_string();
        Ok(left.iter().all(is_strange).then_some(()))
    })?;
    assert_eq!((transfers(&bank, 50)?, transfers(&bank, 51)?), (0, 2));
    let left = bank.cluster.rows("SELECT gid FROM pg_prepared_xacts")?;
    assert_eq!(left.len(), 2, "nothing is done to what nobody understands: {left:?}");
    let record = |id: Uuid| format!("SELECT outcome FROM pgherd.commits WHERE id = '{id}'");
    assert_eq!(clients[1].value(&record(lost))?, "aborted");
    assert_eq!(clients[1].value(&record(decided))?, "committed");

    let name = |outcome: &str| {
        format!("pgherd_transactions_resolved_total{{cluster=\"app\",outcome=\"{outcome}\"}}")
    };
    for outcome in ["committed", "aborted"] {
        let [one, other] = [&proxies[0], &proxies[1]].map(|proxy| metric(proxy, &name(outcome)));
        assert!(one? + other? >= 1, "{outcome}");
    }
    let in_doubt = "pgherd_transactions_in_doubt{cluster=\"app\"}";
    poll::until(SOON, "what is astray to be counted", || {
        Ok((metric(&proxies[0], in_doubt)? == 1).then_some(()))
    })?;
    clients[0].rows(&sql::rollback_prepared(&astray))?;
    clients[0].rows("ROLLBACK PREPARED 'pgherd:mine'")?;
    poll::until(SOON, "nothing to be in doubt", || {
        Ok((metric(&proxies[0], in_doubt)? == 0).then_some(()))
    })
}

#[test]
fn what_a_role_has_prepared_is_finished_as_that_role() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    assert_eq!(bank.transfer(&proxy, 1)?, Told::Committed);
    for shard in 0..SHARDS {
        let mut superuser = bank.cluster.server(shard).superuser(&bank.cluster.database(shard))?;
        superuser.rows("CREATE ROLE \"the clerk\"")?;
        superuser.rows("GRANT \"the clerk\" TO app")?;
        superuser.rows("GRANT ALL ON accounts, transfers TO \"the clerk\"")?;
    }
    // The transaction's own role has gone when its parts are to be finished.
    let mut client = Client::login(proxy.addr())?;
    client.rows("BEGIN")?;
    client.rows("SET LOCAL ROLE \"the clerk\"")?;
    for (shard, amount) in [(0, -2), (1, 1), (2, 1)] {
        let id = bank.account(shard, 9);
        client
            .rows(&format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {id}"))?;
        client.rows(&format!("INSERT INTO transfers VALUES (9, {id}, {amount})"))?;
    }
    assert_eq!(super::bank::commit(&mut client), Told::Committed);
    bank.settle()?;
    bank.check(&[(9, "as a clerk", Told::Committed)])?;
    // Nobody else can settle what is the clerk's.
    let mut app = bank.cluster.shard(0)?;
    let id = Uuid::from_u128(9);
    let forged = format!(
        "INSERT INTO pgherd.commits (creator, id, outcome) VALUES ('{SUPERUSER}', '{id}', 'aborted')"
    );
    assert!(app.rows("SET ROLE \"the clerk\"").is_ok());
    let answer = app.simple(&forged)?;
    assert_eq!(answer.iter().find_map(|it| it.sqlstate()).as_deref(), Some("42501"), "{answer:?}");
    Ok(())
}

#[test]
fn old_records_are_deleted_but_for_those_that_are_needed() -> Result<()> {
    let bank = Bank::open()?;
    let proxy = bank.proxy()?;
    assert_eq!(bank.transfer(&proxy, 1)?, Told::Committed);
    drop(proxy);
    let mut record = bank.cluster.shard(0)?;
    let outcomes = "SELECT id::text || ' ' || outcome FROM pgherd.commits ORDER BY outcome, id";
    let fresh = record.rows(outcomes)?.concat();
    assert_eq!(fresh.len(), 1, "the record of a transfer that has just been: {fresh:?}");
    let row = |n: u128, outcome: &str, age: &str| {
        format!(
            "INSERT INTO pgherd.commits (id, outcome, at) \
             VALUES ('{}', '{outcome}', now() - interval '{age}')",
            Uuid::from_u128(n)
        )
    };
    record.rows(&row(1, "committed", "6 minutes"))?;
    record.rows(&row(2, "committed", "2 days"))?;
    record.rows(&row(3, "aborted", "6 minutes"))?;
    record.rows(&row(4, "aborted", "2 days"))?;
    // Its part is on a shard that is away.
    let home = place(&bank, 0)?;
    let gid = Gid { transaction: Uuid::from_u128(2), record: 0, shard: 1, place: home };
    prepare(&mut bank.cluster.shard(1)?, &gid, bank.account(1, 5), 60)?;
    let mut bank = bank;
    bank.cluster.servers()[1].stop_immediately()?;
    let all = record.rows(outcomes)?.len();
    let proxy = bank.proxy()?;
    poll::until(SOON, "the proxy to have looked", || {
        Ok(record
            .value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgherd'")?
            .parse::<u64>()
            .is_ok_and(|n| n > 0)
            .then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(record.rows(outcomes)?.len(), all, "one shard cannot say what it has");
    bank.cluster.servers()[1].restart()?;
    bank.settle()?;
    assert_eq!(transfers(&bank, 60)?, 1, "the part that was away is committed");
    drop(proxy);
    // The first look of a proxy deletes.
    let _proxy = bank.proxy()?;
    let kept = [fresh[0].clone(), format!("{} aborted", Uuid::from_u128(3))];
    let kept = kept.iter().collect::<std::collections::BTreeSet<_>>();
    poll::until(SOON, "old records to be deleted", || {
        let rows = record.rows(outcomes)?.concat();
        Ok((rows.iter().collect::<std::collections::BTreeSet<_>>() == kept).then_some(()))
    })
}
