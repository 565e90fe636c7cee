//! Statements that name prepared ones: where the names stand, and that a text in which they are
//! exchanged still says the same.

use bytes::Bytes;
use pgherd_pool::{SqlUse, SqlVerb};
use pgherd_session::fuzzing::sql_names::{find, may_be_any};
use pgherd_session::fuzzing::{Exchange, with_names_of_client};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let chosen = input.byte();
    let text = input.until(0);
    let mut sql = find(text);
    assert!(sql.is_empty() || may_be_any(text));
    let mut end = 0;
    for it in sql.iter().filter(|it| it.verb != SqlVerb::ForgetAll) {
        assert!(end <= it.at.start && it.at.start < it.at.end && it.at.end <= text.len());
        assert!(it.name.len() < 64);
        end = it.at.end;
    }

    let mut exchange = Exchange::new(text);
    for (index, it) in sql.iter_mut().enumerate() {
        if it.verb != SqlVerb::ForgetAll && chosen & (1 << (index % 8)) == 0 {
            it.exchanged = Some(exchange.put(&it.at, server_name(index)));
        }
    }
    let exchanged = exchange.finish();
    same(text, &sql, &exchanged);
    for it in sql.iter().filter_map(|it| it.exchanged.as_ref()) {
        // An error at a name is shown where the client wrote its own one.
        let body = format!("P{}\0\0", it.at);
        let told = with_names_of_client(body.as_bytes(), &sql).expect("names were exchanged");
        let told = std::str::from_utf8(&told).expect("digits");
        let position: usize = told.trim_matches(['P', '\0']).parse().expect("a position");
        assert!(position >= 1 && position <= text.len());
    }
}

fn server_name(index: usize) -> Bytes {
    Bytes::from(format!("pgherd_0123abcd_{index}"))
}

/// The exchanged text names the same statements in the same places, but for the names.
fn same(text: &[u8], sql: &[SqlUse], exchanged: &[u8]) {
    let found = find(exchanged);
    assert_eq!(found.len(), sql.len(), "{}", String::from_utf8_lossy(exchanged));
    let (mut at, mut there) = (0, 0);
    for (index, (it, new)) in sql.iter().zip(&found).enumerate() {
        assert_eq!(it.verb, new.verb);
        if it.verb == SqlVerb::ForgetAll {
            continue;
        }
        let name = if it.exchanged.is_some() { server_name(index) } else { it.name.clone() };
        assert_eq!(new.name, name);
        assert_eq!(text[at..it.at.start], exchanged[there..new.at.start], "between the names");
        (at, there) = (it.at.end, new.at.end);
    }
    assert_eq!(text[at..], exchanged[there..], "behind the names");
}
