//! Takes the secrets out of a topology before it is stored, and puts them back.
//!
//! A stored document has a reference `sealed:<uuid>` where a secret belongs; the sealed value is
//! in `secrets`, bound to cluster, user and field. A secret that did not change keeps its row.

use std::collections::HashMap;

use pgherd_config::{Cluster, Secret, User};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::{StoreError, vault::SecretKey};

const REFERENCE: &str = "sealed:";

/// Which secret of which user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    cluster: String,
    user: String,
    field: &'static str,
}

impl Place {
    /// Bound to the sealed value; length prefixes keep two places from reading the same.
    fn identity(&self, id: Uuid) -> Vec<u8> {
        let mut identity = id.as_bytes().to_vec();
        for part in [self.cluster.as_str(), self.user.as_str(), self.field] {
            identity.extend_from_slice(&(part.len() as u64).to_be_bytes());
            identity.extend_from_slice(part.as_bytes());
        }
        identity
    }
}

/// The secrets of one user with the names of their fields.
fn secrets_of(user: &mut User) -> impl Iterator<Item = (&'static str, &mut Secret)> {
    std::iter::once(("password", &mut user.password))
        .chain(user.server_password.as_mut().map(|secret| ("server_password", secret)))
}

/// Replaces each secret of `cluster` by a reference; `before` is the stored and the opened form
/// of the same cluster as it is now, whose rows are used again where nothing changed.
pub(crate) async fn seal(
    connection: &mut PgConnection,
    key: &SecretKey,
    mut cluster: Cluster,
    before: Option<(&Cluster, &Cluster)>,
) -> Result<Cluster, StoreError> {
    let mut known: HashMap<Place, (Secret, Secret)> = HashMap::new();
    if let Some((stored, opened)) = before {
        let (mut stored, mut opened) = (stored.clone(), opened.clone());
        for (stored_user, opened_user) in stored.users.iter_mut().zip(&mut opened.users) {
            let name = opened_user.name.clone();
            for ((field, reference), (_, plain)) in
                secrets_of(stored_user).zip(secrets_of(opened_user))
            {
                let place = Place { cluster: opened.name.clone(), user: name.clone(), field };
                known.insert(place, (plain.clone(), reference.clone()));
            }
        }
    }
    let mut new = NewSecrets::default();
    let cluster_name = cluster.name.clone();
    for user in &mut cluster.users {
        let user_name = user.name.clone();
        for (field, secret) in secrets_of(user) {
            let place = Place { cluster: cluster_name.clone(), user: user_name.clone(), field };
            *secret = match known.get(&place) {
                Some((plain, reference)) if plain == secret => reference.clone(),
                _ => new.add(key, place, secret),
            };
        }
    }
    new.insert(connection).await?;
    Ok(cluster)
}

/// Rows to be stored, by column: thousands of users are one statement.
#[derive(Default)]
struct NewSecrets {
    ids: Vec<Uuid>,
    clusters: Vec<String>,
    users: Vec<String>,
    fields: Vec<&'static str>,
    sealed: Vec<Vec<u8>>,
}

impl NewSecrets {
    /// Seals one secret and returns its reference.
    fn add(&mut self, key: &SecretKey, place: Place, secret: &Secret) -> Secret {
        let id = Uuid::new_v4();
        self.sealed.push(key.seal(secret.expose().as_bytes(), &place.identity(id)));
        self.ids.push(id);
        self.clusters.push(place.cluster);
        self.users.push(place.user);
        self.fields.push(place.field);
        Secret::new(format!("{REFERENCE}{id}"))
    }

    async fn insert(self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into secrets (id, cluster, user_name, field, sealed)
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])",
        )
        .bind(self.ids)
        .bind(self.clusters)
        .bind(self.users)
        .bind(self.fields)
        .bind(self.sealed)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Puts the secrets back into stored clusters.
pub(crate) async fn open(
    connection: &mut PgConnection,
    key: &SecretKey,
    mut clusters: Vec<Cluster>,
) -> Result<Vec<Cluster>, StoreError> {
    let mut ids = Vec::new();
    for cluster in &mut clusters {
        for user in &mut cluster.users {
            ids.extend(secrets_of(user).filter_map(|(_, secret)| reference(secret)));
        }
    }
    let rows = sqlx::query("select id, sealed from secrets where id = any($1)")
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    let mut sealed: HashMap<Uuid, Vec<u8>> = HashMap::with_capacity(rows.len());
    for row in rows {
        sealed.insert(row.try_get(0)?, row.try_get(1)?);
    }
    for cluster in &mut clusters {
        let cluster_name = cluster.name.clone();
        for user in &mut cluster.users {
            let user_name = user.name.clone();
            for (field, secret) in secrets_of(user) {
                let place = Place { cluster: cluster_name.clone(), user: user_name.clone(), field };
                *secret = open_one(key, &sealed, place, secret)?;
            }
        }
    }
    Ok(clusters)
}

fn open_one(
    key: &SecretKey,
    sealed: &HashMap<Uuid, Vec<u8>>,
    place: Place,
    secret: &Secret,
) -> Result<Secret, StoreError> {
    let Some((id, sealed)) = reference(secret).and_then(|id| Some((id, sealed.get(&id)?))) else {
        let Place { cluster, user, field } = place;
        return Err(StoreError::SecretMissing { cluster, user, field });
    };
    let unsealed = |source| StoreError::Unseal {
        cluster: place.cluster.clone(),
        user: place.user.clone(),
        source,
    };
    let plain = key.open(sealed, &place.identity(id)).map_err(unsealed)?;
    String::from_utf8(plain).map(Secret::new).map_err(|_| unsealed(crate::UnsealError::Damaged))
}

/// The row that a stored secret refers to.
fn reference(secret: &Secret) -> Option<Uuid> {
    Uuid::parse_str(secret.expose().strip_prefix(REFERENCE)?).ok()
}
