//! The statements of the steps, each against a real server: what waits for what, and who fails.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::raw::{Client, Login, frontend};
use pgherd_plan::commit::{Gid, Outcome, Place, sql};
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(1);
/// How long something stays blocked that must.
const BLOCKED: Duration = Duration::from_millis(700);

struct Stand {
    postgres: Postgres,
    place: Place,
}

impl Stand {
    fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        let mut client = login(&postgres)?;
        client.rows(sql::CREATE_TABLE)?;
        // Nobody minds who comes second.
        client.rows(sql::CREATE_TABLE)?;
        client.rows("CREATE TABLE t (id int PRIMARY KEY)")?;
        let said = client.rows(&sql::readiness())?.concat();
        assert_eq!(said[2..], ["20", "t", "t"]);
        let place = Place::read(Some(&*said[0]), Some(&*said[1])).expect("a place");
        Ok(Self { postgres, place })
    }

    fn client(&self) -> Result<Client> {
        login(&self.postgres)
    }

    /// One who finishes what others have left.
    fn settler(&self) -> Result<Client> {
        let mut client = self.client()?;
        client.rows(sql::SETTLE)?;
        client.rows("SET lock_timeout = 0")?;
        Ok(client)
    }

    fn gid(&self) -> Gid {
        Gid { transaction: ID, record: 0, shard: 1, place: self.place }
    }
}

fn login(postgres: &Postgres) -> Result<Client> {
    let login = Login::new("app", "secret", DATABASE);
    Client::login_as(postgres.addr(), &login)
}

fn code(client: &mut Client, sql: &str) -> Result<Option<String>> {
    Ok(client.simple(sql)?.iter().find_map(|message| message.sqlstate()))
}

fn outcome(rows: &[Vec<String>]) -> Option<Outcome> {
    sql::read_outcome(rows.first().and_then(|row| row.first()).map(|it| &**it))
}

/// Begins a transaction that has written and inserted its record.
fn with_record(stand: &Stand, options: &str) -> Result<Client> {
    let mut client = stand.client()?;
    client.rows(&format!("BEGIN {options}"))?;
    client.rows("INSERT INTO t VALUES (1)")?;
    let said = client.rows(&sql::insert_record(ID, stand.place))?;
    assert_eq!(said[0][0], "app");
    Ok(client)
}

#[test]
fn a_claim_waits_for_the_open_record_and_says_what_became_of_it() -> Result<()> {
    for (end, expected) in [("COMMIT", Outcome::Committed), ("ROLLBACK", Outcome::Aborted)] {
        for options in ["", "ISOLATION LEVEL REPEATABLE READ", "ISOLATION LEVEL SERIALIZABLE"] {
            let stand = Stand::start()?;
            let mut coordinator = with_record(&stand, options)?;
            let mut settler = stand.settler()?;
            settler.send(&frontend::query(&sql::claim_record(ID)))?;
            let early = settler.message_within(BLOCKED)?;
            assert!(early.is_none_or(|it| it.tag != b'Z'), "{options}: it has not waited");
            coordinator.rows(end)?;
            settler.until_ready(1)?;
            assert_eq!(
                outcome(&settler.rows(&sql::claim_record(ID))?),
                Some(expected),
                "{options}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_claim_gives_up_soon_while_the_record_is_open() -> Result<()> {
    let stand = Stand::start()?;
    let mut coordinator = with_record(&stand, "")?;
    let mut settler = stand.client()?;
    settler.rows(sql::SETTLE)?;
    assert_eq!(code(&mut settler, &sql::claim_record(ID))?.as_deref(), Some("55P03"));
    coordinator.rows(&sql::commit(ID, Duration::from_secs(3600)))?;
    assert_eq!(outcome(&settler.rows(&sql::claim_record(ID))?), Some(Outcome::Committed));
    assert_eq!(coordinator.value("SELECT count(*) FROM t")?, "1");
    Ok(())
}

#[test]
fn a_coordinator_that_comes_behind_a_claim_fails() -> Result<()> {
    for options in ["", "ISOLATION LEVEL REPEATABLE READ", "ISOLATION LEVEL SERIALIZABLE"] {
        let stand = Stand::start()?;
        let mut coordinator = stand.client()?;
        coordinator.rows(&format!("BEGIN {options}"))?;
        coordinator.rows("INSERT INTO t VALUES (1)")?;
        let mut settler = stand.settler()?;
        assert_eq!(outcome(&settler.rows(&sql::claim_record(ID))?), Some(Outcome::Aborted));
        let insert = sql::insert_record(ID, stand.place);
        let failed = code(&mut coordinator, &insert)?;
        assert!(matches!(failed.as_deref(), Some("23505" | "40001")), "{options}: {failed:?}");
        coordinator.rows("COMMIT")?;
        assert_eq!(coordinator.value("SELECT count(*) FROM t")?, "0");
    }
    Ok(())
}

#[test]
fn a_record_is_made_in_the_database_that_its_parts_name() -> Result<()> {
    let stand = Stand::start()?;
    let mut coordinator = stand.client()?;
    let Place { system, database } = stand.place;
    for other in [Place { system, database: database + 1 }, Place { system: system + 1, database }]
    {
        coordinator.rows("BEGIN")?;
        let failed = code(&mut coordinator, &sql::insert_record(ID, other))?;
        assert_eq!(failed.as_deref(), Some("23502"));
        coordinator.rows("ROLLBACK")?;
    }
    Ok(())
}

#[test]
fn a_part_is_listed_with_its_owner_and_finished_once() -> Result<()> {
    let stand = Stand::start()?;
    let mut coordinator = stand.client()?;
    // Whatever the client has set.
    coordinator
        .rows("SET search_path = nowhere; SET synchronous_commit = off; SET row_security = off")?;
    coordinator.rows("SET standard_conforming_strings = off; SET bytea_output = escape")?;
    coordinator.rows("BEGIN; INSERT INTO public.t VALUES (1)")?;
    coordinator.rows(&sql::prepare(&stand.gid()))?;
    let mut settler = stand.settler()?;
    let listed = settler.rows(&sql::list_prepared())?;
    let Place { system, database } = stand.place;
    let gid = stand.gid().to_string();
    assert_eq!(listed[0][..5], [&*system.to_string(), &*database.to_string(), "f", &*gid, "app"]);
    assert!((0.0..60.0).contains(&listed[0][5].parse::<f64>()?), "{listed:?}");
    settler.rows(&sql::commit_prepared(&stand.gid()))?;
    assert_eq!(
        code(&mut settler, &sql::rollback_prepared(&stand.gid()))?.as_deref(),
        Some("42704")
    );
    assert_eq!(settler.rows(&sql::list_prepared())?[0][3..], ["NULL", "NULL", "NULL"]);
    assert_eq!(coordinator.value("SELECT count(*) FROM public.t")?, "1");
    // And the record of such a session.
    coordinator.rows("BEGIN")?;
    coordinator.rows(&sql::insert_record(ID, stand.place))?;
    assert_eq!(coordinator.value("SHOW synchronous_commit")?, "on");
    coordinator.rows("COMMIT")?;
    assert_eq!(coordinator.value("SHOW synchronous_commit")?, "off");
    Ok(())
}
