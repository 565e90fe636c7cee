-- Large objects by psql's commands, which go by function calls of the protocol.
\lo_import blob.in 'a comment'
\set oid :LASTOID
SELECT length(lo_get(:oid)), md5(lo_get(:oid));
\lo_export :oid blob.out
SELECT count(*) FROM pg_largeobject_metadata WHERE oid = :oid;
BEGIN;
SELECT loread(lo_open(:oid, 262144), 10);
\lo_unlink :oid
ROLLBACK;
SELECT length(lo_get(:oid));
\lo_unlink :oid
\lo_unlink :oid
\lo_export :oid blob.none
