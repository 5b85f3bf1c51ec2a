//! Every type there and back, and what none of them takes.

use tophash::DataType;

use super::*;

fn named(name: &str) -> Type {
    Type::named(name).unwrap_or_else(|| panic!("no type {name}"))
}

fn parsed(name: &str, text: &str) -> Result<Vec<u8>, String> {
    named(name).parse(text.as_bytes()).map(Cow::into_owned).map_err(|why| why.0)
}

fn shown(name: &str, bytes: &[u8]) -> String {
    String::from_utf8(named(name).text(bytes).into_owned()).unwrap()
}

#[test]
fn every_name_is_a_type_and_gives_its_schema() {
    let names =
        NAMES.replace("(values only)", "").replace("(a set's values)", "").replace("bytes:N", "bytes:20");
    for name in names.split_whitespace().filter(|&word| word != "and") {
        assert_eq!(named(name).to_string(), name);
        let of_header = Types::of(&Schema::new(DataType::built_in(name).unwrap(), DataType::BYTES));
        assert_eq!(of_header, Types { key: named(name), value: Type::Bytes });
        assert_eq!(named(name).width(), width(name), "{name}");
    }
    for name in
        ["", "u7", "U64", "u64 ", "bytes:", "bytes:+1", "bytes:01", "bytes:-1", "bytes:99999999999999999999"]
    {
        assert_eq!((Type::named(name), DataType::built_in(name)), (None, None), "{name}");
    }
}

/// The width that the library gives a type.
fn width(name: &str) -> Option<usize> {
    let layout =
        Schema::new(DataType::built_in(name).unwrap(), DataType::fixed("other", 1).unwrap()).layout();
    match layout {
        Layout::Inline { key_width, .. } => Some(key_width.into()),
        // A key of no bytes is none that a cell holds.
        Layout::Record => (name == "()").then_some(0),
    }
}

#[test]
fn a_name_of_ours_with_another_width_is_not_ours() {
    let narrow = DataType::fixed("u64", 4).unwrap();
    let own = DataType::fixed("point", 12).unwrap();
    let types = Types::of(&Schema::new(narrow, own));
    assert_eq!(types.key, Type::Foreign { width: Some(4) });
    assert_eq!(types.value, Type::Foreign { width: Some(12) });
    let types = Types::of(&Schema::new(DataType::varying("mine").unwrap(), own));
    assert_eq!((types.key, types.value), (Type::Foreign { width: None }, Type::Foreign { width: None }));
}

#[test]
fn text_and_bytes_are_the_same_value() {
    for (name, text, bytes) in [
        ("u8", "255", &[255][..]),
        ("u16", "258", &[2, 1]),
        ("u64", "18446744073709551615", &[255; 8]),
        ("u128", "340282366920938463463374607431768211455", &[255; 16]),
        ("i8", "-128", &[128]),
        ("i32", "-2", &[254, 255, 255, 255]),
        ("i64", "9223372036854775807", &[255, 255, 255, 255, 255, 255, 255, 127]),
        ("i128", "-1", &[255; 16]),
        ("f32", "0.1", &0.1f32.to_le_bytes()),
        ("f64", "-1e300", &(-1e300f64).to_le_bytes()),
        ("f64", "inf", &f64::INFINITY.to_le_bytes()),
        ("f64", "NaN", &f64::NAN.to_le_bytes()),
        ("bool", "true", &[1]),
        ("bool", "false", &[0]),
        ("str", "größer", "größer".as_bytes()),
        ("bytes", "a\0\n", b"a\0\n"),
        ("bytes:4", "abcd", b"abcd"),
        ("bytes:4", "hex:", b"hex:"),
        ("bytes:2", "hex:00ff", &[0, 255]),
        ("()", "", b""),
    ] {
        assert_eq!(parsed(name, text).as_deref(), Ok(bytes), "{name} {text}");
        assert_eq!(shown(name, bytes), text, "{name} {bytes:?}");
    }
}

