//! The instance that takes a shard's writes.

use pgherd_config::{InstanceRole, Shard};

/// The index of the shard's primary. An instance that is alone in its shard is its primary even
/// with `role = "auto"`. None if no instance is known to be the primary.
pub fn for_write(shard: &Shard) -> Option<usize> {
    match shard.instances.as_slice() {
        [only] if only.role == InstanceRole::Auto => Some(0),
        instances => instances.iter().position(|i| i.role == InstanceRole::Primary),
    }
}

#[cfg(test)]
mod tests {
    use pgherd_config::InstanceRole::{Auto, Primary, Replica};
    use pgherd_config::{Instance, InstanceRole, Shard};

    use super::for_write;

    #[track_caller]
    fn check(roles: &[InstanceRole], expected: Option<usize>) {
        let instance = |&role| Instance {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: None,
            role,
            weight: 1,
            max_server_connections: 0,
            server_tls: None,
        };
        let shard = Shard { instances: roles.iter().map(instance).collect() };
        assert_eq!(for_write(&shard), expected, "{roles:?}");
    }

    #[test]
    fn writes_go_to_the_primary_and_nowhere_else() {
        check(&[], None);
        check(&[Auto], Some(0));
        check(&[Primary], Some(0));
        check(&[Replica], None);
        check(&[Primary, Replica], Some(0));
        check(&[Replica, Auto, Primary], Some(2));
        check(&[Auto, Auto], None);
        check(&[Replica, Auto], None);
    }
}
