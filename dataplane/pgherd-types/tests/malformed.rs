//! Bytes that no Postgres sends: read as something or refused, never a panic.

use bytes::Bytes;
use pgherd_types::{Collation, Collations, Comparator, Field, Format, Kind, Settings, Type, oid};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

/// Every built-in type, and one of each kind that databases make.
fn types() -> Vec<Type> {
    let mut types: Vec<Type> = (1..6200).filter_map(Type::builtin).collect();
    assert!(types.len() > 100, "{}", types.len());
    let text = Type::builtin(oid::TEXT).expect("text");
    let mood = Type::new(70_000, "mood", Kind::Enum(Box::new([(1, "a".into()), (2, "b".into())])));
    let field =
        |data_type: &Type| Field { name: "f".into(), data_type: data_type.clone(), collation: 950 };
    let pair = Kind::Composite(Box::new([field(&text), field(&mood)]));
    types.push(Type::new(70_001, "pair", pair));
    types.push(Type::new(70_002, "textrange", Kind::Range(text, 950)));
    types.push(mood);
    types
}

fn check(data_type: &Type, format: Format, bytes: &Bytes) {
    let settings = Settings::default();
    let Ok(value) = data_type.decode(format, bytes, &settings) else { return };
    for to in [Format::Text, Format::Binary] {
        // Some values can be read and not be written; that is an error, too.
        let _ = data_type.encode(to, &value, &settings, &mut Vec::new());
    }
    if let Ok(comparator) = Comparator::new(data_type, &Collation::Bytes, &Collations::bytes()) {
        let order = comparator.compare(&value, &value);
        assert_eq!(order.map(|it| it.is_eq()), Ok(true), "{} {bytes:?}", data_type.name());
        assert!(data_type.group_key(Some(&value), &mut Vec::new()).is_ok(), "{}", data_type.name());
    }
}

/// Random bytes, and what looks more like text.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let signs = b"0123456789-+.,:;/ {}[]()<>\"\\NULLempty infinityBCeE$xtf";
    let text = vec((0..signs.len()).prop_map(move |place| signs[place]), 0..40);
    prop_oneof![vec(any::<u8>(), 0..60), vec(prop_oneof![0..3_u8, any::<u8>()], 0..60), text]
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in bytes()) {
        let bytes = Bytes::from(bytes);
        for data_type in types() {
            check(&data_type, Format::Text, &bytes);
            check(&data_type, Format::Binary, &bytes);
        }
    }
}

#[test]
fn deep_values_do_not_overflow_the_stack() {
    let jsonb = Type::builtin(oid::JSONB).expect("jsonb");
    let deep = Bytes::from("[".repeat(1_000_000));
    assert!(jsonb.decode(Format::Text, &deep, &Settings::default()).is_err());
    let array = Type::builtin(1007).expect("integer[]");
    let deep = Bytes::from("{".repeat(1_000_000));
    assert!(array.decode(Format::Text, &deep, &Settings::default()).is_err());
}

#[test]
fn an_unknown_order_is_refused_before_any_row() {
    let unknown = Collation::Unknown { name: "en_US.utf8".into(), deterministic: true };
    let collations = Collations { database: Some(unknown.clone()), ..Default::default() };
    for oid in [oid::TEXT, oid::BPCHAR, oid::JSONB, 1009] {
        let data_type = Type::builtin(oid).expect("built in");
        let error = Comparator::new(&data_type, &unknown, &collations).expect_err("no order");
        assert_eq!(error.sqlstate(), "0A000");
        assert!(error.to_string().contains("en_US.utf8"), "{error}");
        // Equal bytes are equal texts.
        assert_eq!(data_type.check_groupable(&unknown, &collations), Ok(()));
    }
    let number = Type::builtin(oid::INT8).expect("bigint");
    assert!(Comparator::new(&number, &unknown, &collations).is_ok());
}