#[test]
fn what_is_no_value_of_the_type_is_refused_with_what_was_expected() {
    for (name, text, expected) in [
        (
            "u64",
            "18446744073709551616",
            "expected u64 (0 to 18446744073709551615), found '18446744073709551616'",
        ),
        ("u8", "-1", "expected u8 (0 to 255), found '-1'"),
        ("u8", "", "expected u8 (0 to 255), found nothing"),
        ("u8", " 1", "expected u8 (0 to 255), found ' 1'"),
        ("i8", "128", "expected i8 (-128 to 127), found '128'"),
        ("i8", "-129", "expected i8 (-128 to 127), found '-129'"),
        ("i64", "1.0", "expected i64 (-9223372036854775808 to 9223372036854775807), found '1.0'"),
        ("f32", "1e39", "expected f32 (a number, inf, -inf or NaN), found '1e39'"),
        ("f64", "x", "expected f64 (a number, inf, -inf or NaN), found 'x'"),
        ("bool", "1", "expected bool (true or false), found '1'"),
        ("bytes:2", "abc", "expected bytes:2 (2 bytes, or hex: and 4 digits), found 'abc'"),
        ("bytes:2", "hex:00f", "expected bytes:2 (2 bytes, or hex: and 4 digits), found 'hex:00f'"),
        ("bytes:2", "hex:00fg", "expected bytes:2 (2 bytes, or hex: and 4 digits), found 'hex:00fg'"),
        ("()", "x", "expected no value (the file is a set), found 'x'"),
    ] {
        assert_eq!(parsed(name, text), Err(expected.to_owned()));
    }
    let why = named("str").parse(&b"\xff"[..]).unwrap_err();
    assert_eq!(why.0, "expected str (UTF-8), found '\\xff'");
}

#[test]
fn sums_stay_within_the_type() {
    let sum = |name: &str, number: &str, delta: &str| {
        let sum =
            number::add(named(name), &parsed(name, number).unwrap(), number::parse_delta(delta).unwrap());
        sum.map(|bytes| shown(name, &bytes))
    };
    for (name, number, delta, expected) in [
        ("u8", "250", "5", Some("255")),
        ("u8", "250", "6", None),
        ("u8", "5", "-5", Some("0")),
        ("u8", "5", "-6", None),
        ("i16", "-32768", "65535", Some("32767")),
        ("i16", "-32768", "65536", None),
        ("i16", "0", "-32768", Some("-32768")),
        ("i16", "0", "-32769", None),
        (
            "u128",
            "0",
            "340282366920938463463374607431768211455",
            Some("340282366920938463463374607431768211455"),
        ),
        ("u128", "1", "340282366920938463463374607431768211455", None),
        (
            "i128",
            "-1",
            "170141183460469231731687303715884105728",
            Some("170141183460469231731687303715884105727"),
        ),
    ] {
        assert_eq!(sum(name, number, delta).as_deref(), expected, "{name} {number} {delta}");
    }
    assert!(number::parse_delta("--1").is_err() && number::parse_delta("1.5").is_err());
}

#[test]
fn a_type_of_a_program_is_hexadecimal() {
    let point = Type::Foreign { width: Some(3) };
    assert_eq!(*point.parse(&b"hex:00A1ff"[..]).unwrap(), [0, 0xa1, 0xff]);
    assert_eq!(*point.text(b"\x00\xa1\xff"), *b"hex:00a1ff");
    for text in ["abc", "hex:00a1", "hex:00a1ffff"] {
        assert!(point.parse(text.as_bytes()).is_err(), "{text}");
    }
    let any = Type::Foreign { width: None };
    assert!(any.parse(&b"hex:"[..]).unwrap().is_empty());
    assert!(any.parse(&b"hex:0"[..]).is_err());
}

#[test]
fn bytes_that_are_no_value_are_shown_all_the_same() {
    for (name, bytes, text) in
        [("bool", &[2][..], "hex:02"), ("u64", &[1, 2], "hex:0102"), ("f32", &[0; 8], "hex:0000000000000000")]
    {
        assert_eq!(shown(name, bytes), text);
        assert!(matches!(named(name).json(bytes), Json::Bytes(shown) if *shown == *text.as_bytes()));
    }
}

#[test]
fn numbers_that_not_every_reader_of_json_has_are_strings() {
    let bare = |name: &str, text: &str| matches!(named(name).json(&parsed(name, text).unwrap()), Json::Bare(found) if found == text);
    assert!(bare("u64", "9007199254740991") && !bare("u64", "9007199254740992"));
    assert!(bare("i128", "-9007199254740991") && !bare("i128", "-9007199254740992"));
    assert!(bare("f64", "1e300") && !bare("f64", "inf") && !bare("f32", "NaN"));
    assert!(bare("bool", "true"));
}
