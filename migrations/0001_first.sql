-- The control plane's database: topology, its history, and who may change it.

-- One row. `generation` orders snapshots; it is an updated row and not a sequence, because
-- sequences do not commit in order. `origin` names the database that `lineage` was made for: a
-- restored or failed-over database has another origin and therefore gets a new lineage.
create table fleet_state (
    only_row boolean primary key default true check (only_row),
    lineage uuid not null,
    origin text not null,
    generation bigint not null check (generation >= 0),
    revision bigint not null check (revision >= 0),
    -- A constant sealed with the secret key, to notice a wrong key at the start.
    key_check bytea
);

create table revisions (
    number bigint primary key,
    generation bigint not null unique,
    created_at timestamptz not null default now(),
    author text not null,
    reason text,
    action text not null check (action in ('put', 'delete', 'rollback')),
    cluster text,
    rolled_back_to bigint references revisions (number),
    -- Keyed hash of the topology with its secrets: the same content has the same one.
    fingerprint text not null,
    -- The whole topology; each secret is a reference into `secrets`.
    document jsonb not null
);

-- Sealed passwords and verifiers. Rows never change: a new value is a new row, so that every
-- revision can be brought back.
create table secrets (
    id uuid primary key,
    cluster text not null,
    user_name text not null,
    field text not null,
    sealed bytea not null,
    created_at timestamptz not null default now()
);

-- What the newest revision holds, one row for each cluster, with the revision that changed it last.
create table clusters (
    name text primary key,
    revision bigint not null references revisions (number) deferrable initially deferred,
    document jsonb not null
);

create table proxies (
    id text primary key,
    -- Stands in the cancel keys of this proxy.
    number integer not null unique check (number > 0),
    incarnation text not null,
    version text not null,
    labels jsonb not null,
    address text,
    first_seen timestamptz not null default now(),
    last_seen timestamptz not null default now(),
    held_lineage text,
    held_generation bigint,
    last_nack jsonb
);

create table tokens (
    id uuid primary key,
    name text not null,
    role text not null check (role in ('viewer', 'operator', 'admin', 'proxy')),
    -- SHA-256 of the token, which is 256 random bits: a slow hash would add nothing.
    hash bytea not null unique,
    created_at timestamptz not null default now(),
    created_by text not null,
    revoked_at timestamptz
);
create unique index tokens_live_name on tokens (name) where revoked_at is null;

create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    target text,
    revision bigint,
    detail text
);

create function pgherd_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % never change', tg_table_name;
end $$;

create trigger immutable before update or delete on revisions
    for each row execute function pgherd_refuse_change();
create trigger immutable before update or delete on secrets
    for each row execute function pgherd_refuse_change();
create trigger immutable before update or delete on audit_log
    for each row execute function pgherd_refuse_change();

create function pgherd_notify_topology() returns trigger language plpgsql as $$
begin
    perform pg_notify('pgherd_topology', new.lineage || ':' || new.generation);
    return null;
end $$;

create trigger notify after insert or update of lineage, generation on fleet_state
    for each row execute function pgherd_notify_topology();

create function pgherd_notify_tokens() returns trigger language plpgsql as $$
begin
    perform pg_notify('pgherd_tokens', '');
    return null;
end $$;

create trigger notify after insert or update or delete on tokens
    for each statement execute function pgherd_notify_tokens();
