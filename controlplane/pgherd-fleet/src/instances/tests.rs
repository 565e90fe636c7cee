//! What many proxies say of an instance becomes one line.

use pgherd_config::InstanceRole;
use pgherd_proto::v1;

use super::{InstanceView, Role, Seen, middle, role};

fn view(role: v1::InstanceRole) -> InstanceView {
    let mut seen = v1::InstanceView { host: "a".to_owned(), ..v1::InstanceView::default() };
    seen.set_role(role);
    InstanceView::new(&seen)
}

#[track_caller]
fn check(roles: &[v1::InstanceRole], configured: InstanceRole, expected: Role) {
    let seen = Seen { proxy: "p".to_owned(), zone: None, instances: Vec::new() };
    let views: Vec<_> = roles.iter().map(|it| view(*it)).collect();
    let views: Vec<_> = views.iter().map(|view| (&seen, view)).collect();
    assert_eq!(role(&views, configured), expected, "{roles:?}");
}

#[test]
fn a_role_is_what_most_of_those_say_who_know() {
    use v1::InstanceRole::{Fenced, Primary, Replica, Unknown};
    check(&[], InstanceRole::Auto, Role::Unknown);
    check(&[], InstanceRole::Replica, Role::Replica);
    check(&[Unknown, Unknown, Primary], InstanceRole::Replica, Role::Primary);
    check(&[Replica, Primary, Primary], InstanceRole::Auto, Role::Primary);
    check(&[Fenced], InstanceRole::Primary, Role::Fenced);
}

#[test]
fn the_middle_of_nothing_is_nothing() {
    assert_eq!(middle(Vec::new()), None);
    assert_eq!(middle(vec![9, 1, 5]), Some(5));
}

#[test]
fn numbers_that_change_all_the_time_are_no_news() {
    let before = view(v1::InstanceRole::Replica);
    let mut after = InstanceView { lsn: Some(7), busy: 3, lag_ms: Some(1), ..before.clone() };
    assert!(after.same_state(&before));
    after.held_back = Some("the last".to_owned());
    assert!(!after.same_state(&before));
}
