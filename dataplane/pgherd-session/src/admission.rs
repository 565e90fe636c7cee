//! How many clients there are of each cluster and user, and who may still come.
//!
//! A client is counted from the moment in which it has proven who it is until its session ends, so
//! that a burst of logins cannot pass a limit while each of them waits for its welcome.

use std::hash::Hash;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use pgherd_pool::ClientLimits;

/// The counts of all clients of the process.
#[derive(Debug, Default)]
pub struct Admissions {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    clusters: AHashMap<Arc<str>, usize>,
    users: AHashMap<Arc<str>, usize>,
    cluster_users: AHashMap<(Arc<str>, Arc<str>), usize>,
}

/// A client that has been let in. Dropped, it is counted no more.
#[derive(Debug)]
pub(crate) struct Admission {
    admissions: Arc<Admissions>,
    cluster: Arc<str>,
    user: Arc<str>,
}

/// Which limit keeps a client out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of the process.
    Process,
    /// That of the cluster.
    Cluster,
    /// That of the user, in all clusters or in this one.
    User,
}

/// Limits of the whole process; 0 for any number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessLimits {
    pub(crate) clients: usize,
    pub(crate) clients_of_user: usize,
}

impl Admissions {
    /// Lets a client in, unless a limit is reached.
    pub(crate) fn admit(
        self: &Arc<Self>,
        user: &Arc<str>,
        process: ProcessLimits,
        limits: &ClientLimits,
    ) -> Result<Admission, Full> {
        let reached =
            |count: Option<&usize>, most: usize| most > 0 && count.copied().unwrap_or(0) >= most;
        let cluster: Arc<str> = limits.cluster.as_str().into();
        let pair = (Arc::clone(&cluster), Arc::clone(user));
        let mut counts = self.counts.lock();
        if reached(Some(&counts.all), process.clients) {
            return Err(Full::Process);
        }
        if reached(counts.clusters.get(&cluster), limits.of_cluster) {
            return Err(Full::Cluster);
        }
        if reached(counts.users.get(user), process.clients_of_user)
            || reached(counts.cluster_users.get(&pair), limits.of_user)
        {
            return Err(Full::User);
        }
        counts.all += 1;
        *counts.clusters.entry(Arc::clone(&cluster)).or_default() += 1;
        *counts.users.entry(Arc::clone(user)).or_default() += 1;
        *counts.cluster_users.entry(pair).or_default() += 1;
        Ok(Admission { admissions: Arc::clone(self), cluster, user: Arc::clone(user) })
    }

    /// How many clients a cluster has.
    pub fn of_cluster(&self, cluster: &str) -> usize {
        self.counts.lock().clusters.get(cluster).copied().unwrap_or(0)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.admissions.counts.lock();
        counts.all -= 1;
        release(&mut counts.clusters, &self.cluster);
        release(&mut counts.users, &self.user);
        let pair = (Arc::clone(&self.cluster), Arc::clone(&self.user));
        release(&mut counts.cluster_users, &pair);
    }
}

fn release<K: Hash + Eq>(counts: &mut AHashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of_cluster: usize, of_user: usize) -> ClientLimits {
        ClientLimits { cluster: "app".to_owned(), of_cluster, of_user }
    }

    #[test]
    fn each_limit_counts_what_it_is_for_and_forgets_who_leaves() {
        let admissions = Arc::<Admissions>::default();
        let (alice, bob) = (Arc::from("alice"), Arc::from("bob"));
        let process = |clients, clients_of_user| ProcessLimits { clients, clients_of_user };
        let any = process(0, 0);
        let first = admissions.admit(&alice, any, &limits(0, 0)).unwrap();
        let full = |user, process, limits| admissions.admit(user, process, &limits).unwrap_err();
        assert_eq!(full(&bob, process(1, 0), limits(0, 0)), Full::Process);
        assert_eq!(full(&bob, any, limits(1, 0)), Full::Cluster);
        assert_eq!(full(&alice, process(0, 1), limits(0, 0)), Full::User);
        assert_eq!(full(&alice, any, limits(0, 1)), Full::User);
        let other = ClientLimits { cluster: "other".to_owned(), of_cluster: 1, of_user: 1 };
        let second = admissions.admit(&alice, process(2, 2), &other).unwrap();
        assert_eq!((admissions.of_cluster("app"), admissions.of_cluster("other")), (1, 1));
        drop(first);
        let third = admissions.admit(&bob, process(2, 1), &limits(1, 1)).unwrap();
        drop((second, third));
        let counts = admissions.counts.lock();
        assert_eq!(counts.all, 0);
        assert!(counts.clusters.is_empty() && counts.users.is_empty());
        assert!(counts.cluster_users.is_empty());
    }
}
