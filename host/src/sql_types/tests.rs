use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> (DataType, bool) {
    let field = parse_field("f", text, Dialect::Vivarium).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(field.name(), "f");
    (field.data_type().clone(), field.is_nullable())
}

fn refused(text: &str) -> String {
    match parse_field("f", text, Dialect::Vivarium) {
        Ok(field) => panic!("{text} was read as {field:?}"),
        Err(error) => error.to_string(),
    }
}

fn list(item: DataType, nullable: bool) -> DataType {
    DataType::List(Field::new_list_field(item, nullable).into())
}

fn structure(fields: &[(&str, DataType, bool)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, t, n)| Field::new(*name, t.clone(), *n)).collect::<Fields>())
}

fn map(key: DataType, value: DataType, nullable: bool) -> DataType {
    let entries = structure(&[("key", key, false), ("value", value, nullable)]);
    DataType::Map(Field::new("entries", entries, false).into(), false)
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

#[test]
fn plain_types_of_every_dialect() {
    let table: &[(&[&str], DataType)] = &[
        (&["BOOLEAN", "bool", "Boolean"], DataType::Boolean),
        (&["TINYINT", "INT8", "int8", "Int8"], DataType::Int8),
        (&["SMALLINT", "int16", "INT2"], DataType::Int16),
        (&["INT", "INTEGER", "INT4", "Int32", " \t\nint "], DataType::Int32),
        (&["BIGINT", "INT64", "int64"], DataType::Int64),
        (&["UINT8", "TINYINT UNSIGNED"], DataType::UInt8),
        (&["UINT16", "SMALLINT UNSIGNED", "int16 unsigned"], DataType::UInt16),
        (&["UINT32", "INT UNSIGNED", "INTEGER  UNSIGNED"], DataType::UInt32),
        (&["UINT64", "BIGINT UNSIGNED", "UInt64"], DataType::UInt64),
        (&["float16", "halffloat"], DataType::Float16),
        (&["FLOAT", "REAL", "FLOAT4", "Float32"], DataType::Float32),
        (&["DOUBLE", "double precision", "FLOAT8", "FLOAT64"], DataType::Float64),
        (&["VARCHAR", "STRING", "text", "Utf8", "VARCHAR(20)", "CHARACTER VARYING (7)"], DataType::Utf8),
        (&["LargeUtf8", "large_string"], DataType::LargeUtf8),
        (&["Utf8View", "string_view"], DataType::Utf8View),
        (&["BINARY", "VARBINARY", "BYTEA", "VARBINARY(3)"], DataType::Binary),
        (&["large_binary", "LargeBinary"], DataType::LargeBinary),
        (&["fixed_size_binary[16]", "FixedSizeBinary(16)"], DataType::FixedSizeBinary(16)),
        (&["DATE", "date32", "date32[day]"], DataType::Date32),
        (&["Date64", "date64[ms]"], DataType::Date64),
        (
            &["TIMESTAMP", "TIMESTAMP(0)", "TIMESTAMP(6)", "timestamp[us]", "Timestamp(Microsecond, None)"],
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        (&["DATETIME", "Timestamp(µs)"], DataType::Timestamp(TimeUnit::Microsecond, None)),
        (&["TIMESTAMP(9)", "timestamp[ns]"], DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (&["timestamp[s]", "TIMESTAMP(s) WITHOUT TIME ZONE"], DataType::Timestamp(TimeUnit::Second, None)),
        (&["TIMESTAMP_TZ", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]"], utc()),
        (&[r#"Timestamp(Microsecond, Some("UTC"))"#, r#"Timestamp(µs, "UTC")"#], utc()),
        (
            &["timestamp[ms, tz=+02:00]", "timestamp[ms,tz= +02:00 ]", "TIMESTAMP(ms, '+02:00')"],
            DataType::Timestamp(TimeUnit::Millisecond, Some("+02:00".into())),
        ),
        (
            &["timestamp[ns, tz=Europe/Paris]"],
            DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Paris".into())),
        ),
        (
            &["TIME", "time64[us]", "time64", "TIME(3)", "Time64(Microsecond)"],
            DataType::Time64(TimeUnit::Microsecond),
        ),
        (&["time32[ms]", "Time32(ms)"], DataType::Time32(TimeUnit::Millisecond)),
        (&["duration[us]", "DURATION", "Duration(Microsecond)"], DataType::Duration(TimeUnit::Microsecond)),
        (
            &["INTERVAL", "month_day_nano_interval", "Interval(MonthDayNano)"],
            DataType::Interval(IntervalUnit::MonthDayNano),
        ),
        (&["Interval(YearMonth)"], DataType::Interval(IntervalUnit::YearMonth)),
        (&["DECIMAL(10, 2)", "numeric(10,2)", "decimal128(10, 2)"], DataType::Decimal128(10, 2)),
        (&["DECIMAL(38)"], DataType::Decimal128(38, 0)),
        (&["DECIMAL(39, 39)", "Decimal256(39, 39)"], DataType::Decimal256(39, 39)),
        (&["DECIMAL(76, 0)"], DataType::Decimal256(76, 0)),
        (&["decimal64(18, 18)"], DataType::Decimal64(18, 18)),
        (&["decimal32(9, -9)"], DataType::Decimal32(9, -9)),
    ];
    for (spellings, expected) in table {
        for spelling in *spellings {
            assert_eq!(parse(spelling), (expected.clone(), false), "{spelling}");
            assert_eq!(parse(&format!("{spelling} NULL")), (expected.clone(), true), "{spelling} NULL");
            assert_eq!(parse(&format!("{spelling} not null")), (expected.clone(), false), "{spelling}");
        }
    }
}

#[test]
fn containers_and_their_nullability() {
    let table: &[(&str, DataType)] = &[
        ("ARRAY(INT32 NULL)", list(DataType::Int32, true)),
        ("ARRAY(INT32)", list(DataType::Int32, false)),
        ("VARCHAR[]", list(DataType::Utf8, true)),
        ("timestamp[]", list(DataType::Timestamp(TimeUnit::Microsecond, None), true)),
        ("date[]", list(DataType::Date32, true)),
        ("INT[][]", list(list(DataType::Int32, true), true)),
        ("List(Int64)", list(DataType::Int64, true)),
        ("List(non-null Int64)", list(DataType::Int64, false)),
        ("list<item: int64 not null>", list(DataType::Int64, false)),
        ("list<item: int64>", list(DataType::Int64, true)),
        (
            "large_list<element: string>",
            DataType::LargeList(Field::new("element", DataType::Utf8, true).into()),
        ),
        (
            "fixed_size_list<item: float>[3]",
            DataType::FixedSizeList(Field::new_list_field(DataType::Float32, true).into(), 3),
        ),
        (
            "FixedSizeList(3 x non-null Float32)",
            DataType::FixedSizeList(Field::new_list_field(DataType::Float32, false).into(), 3),
        ),
        ("MAP(STRING, DECIMAL(10, 2))", map(DataType::Utf8, DataType::Decimal128(10, 2), false)),
        ("MAP(STRING, INT32 NULL)", map(DataType::Utf8, DataType::Int32, true)),
        ("map<string, int64>", map(DataType::Utf8, DataType::Int64, true)),
        ("TUPLE(INT32, STRING)", structure(&[("1", DataType::Int32, false), ("2", DataType::Utf8, false)])),
        (
            "TUPLE(1 INT32 NULL, 2 STRING)",
            structure(&[("1", DataType::Int32, true), ("2", DataType::Utf8, false)]),
        ),
        ("TUPLE(A INT32,)", structure(&[("A", DataType::Int32, false)])),
        ("TUPLE(INT32 NULL,)", structure(&[("1", DataType::Int32, true)])),
        ("TUPLE(SMALLINT UNSIGNED NULL)", structure(&[("1", DataType::UInt16, true)])),
        ("TUPLE(date DATE)", structure(&[("date", DataType::Date32, false)])),
        (
            "TUPLE(`a \"b\"` INT, 名 INT)",
            structure(&[("a \"b\"", DataType::Int32, false), ("名", DataType::Int32, false)]),
        ),
        (
            "STRUCT<a INT, b VARCHAR NOT NULL>",
            structure(&[("a", DataType::Int32, true), ("b", DataType::Utf8, false)]),
        ),
        (
            "struct<a: list<item: int8>, b: string not null>",
            structure(&[("a", list(DataType::Int8, true), true), ("b", DataType::Utf8, false)]),
        ),
        (
            r#"Struct("a": non-null Int64, "b": Utf8)"#,
            structure(&[("a", DataType::Int64, false), ("b", DataType::Utf8, true)]),
        ),
        (
            "ARRAY(TUPLE(x MAP(STRING, ARRAY(INT8 NULL) NULL), y INT64))",
            list(
                structure(&[
                    ("x", map(DataType::Utf8, list(DataType::Int8, true), true), false),
                    ("y", DataType::Int64, false),
                ]),
                false,
            ),
        ),
    ];
    for (spelling, expected) in table {
        assert_eq!(parse(spelling), (expected.clone(), false), "{spelling}");
        assert_eq!(parse(&format!("{spelling} NULL")), (expected.clone(), true), "{spelling} NULL");
    }
    assert_eq!(parse("Nullable(Int32)"), (DataType::Int32, true));
    assert_eq!(parse("NULL"), (DataType::Null, true));
}

#[test]
fn display_reads_back() {
    let table = [
        ("INT NULL", "INT NULL"),
        ("int64", "BIGINT NOT NULL"),
        ("tinyint unsigned null", "UINT8 NULL"),
        ("decimal(39,1)", "DECIMAL(39, 1) NOT NULL"),
        ("decimal(38,1)", "DECIMAL128(38, 1) NOT NULL"),
        ("decimal128(5, -2)", "DECIMAL128(5, -2) NOT NULL"),
        ("decimal256(5, 2)", "DECIMAL256(5, 2) NOT NULL"),
        ("decimal64(5, 2)", "DECIMAL64(5, 2) NOT NULL"),
        ("timestamp[us]", "TIMESTAMP NOT NULL"),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE NOT NULL"),
        ("list<timestamp[us, tz=UTC]>", "LIST<TIMESTAMP WITH TIME ZONE NULL> NOT NULL"),
        ("timestamp[ms, tz=Europe/Paris]", r#"TIMESTAMP(ms, "Europe/Paris") NOT NULL"#),
        ("timestamp(9)", "TIMESTAMP(ns) NOT NULL"),
        ("time32[s]", "TIME32(s) NOT NULL"),
        ("time64[ns]", "TIME64(ns) NOT NULL"),
        ("duration[ms]", "DURATION(ms) NOT NULL"),
        ("interval(daytime)", "INTERVAL(DayTime) NOT NULL"),
        ("fixed_size_binary[4]", "FIXED_SIZE_BINARY(4) NOT NULL"),
        ("varchar[]", "LIST<VARCHAR NULL> NOT NULL"),
        ("large_list<item: int8 not null>", "LARGE_LIST<TINYINT NOT NULL> NOT NULL"),
        ("large_list<element: int8 not null>", "LARGE_LIST<element: TINYINT NOT NULL> NOT NULL"),
        ("fixed_size_list(float, 3)", "FIXED_SIZE_LIST<FLOAT NULL>[3] NOT NULL"),
        ("map<string, int64> null", "MAP<VARCHAR NOT NULL, BIGINT NULL> NULL"),
        ("TUPLE(INT32, STRING NULL)", "STRUCT<1 INT NOT NULL, 2 VARCHAR NULL> NOT NULL"),
        ("struct<`a b` int, nullable: int>", r#"STRUCT<"a b" INT NULL, "nullable" INT NULL> NOT NULL"#),
        ("TUPLE(date: NULL)", r#"STRUCT<"date" NULL> NOT NULL"#),
        ("TUPLE('say \"hi\"' INT)", r#"STRUCT<"say ""hi""" INT NOT NULL> NOT NULL"#),
        ("list<json>", "LIST<JSON NULL> NOT NULL"),
        ("uuid null", "UUID NULL"),
        ("null", "NULL"),
    ];
    for (written, canonical) in table {
        let field = parse_field("f", written, Dialect::Vivarium).unwrap();
        assert_eq!(display(&field), canonical, "{written}");
        assert_eq!(parse_field("f", canonical, Dialect::Vivarium).unwrap(), field, "{canonical}");
        // In no dialect does the canonical form mean something else by what it leaves out.
        for dialect in Dialect::ALL {
            let read = parse_field("f", canonical, dialect).unwrap();
            assert_eq!(parse_field("f", &display(&read), dialect).unwrap(), read, "{dialect:?}: {canonical}");
            assert_eq!(read.is_nullable(), field.is_nullable(), "{dialect:?}: {canonical}");
        }
    }
    assert_eq!(display_type(&Field::new("x", DataType::Int64, false)), "BIGINT");
}

#[test]
fn dialects_differ_where_they_say() {
    use Dialect::{ArrowUdf, Databend, DatabendUdf, Vivarium};
    let named = |key: &str, name: &str| [(key.to_owned(), name.to_owned())].into();
    let plain = |data_type, nullable| Field::new("f", data_type, nullable);
    let extension = |data_type, nullable, name| {
        Field::new("f", data_type, nullable).with_metadata(named(EXTENSION_NAME, name))
    };
    let databend = |data_type, nullable, name| {
        Field::new("f", data_type, nullable).with_metadata(named(DATABEND_EXTENSION, name))
    };
    let vector =
        |nullable| DataType::FixedSizeList(Field::new_list_field(DataType::Float32, nullable).into(), 3);
    let table = [
        (Databend, "INT", plain(DataType::Int32, false)),
        (DatabendUdf, "INT", plain(DataType::Int32, true)),
        (DatabendUdf, "INT NOT NULL", plain(DataType::Int32, false)),
        (ArrowUdf, "int", plain(DataType::Int32, true)),
        (DatabendUdf, "ARRAY(INT)", plain(list(DataType::Int32, false), true)),
        (ArrowUdf, "int[]", plain(list(DataType::Int32, true), true)),
        (ArrowUdf, "ARRAY(int)", plain(list(DataType::Int32, true), true)),
        (
            ArrowUdf,
            "struct<\n  a: int,\n  null: null,\n  struct: struct<b:string,>,\n>",
            plain(
                structure(&[
                    ("a", DataType::Int32, true),
                    ("null", DataType::Null, true),
                    ("struct", structure(&[("b", DataType::Utf8, true)]), true),
                ]),
                true,
            ),
        ),
        (DatabendUdf, "VARCHAR", plain(DataType::LargeUtf8, true)),
        (DatabendUdf, "BINARY NOT NULL", plain(DataType::LargeBinary, false)),
        (DatabendUdf, "DECIMAL(38, 2)", plain(DataType::Decimal256(38, 2), true)),
        (Databend, "DECIMAL(38, 2)", plain(DataType::Decimal128(38, 2), false)),
        (ArrowUdf, "DECIMAL(28,10)", plain(DataType::Decimal128(28, 10), true)),
        (ArrowUdf, "decimal", extension(DataType::Utf8, true, ARROW_UDF_DECIMAL)),
        (
            ArrowUdf,
            "numeric[]",
            plain(
                DataType::List(extension(DataType::Utf8, true, ARROW_UDF_DECIMAL).with_name("item").into()),
                true,
            ),
        ),
        (Vivarium, "JSON", extension(DataType::Utf8, false, JSON)),
        (Vivarium, "variant null", extension(DataType::Utf8, true, JSON)),
        (ArrowUdf, "jsonb", extension(DataType::Utf8, true, ARROW_UDF_JSON)),
        (Databend, "VARIANT NULL", databend(DataType::LargeBinary, true, "Variant")),
        (DatabendUdf, "JSON", databend(DataType::LargeBinary, true, "Variant")),
        (Vivarium, "uuid", extension(DataType::FixedSizeBinary(16), false, UUID)),
        (Vivarium, "VECTOR(3)", plain(vector(false), false)),
        (Databend, "VECTOR(3) NULL", databend(vector(false), true, "Vector")),
        (Databend, "BITMAP", databend(DataType::LargeBinary, false, "Bitmap")),
        (Databend, "GEOMETRY", databend(DataType::LargeBinary, false, "Geometry")),
        (Databend, "GEOGRAPHY", databend(DataType::LargeBinary, false, "Geography")),
    ];
    for (dialect, text, expected) in table {
        let read =
            parse_field("f", text, dialect).unwrap_or_else(|error| panic!("{dialect:?} {text}: {error}"));
        assert_eq!(read, expected, "{dialect:?} {text}");
        let shown = display(&read);
        assert_eq!(parse_field("f", &shown, dialect).unwrap(), expected, "{dialect:?} {shown}");
    }
    let read = parse_field("f", "VECTOR(3)", DatabendUdf).unwrap();
    assert_eq!(read.data_type(), &vector(true));
    assert_eq!((&*read.metadata()["Extension"], &*read.metadata()["vector_size"]), ("Vector", "3"));
    assert_eq!(display(&read), "VECTOR(3) NULL");
}

#[test]
fn the_sandbox_knows_one_json() {
    for (dialect, text) in [
        (Dialect::Vivarium, "JSON NULL"),
        (Dialect::Databend, "VARIANT NULL"),
        (Dialect::ArrowUdf, "JSON"),
        (Dialect::ArrowUdf, "json[]"),
        (Dialect::Databend, "MAP(STRING, TUPLE(x VARIANT)) NULL"),
    ] {
        let field = guest_field(&parse_field("f", text, dialect).unwrap());
        let shown = format!("{field:?}");
        assert!(shown.contains(r#""ARROW:extension:name": "arrow.json""#), "{shown}");
        assert!(!shown.contains("Variant") && !shown.contains("arrowudf"), "{shown}");
    }
    let vector = guest_field(&parse_field("f", "VECTOR(3)", Dialect::Databend).unwrap());
    assert!(vector.metadata().is_empty());
    let decimal = guest_field(&parse_field("f", "DECIMAL", Dialect::ArrowUdf).unwrap());
    assert_eq!(decimal.metadata()[EXTENSION_NAME], ARROW_UDF_DECIMAL);
}

/// A type as deep as it comes, among those that every dialect reads alike.
fn any_field() -> impl Strategy<Value = Field> {
    let unit = prop_oneof![
        Just(TimeUnit::Second),
        Just(TimeUnit::Millisecond),
        Just(TimeUnit::Microsecond),
        Just(TimeUnit::Nanosecond)
    ];
    let zone = proptest::option::of("[A-Za-z+:/\" ]{1,8}");
    let leaf = prop_oneof![
        Just(DataType::Null),
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::UInt64),
        Just(DataType::Float16),
        Just(DataType::LargeUtf8),
        Just(DataType::Utf8View),
        Just(DataType::LargeBinary),
        (1..100).prop_map(DataType::FixedSizeBinary),
        (1..=76_u8).prop_flat_map(|p| (0..=p as i8).prop_map(move |s| DataType::Decimal256(p, s))),
        (1..=38_u8).prop_flat_map(|p| (-(p as i8)..=p as i8).prop_map(move |s| DataType::Decimal128(p, s))),
        (unit.clone(), zone).prop_map(|(unit, zone)| DataType::Timestamp(unit, zone.map(Into::into))),
        unit.prop_map(DataType::Duration),
    ];
    let named = ("[a-z \"`:,]{0,6}", leaf, any::<bool>())
        .prop_map(|(name, t, null)| Field::new(name, t.clone(), null || t == DataType::Null));
    let leaf = prop_oneof![
        4 => named,
        1 => any::<bool>().prop_map(|null| parse_field("j", "JSON", Dialect::Vivarium).unwrap().with_nullable(null)),
        1 => any::<bool>().prop_map(|null| parse_field("u", "UUID", Dialect::Vivarium).unwrap().with_nullable(null)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let container = prop_oneof![
            inner.clone().prop_map(|item| DataType::List(item.into())),
            inner.clone().prop_map(|item| DataType::LargeList(item.into())),
            (inner.clone(), 1..9).prop_map(|(item, length)| DataType::FixedSizeList(item.into(), length)),
            (inner.clone(), inner.clone()).prop_filter_map("no null keys", |(key, value)| {
                let key = key.with_name("key").with_nullable(false);
                let fields = Fields::from(vec![key.clone(), value.with_name("value")]);
                let entries = Field::new("entries", DataType::Struct(fields), false);
                (*key.data_type() != DataType::Null).then(|| DataType::Map(entries.into(), false))
            }),
            proptest::collection::vec(inner, 1..4).prop_map(|fields| {
                let numbered = fields.into_iter().enumerate();
                DataType::Struct(
                    numbered
                        .map(|(index, field)| {
                            let name = format!("{}{index}", field.name());
                            field.with_name(name)
                        })
                        .collect(),
                )
            }),
        ];
        ("[a-z]{1,4}", container, any::<bool>()).prop_map(|(name, t, null)| Field::new(name, t, null))
    })
}

proptest! {
    #[test]
    fn any_type_survives_its_text(field in any_field()) {
        let text = display(&field);
        let read = parse_field(field.name(), &text, Dialect::Vivarium);
        prop_assert_eq!(read.as_ref(), Ok(&field), "{}", text);
    }
}

#[test]
fn errors_name_position_and_expectation() {
    let table = [
        ("", "expected a type, found the end of the text at character 1"),
        ("   ", "expected a type, found the end of the text at character 4"),
        ("INTT", "unknown type `INTT` at character 1; did you mean INT?"),
        ("VARCHR NULL", "unknown type `VARCHR` at character 1; did you mean VARCHAR?"),
        ("banana", "unknown type `banana` at character 1"),
        ("INT NOT", "expected `NULL` after `NOT`, found the end of the text at character 8"),
        ("INT NULL NULL", "expected the end of the type, found `NULL` at character 10"),
        ("INT, INT", "expected the end of the type, found `,` at character 4"),
        ("INT; DROP TABLE x", "expected a type, found `;` at character 4"),
        ("ARRAY", "expected `(` or `<`, found the end of the text at character 6"),
        ("ARRAY(INT", "expected `)`, found the end of the text at character 10"),
        ("ARRAY(INT>", "expected `)`, found `>` at character 10"),
        ("TUPLE()", "expected a type, found `)` at character 7"),
        ("TUPLE(a INT, a INT)", "field name `a` at character 19 is used twice in one tuple"),
        ("MAP(INT)", "expected `,` and the type of the map's values, found `)` at character 8"),
        (
            "MAP(INT NULL, INT)",
            "expected a map key that cannot be NULL, found a nullable type at character 5",
        ),
        (
            "DECIMAL",
            "expected `(precision, scale)` after the decimal type, found the end of the text at character 8",
        ),
        ("DECIMAL(0, 0)", "the precision of a decimal must be 1 to 76, found `0` at character 9"),
        ("DECIMAL(77, 0)", "the precision of a decimal must be 1 to 76, found `77` at character 9"),
        ("DECIMAL(10, 11)", "the scale of a decimal must be 0 to 10, found `11` at character 13"),
        ("DECIMAL(10, -1)", "expected a number, found `-` at character 13"),
        ("decimal128(39, 0)", "the precision of a decimal must be 1 to 38, found `39` at character 12"),
        ("TIMESTAMP(10)", "the number of fractional digits must be 0 to 9, found `10` at character 11"),
        (
            "timestamp[fortnight]",
            "expected a time unit: `s`, `ms`, `us` or `ns`, found `fortnight` at character 11",
        ),
        ("timestamp[us, tz=UTC", "expected `]` after the time zone, found `UTC` at character 18"),
        ("Timestamp(us, \"UTC)", "expected a closing quote, found the end of the text at character 20"),
        ("time64[ms]", "expected `us` or `ns`, found `ms` at character 8"),
        (
            "FIXED_SIZE_BINARY(0)",
            "the width of a fixed-size binary in bytes must be 1 to 2147483647, found `0` at character 19",
        ),
        ("BITMAP NULL", "type BITMAP at character 1 is not supported yet: use ARRAY(UINT64)"),
        ("ARRAY(VECTOR)", "expected `(` or `[`, found `)` at character 13"),
        ("VECTOR(0)", "the length of a vector must be 1 to 2147483647, found `0` at character 8"),
        ("VARCHAR UNSIGNED", "expected the end of the type, found `UNSIGNED` at character 9"),
        ("名前", "unknown type `名前` at character 1"),
        ("TUPLE(名 名)", "unknown type `名` at character 9"),
    ];
    for (text, message) in table {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn hostile_text_is_bounded() {
    let deep = "ARRAY(".repeat(MAX_DEPTH + 1) + "INT" + &")".repeat(MAX_DEPTH + 1);
    assert!(refused(&deep).contains("nested deeper than 32 levels"), "{}", refused(&deep));
    let just_deep_enough = "ARRAY(".repeat(MAX_DEPTH) + "INT" + &")".repeat(MAX_DEPTH);
    parse(&just_deep_enough);

    let brackets = "INT".to_owned() + &"[]".repeat(MAX_DEPTH + 1);
    assert!(refused(&brackets).contains("nested deeper"));
    let mixed = "ARRAY(".repeat(20) + "INT" + &"[]".repeat(20) + &")".repeat(20);
    assert!(refused(&mixed).contains("nested deeper"));
    // Brackets after a closed container add to what is inside it.
    let outside = "ARRAY(".repeat(20) + "INT" + &")".repeat(20) + &"[]".repeat(20);
    assert!(refused(&outside).contains("nested deeper"));
    let nullable = "NULLABLE(".repeat(5000);
    assert!(refused(&nullable).contains("nested deeper") || refused(&nullable).contains("limit"));

    assert_eq!(
        refused(&"x".repeat(MAX_TEXT_BYTES + 1)),
        "the type has 16385 bytes, the limit is 16384 bytes"
    );
    let long = refused(&"x".repeat(MAX_TEXT_BYTES));
    assert!(long.len() < 200, "{long}");
    let digits = refused(&format!("DECIMAL({}, 0)", "9".repeat(1000)));
    assert!(digits.len() < 200 && digits.contains("must be 1 to 76"), "{digits}");
    let escapes = refused("TUPLE(\"\u{1b}[31m\r\n\0\" \u{202e}x)");
    assert!(!escapes.contains(['\u{1b}', '\n', '\r', '\0', '\u{202e}']), "{escapes}");
}

/// No text makes the parser panic or run away: every prefix, deletion and doubling of valid types.
#[test]
fn mutations_never_panic() {
    let seeds = [
        "TUPLE(A INT32 NULL, `b c` MAP(STRING, DECIMAL(10, 2)) NULL,)",
        "struct<a: list<item: timestamp[us, tz=Europe/Paris] not null>, b: µs[][]>",
        r#"Struct("a": non-null Timestamp(µs, Some("UTC")), 名: fixed_size_list<item: float>[3])"#,
    ];
    for seed in seeds {
        let characters: Vec<char> = seed.chars().collect();
        for at in 0..=characters.len() {
            let prefix: String = characters[..at].iter().collect();
            let _ = parse_field("f", &prefix, Dialect::ArrowUdf);
            let suffix: String = characters[at..].iter().collect();
            let _ = parse_field("f", &suffix, Dialect::Databend);
            for inserted in ['(', ')', '[', ']', '<', '"', '-', ',', '9', 'µ', '\0', ':'] {
                let _ = parse_field("f", &format!("{prefix}{inserted}{suffix}"), Dialect::Vivarium);
                if at < characters.len() {
                    let rest: String = characters[at + 1..].iter().collect();
                    let _ = parse_field("f", &format!("{prefix}{inserted}{rest}"), Dialect::Vivarium);
                }
            }
        }
    }
}
