//! OIDs of built-in types, as `pg_type.dat` assigns them.

macro_rules! oids {
    ($($name:ident = $oid:literal $(array $array:literal)?, $sql:literal;)*) => {
        $(pub const $name: u32 = $oid;)*
        /// OID, name and the OID of the array type of each.
        pub(crate) const BUILTIN: &[(u32, &str, u32)] = &[
            $(($oid, $sql, 0 $(+ $array)?),)*
        ];
    };
}

oids! {
    BOOL = 16 array 1000, "boolean";
    BYTEA = 17 array 1001, "bytea";
    CHAR = 18 array 1002, "\"char\"";
    NAME = 19 array 1003, "name";
    INT8 = 20 array 1016, "bigint";
    INT2 = 21 array 1005, "smallint";
    INT4 = 23 array 1007, "integer";
    TEXT = 25 array 1009, "text";
    OID = 26 array 1028, "oid";
    TID = 27 array 1010, "tid";
    XID = 28 array 1011, "xid";
    CID = 29 array 1012, "cid";
    JSON = 114 array 199, "json";
    XML = 142 array 143, "xml";
    XID8 = 5069 array 271, "xid8";
    POINT = 600 array 1017, "point";
    LSEG = 601 array 1018, "lseg";
    PATH = 602 array 1019, "path";
    BOX = 603 array 1020, "box";
    POLYGON = 604 array 1027, "polygon";
    LINE = 628 array 629, "line";
    CIRCLE = 718 array 719, "circle";
    FLOAT4 = 700 array 1021, "real";
    FLOAT8 = 701 array 1022, "double precision";
    MONEY = 790 array 791, "money";
    MACADDR = 829 array 1040, "macaddr";
    INET = 869 array 1041, "inet";
    CIDR = 650 array 651, "cidr";
    MACADDR8 = 774 array 775, "macaddr8";
    BPCHAR = 1042 array 1014, "character";
    VARCHAR = 1043 array 1015, "character varying";
    DATE = 1082 array 1182, "date";
    TIME = 1083 array 1183, "time without time zone";
    TIMESTAMP = 1114 array 1115, "timestamp without time zone";
    TIMESTAMPTZ = 1184 array 1185, "timestamp with time zone";
    INTERVAL = 1186 array 1187, "interval";
    TIMETZ = 1266 array 1270, "time with time zone";
    BIT = 1560 array 1561, "bit";
    VARBIT = 1562 array 1563, "bit varying";
    NUMERIC = 1700 array 1231, "numeric";
    UUID = 2950 array 2951, "uuid";
    PG_LSN = 3220 array 3221, "pg_lsn";
    JSONB = 3802 array 3807, "jsonb";
    TSVECTOR = 3614 array 3643, "tsvector";
    TSQUERY = 3615 array 3645, "tsquery";
    RECORD = 2249, "record";
    UNKNOWN = 705, "unknown";
    VOID = 2278, "void";
    CSTRING = 2275 array 1263, "cstring";
    REGPROC = 24 array 1008, "regproc";
    REGCLASS = 2205 array 2210, "regclass";
    REGTYPE = 2206 array 2211, "regtype";
    INT4RANGE = 3904 array 3905, "int4range";
    NUMRANGE = 3906 array 3907, "numrange";
    TSRANGE = 3908 array 3909, "tsrange";
    TSTZRANGE = 3910 array 3911, "tstzrange";
    DATERANGE = 3912 array 3913, "daterange";
    INT8RANGE = 3926 array 3927, "int8range";
    INT4MULTIRANGE = 4451 array 6150, "int4multirange";
    NUMMULTIRANGE = 4532 array 6151, "nummultirange";
    TSMULTIRANGE = 4533 array 6152, "tsmultirange";
    TSTZMULTIRANGE = 4534 array 6153, "tstzmultirange";
    DATEMULTIRANGE = 4535 array 6155, "datemultirange";
    INT8MULTIRANGE = 4536 array 6157, "int8multirange";
}
