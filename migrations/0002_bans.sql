-- What administrators have banned: desired state, obeyed by every proxy until it is lifted or its
-- time is over. What was lifted is in the audit log.
create table bans (
    id uuid primary key,
    host text not null,
    port integer not null check (port between 0 and 65535),
    reason text not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    -- By this database's clock; null for a ban without end.
    expires_at timestamptz,
    unique (host, port)
);

create function pgherd_notify_bans() returns trigger language plpgsql as $$
begin
    perform pg_notify('pgherd_bans', '');
    return null;
end $$;

create trigger notify after insert or update or delete on bans
    for each statement execute function pgherd_notify_bans();
