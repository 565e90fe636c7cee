//! What the demo tells once the fleet is up: how to use it.

use std::net::SocketAddr;

use anyhow::Result;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE};
use pgherd_harness::proxy::{ADMIN_PASSWORD, ADMIN_USER};

use crate::fleet::{Fleet, SHOP};

/// All that one needs to get in.
#[derive(Debug)]
struct Access {
    balancer: SocketAddr,
    url: String,
    token: String,
    proxies: Vec<(String, SocketAddr, Option<SocketAddr>)>,
    directories: String,
    has_shop: bool,
}

/// Prints how to connect with psql, curl and a browser.
pub fn print(fleet: &Fleet) -> Result<()> {
    let members = fleet.proxies().iter();
    let access = Access {
        balancer: fleet.balancer()?.addr(),
        url: fleet.control()?.url(),
        token: fleet.control()?.admin_token().to_owned(),
        proxies: members
            .map(|member| (member.id.to_owned(), member.proxy.addr(), member.proxy.metrics_addr()))
            .collect(),
        directories: fleet.pattern(),
        has_shop: fleet.has_shop(),
    };
    println!("\n{}", access.text());
    Ok(())
}

// === impl Access ===

impl Access {
    fn text(&self) -> String {
        let Self { balancer, url, token, proxies, directories, has_shop } = self;
        let login = |addr| format!("psql postgres://{APP_USER}:{APP_PASSWORD}@{addr}/{DATABASE}");
        let mut rows = vec![("application", login(balancer))];
        if *has_shop {
            let url = format!("postgres://{APP_USER}:{APP_PASSWORD}@{balancer}/{SHOP}");
            rows.push((
                "its shards",
                format!("psql {url} -c 'EXPLAIN SELECT count(*) FROM orders'"),
            ));
        }
        rows.extend(proxies.iter().map(|(id, addr, _)| (id.as_str(), login(addr))));
        if let Some((_, addr, metrics)) = proxies.first() {
            let admin = format!("postgres://{ADMIN_USER}:{ADMIN_PASSWORD}@{addr}/pgherd");
            rows.push(("its pools", format!("psql {admin} -c 'SHOW POOLS'")));
            if let Some(metrics) = metrics {
                rows.push(("its metrics", format!("curl -s http://{metrics}/metrics")));
            }
        }
        let bearer = format!("-H 'Authorization: Bearer {token}'");
        rows.push(("dashboard", format!("{url}/")));
        rows.push(("its token", token.clone()));
        rows.push(("REST", format!("curl -s {bearer} {url}/api/v1/proxies")));
        rows.push(("files and logs", format!("ls {}", directories)));

        let rows = rows.into_iter().map(|(name, what)| format!("  {name:<16}{what}\n"));
        format!("The fleet is up.\n{}", rows.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn all_ways_in_are_named() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let access = Access {
            balancer: at(6432),
            url: "http://127.0.0.1:8080".to_owned(),
            token: "TOKEN".to_owned(),
            proxies: vec![("proxy-1".to_owned(), at(6433), Some(at(9931)))],
            directories: "/tmp/x/run/1-*".to_owned(),
            has_shop: true,
        };
        expect![[r#"
            The fleet is up.
              application     psql postgres://app:secret@127.0.0.1:6432/app
              its shards      psql postgres://app:secret@127.0.0.1:6432/shop -c 'EXPLAIN SELECT count(*) FROM orders'
              proxy-1         psql postgres://app:secret@127.0.0.1:6433/app
              its pools       psql postgres://admin:adminsecret@127.0.0.1:6433/pgherd -c 'SHOW POOLS'
              its metrics     curl -s http://127.0.0.1:9931/metrics
              dashboard       http://127.0.0.1:8080/
              its token       TOKEN
              REST            curl -s -H 'Authorization: Bearer TOKEN' http://127.0.0.1:8080/api/v1/proxies
              files and logs  ls /tmp/x/run/1-*
        "#]]
        .assert_eq(&access.text());
    }
}
