//! What the harness promises of a sharded cluster.

use anyhow::Result;
use pgherd_harness::sharded::ShardedCluster;

#[test]
fn each_row_is_on_the_shard_of_its_key_and_all_are_in_the_whole() -> Result<()> {
    let cluster = ShardedCluster::builder(3).servers(2).start()?;
    for table in ["users", "orders"] {
        let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
        let mut rows = cluster.rows(&sql)?;
        rows.sort();
        let mut all = cluster.whole()?.rows(&sql)?;
        all.sort();
        assert_eq!(rows, all);
        for shard in 0..3 {
            let own = cluster.shard(shard)?.rows(&format!("SELECT 1 FROM {table}"))?;
            assert!(!own.is_empty() && own.len() < all.len(), "{} rows on {shard}", own.len());
        }
    }
    let place = cluster.place(7)?;
    let found = cluster.shard(place)?.rows("SELECT name FROM users WHERE id = 7")?;
    assert_eq!(found, [["user 7"]]);
    assert_eq!(cluster.rows("SELECT count(*) FROM countries")?, [["3"], ["3"], ["3"]]);
    Ok(())
}

#[test]
fn the_configuration_names_every_shard() -> Result<()> {
    let cluster = ShardedCluster::start(2)?;
    let document = cluster.config().to_cluster_json();
    let database = |shard: usize| document["shards"][shard]["instances"][0]["database"].clone();
    assert_eq!((database(0), database(1)), ("app_0".into(), "app_1".into()));
    assert_eq!(document["sharded_tables"][1]["column"], "user_id");
    let proxy = cluster.proxy()?;
    let shards = proxy.admin()?.rows("SHOW DATABASES")?;
    assert_eq!(shards.len(), 2, "{shards:?}");
    Ok(())
}
