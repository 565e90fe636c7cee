"""asyncpg: each type there and back, always binary, and text through codecs of the user."""

import datetime as dt
import ipaddress
import json
import uuid
from decimal import Decimal

import asyncpg
import pytest

VALUES = [
    ("int2", -32768),
    ("int4", 2147483647),
    ("int8", -9223372036854775808),
    ("float4", 0.5),
    ("float8", 1e-300),
    ("numeric", Decimal("12345678901234567890.12345678901234567890")),
    ("bool", True),
    ("text", "Zażółć gęślą jaźń 🐘 '\"\\"),
    ("bytea", bytes(range(256))),
    ("date", dt.date(2026, 11, 30)),
    ("time", dt.time(23, 59, 59, 999999)),
    ("timestamp", dt.datetime(1999, 12, 31, 23, 59, 59, 1)),
    ("timestamptz", dt.datetime(2038, 1, 19, 3, 14, 8, tzinfo=dt.timezone.utc)),
    ("interval", dt.timedelta(days=-3, seconds=5, microseconds=7)),
    ("uuid", uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ("inet", ipaddress.ip_address("2001:db8::1")),
    ("cidr", ipaddress.ip_network("10.1.0.0/16")),
    ("bit varying", asyncpg.BitString("101")),
    ("point", asyncpg.Point(1.5, -2.5)),
    ("int4[]", [1, None, 3]),
    ("text[]", ["a,b", 'c"d', "", None]),
    ("int8[]", [[1, 2], [3, 4]]),
    ("int4range", asyncpg.Range(1, 5)),
    ("json", '{"a": 1}'),
]


@pytest.mark.parametrize("kind, value", VALUES, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(VALUES)])
async def test_there_and_back(pg, kind, value):
    for _ in range(2):
        assert await pg.fetchval(f"SELECT $1::{kind}", value) == value
        assert await pg.fetchval(f"SELECT $1::{kind}", None) is None


async def test_a_codec_in_text(pg):
    await pg.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    value = {"a": [1, None, "ä" * 10000]}
    assert await pg.fetchval("SELECT $1::jsonb", value) == value


async def test_a_composite_type_is_looked_up_in_the_catalog(pg, name):
    await pg.execute(f"CREATE TYPE {name} AS (n int, words text[])")
    got = await pg.fetchval(f"SELECT $1::{name}", (1, ["a", "b"]))
    assert tuple(got) == (1, ["a", "b"])
    many = await pg.fetchval(f"SELECT array_agg(row(n, ARRAY['x'])::{name}) FROM generate_series(1, 3) n")
    assert [tuple(one) for one in many] == [(n, ["x"]) for n in (1, 2, 3)]


async def test_an_enum_and_its_array(pg, name):
    await pg.execute(f"CREATE TYPE {name} AS ENUM ('small', 'large')")
    assert await pg.fetchval(f"SELECT $1::{name}[]", ["small", "large"]) == ["small", "large"]
