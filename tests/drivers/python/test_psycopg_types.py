"""psycopg 3: each type there and back, with text and with binary parameters and results."""

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal

import pytest
from psycopg import adapters, postgres
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

UTC = dt.timezone.utc
VALUES = [
    ("int2", -32768),
    ("int4", 2147483647),
    ("int8", -9223372036854775808),
    ("float4", 0.5),
    ("float8", 1e-300),
    ("float8", float("inf")),
    ("numeric", Decimal("12345678901234567890.12345678901234567890")),
    ("numeric", Decimal("0.00")),
    ("bool", False),
    ("text", "Zażółć gęślą jaźń 🐘 '\"\\"),
    ("text", ""),
    ("varchar(3)", "abc"),
    ("bytea", bytes(range(256))),
    ("date", dt.date(2026, 11, 30)),
    ("time", dt.time(23, 59, 59, 999999)),
    ("timetz", dt.time(1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=5)))),
    ("timestamp", dt.datetime(1999, 12, 31, 23, 59, 59, 1)),
    ("timestamptz", dt.datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)),
    ("interval", dt.timedelta(days=-3, seconds=5, microseconds=7)),
    ("uuid", uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ("inet", ipaddress.ip_address("2001:db8::1")),
    ("cidr", ipaddress.ip_network("10.1.0.0/16")),
    ("int4[]", [1, None, 3]),
    ("text[]", ["a,b", 'c"d', "", None]),
    ("int8[]", [[1, 2], [3, 4]]),
    ("int4range", Range(1, 5)),
    ("daterange", Range(dt.date(2026, 1, 1), None)),
]


@pytest.mark.parametrize("result", ["text", "binary"])
@pytest.mark.parametrize("parameter", ["%t", "%b"])
@pytest.mark.parametrize("kind, value", VALUES, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(VALUES)])
def test_there_and_back(auto, kind, value, parameter, result):
    with auto.cursor(binary=result == "binary") as cur:
        for _ in range(2):
            (got,) = cur.execute(f"SELECT {parameter}::{kind}", (value,), prepare=True).fetchone()
            assert got == value
            assert str(got) == str(value)


@pytest.mark.parametrize("binary", [False, True])
def test_null(auto, binary):
    with auto.cursor(binary=binary) as cur:
        assert cur.execute("SELECT %s::int, NULL, %s::text", (None, "")).fetchone() == (None, None, "")


@pytest.mark.parametrize("binary", [False, True])
def test_json(auto, binary):
    value = {"a": [1, 2.5, None, True], "ä": {"b": "c" * 10000}}
    with auto.cursor(binary=binary) as cur:
        assert cur.execute("SELECT %s::jsonb, %s::json", (Jsonb(value), Jsonb(value))).fetchone() == (value, value)


@pytest.mark.parametrize("binary", [False, True])
def test_a_composite_type(auto, name, binary):
    auto.execute(f"CREATE TYPE {name} AS (n int, word text)")
    info = CompositeInfo.fetch(auto, name)
    register_composite(info, auto)
    with auto.cursor(binary=binary) as cur:
        (got,) = cur.execute(f"SELECT row(%s, %s)::{name}", (1, "x,y")).fetchone()
        assert (got.n, got.word) == (1, "x,y")
        assert cur.execute(f"SELECT (%s::{name}).word", (got,)).fetchone() == ("x,y",)


@pytest.mark.parametrize("binary", [False, True])
def test_an_enum(auto, name, binary):
    auto.execute(f"CREATE TYPE {name} AS ENUM ('small', 'large')")
    info = EnumInfo.fetch(auto, name)
    register_enum(info, auto)
    with auto.cursor(binary=binary) as cur:
        (got,) = cur.execute(f"SELECT 'large'::{name}").fetchone()
        assert got is info.enum.large
        assert cur.execute("SELECT %s", (got,)).fetchone() == (got,)


def test_the_driver_knows_the_builtin_types(auto):
    # Oids of the row description must come through unchanged.
    cur = auto.execute("SELECT 1::int8 AS a, 'x'::varchar(7) AS b, 1.5::numeric(10, 2) AS c")
    described = [(c.name, c.type_code, c.display_size, c.precision, c.scale) for c in cur.description]
    assert described == [
        ("a", postgres.types["int8"].oid, None, None, None),
        ("b", postgres.types["varchar"].oid, 7, None, None),
        ("c", postgres.types["numeric"].oid, None, 10, 2),
    ]
    assert adapters.types.get("int8") is not None
