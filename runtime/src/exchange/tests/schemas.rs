use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit, UnionFields, UnionMode};

use super::super::types::MAX_DEPTH;
use super::super::{SchemaError, SchemaPlan};
use super::arrays::{encoded, item, leaves, map, runs};

const BASE: u32 = 128;

/// `name:format:flags(children)` of the schema at `at`.
fn show(memory: &[u8], at: usize) -> String {
    let word = |at: usize| u32::from_le_bytes(memory[at..at + 4].try_into().unwrap()) as usize;
    let text = |at: usize| {
        String::from_utf8(memory[at..].iter().take_while(|b| **b != 0).copied().collect()).unwrap()
    };
    assert_eq!(at % 8, 0);
    let extension = match word(at + 8) {
        0 => String::new(),
        metadata => {
            let bytes = |at: usize| memory[at + 4..at + 4 + word(at)].to_vec();
            let (key, value) = (bytes(metadata + 4), bytes(metadata + 8 + word(metadata + 4)));
            assert_eq!((word(metadata), key), (1, b"ARROW:extension:name".to_vec()));
            format!("<{}>", String::from_utf8(value).unwrap())
        }
    };
    assert_eq!([word(at + 20), word(at + 28), word(at + 36), word(at + 40), word(at + 44)], [0; 5]);
    let children = (0..word(at + 24)).map(|child| show(memory, word(word(at + 32) + 4 * child)));
    let children = children.collect::<Vec<_>>().join(" ");
    format!("{}:{}{extension}:{}({children})", text(word(at + 4)), text(word(at)), word(at + 16))
}

fn written(plan: &SchemaPlan) -> String {
    let mut memory = vec![0xff; BASE as usize + plan.size()];
    plan.write(&mut memory, BASE).unwrap();
    show(&memory, BASE as usize)
}

fn result(data_type: DataType) -> Result<String, SchemaError> {
    SchemaPlan::result(&Field::new("x", data_type, true)).map(|plan| written(&plan))
}

#[test]
fn formats_are_those_of_the_abi() {
    let formats = leaves().into_iter().map(|leaf| {
        let shown = result(leaf).unwrap();
        shown.strip_prefix("x:").unwrap().strip_suffix(":2()").unwrap().to_owned()
    });
    assert_eq!(
        formats.collect::<Vec<_>>().join(" "),
        "n b c s i l C S I L e f g u U z Z tdD tdm w:3 w:16 w:0 d:5,2,32 d:12,0,64 d:38,10 d:4,-2 d:70,5,256 \
         tts ttm ttu ttn tss: tsm: tsu: tsn: tss:+02:00 tsm:+02:00 tsu:+02:00 \
         tsn:+02:00 tDs tDm tDu tDn tiM tiD tin"
    );
}

#[test]
fn time_zones_keep_their_name() {
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
    assert_eq!(result(zone).unwrap(), "x:tsu:Europe/Berlin:2()");
}

#[test]
fn nested_types_have_children() {
    let list = DataType::List(item(DataType::Int32, false));
    assert_eq!(result(list).unwrap(), "x:+l:2(item:i:0())");
    let list =
        DataType::FixedSizeList(item(DataType::LargeList(item(DataType::Utf8, true)).clone(), true), 4);
    assert_eq!(result(list).unwrap(), "x:+w:4:2(item:+L:2(item:u:2()))");
    let map = map(DataType::Utf8, Field::new("value", DataType::Float64, true));
    assert_eq!(result(map.clone()).unwrap(), "x:+m:2(entries:+s:0(key:u:0() value:g:2()))");
    let DataType::Map(entries, _) = map else { unreachable!() };
    assert!(result(DataType::Map(entries, true)).unwrap().starts_with("x:+m:6("));
}

#[test]
fn encodings_are_described_by_their_values() {
    assert_eq!(result(DataType::Utf8View).unwrap(), "x:u:2()");
    assert_eq!(result(DataType::BinaryView).unwrap(), "x:z:2()");
    assert_eq!(result(DataType::ListView(item(DataType::BinaryView, true))).unwrap(), "x:+l:2(item:z:2())");
    assert_eq!(result(runs(DataType::Int32, DataType::LargeUtf8)).unwrap(), "x:U:2()");
    for encoded in encoded() {
        result(encoded).unwrap();
    }
}

#[test]
fn parameters_are_a_struct() {
    let none: [Field; 0] = [];
    assert_eq!(written(&SchemaPlan::parameters(&none).unwrap()), ":+s:0()");
    let fields =
        [Arc::new(Field::new("a", DataType::Int8, false)), Arc::new(Field::new("ß", DataType::Utf8, true))];
    assert_eq!(written(&SchemaPlan::parameters(&fields).unwrap()), ":+s:0(a:c:0() ß:u:2())");
}

#[test]
fn the_guests_allocation_is_checked() {
    let plan = SchemaPlan::result(&Field::new("x", DataType::Int8, true)).unwrap();
    let mut memory = vec![0; 65536];
    let error = plan.write(&mut memory, 65530).unwrap_err().to_string();
    assert_eq!(
        error,
        "`schema`: allocation at 0xfffa with 56 bytes ends outside the guest's memory of 65536 bytes"
    );
    assert!(plan.write(&mut memory, u32::MAX).is_err());
}

#[test]
fn unsupported_types_are_named() {
    let fields = UnionFields::try_new([0], [Field::new("u", DataType::Int8, true)]).unwrap();
    let union = DataType::Union(fields, UnionMode::Sparse);
    let nested =
        DataType::Struct(vec![Field::new("inner", DataType::List(item(union.clone(), true)), true)].into());
    let error = result(nested).unwrap_err();
    assert_eq!(error, SchemaError::Unsupported { path: "x.inner.item".into(), data_type: union });

    let dictionary =
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::List(item(DataType::Int8, true))));
    assert!(matches!(result(dictionary), Err(SchemaError::Unsupported { .. })));
}

#[test]
fn invalid_types_are_refused() {
    let invalid = [
        DataType::Decimal32(10, 0),
        DataType::Decimal64(19, 0),
        DataType::Decimal128(39, 0),
        DataType::Decimal128(0, 0),
        DataType::Decimal128(5, 6),
        DataType::Decimal256(77, 0),
        DataType::FixedSizeBinary(-1),
        DataType::FixedSizeList(item(DataType::Int8, true), -1),
        DataType::Map(item(DataType::Int8, false), false),
        DataType::Dictionary(Box::new(DataType::Utf8), Box::new(DataType::Utf8)),
        runs(DataType::Int8, DataType::Utf8),
    ];
    for data_type in invalid {
        assert!(matches!(result(data_type.clone()), Err(SchemaError::Invalid { .. })), "{data_type}");
    }
    let mut deep = DataType::Int8;
    for _ in 0..MAX_DEPTH - 1 {
        deep = DataType::List(item(deep, true));
    }
    assert!(result(deep.clone()).is_ok());
    assert!(matches!(result(DataType::List(item(deep, true))), Err(SchemaError::Depth { limit: 64, .. })));
    let zone = DataType::Timestamp(TimeUnit::Second, Some("U\0TC".into()));
    assert!(matches!(result(zone), Err(SchemaError::Nul { .. })));
    let name = SchemaPlan::result(&Field::new("a\0b", DataType::Int8, true));
    assert!(matches!(name, Err(SchemaError::Nul { .. })));
}

#[test]
fn extensions_have_the_name_that_the_guest_knows() {
    let extended = |name: &str, data_type: DataType, key: &str, value: &str| {
        let metadata = [(key.to_owned(), value.to_owned()), ("other".to_owned(), "x".to_owned())];
        Field::new(name, data_type, true).with_metadata(metadata.into_iter().collect())
    };
    let json = extended("j", DataType::Utf8, "ARROW:extension:name", "arrowudf.json");
    let variant = extended("v", DataType::LargeBinary, "Extension", "Variant");
    let uuid = extended("u", DataType::FixedSizeBinary(16), "ARROW:extension:name", "arrow.uuid");
    let opaque = extended("o", DataType::Int64, "ARROW:extension:name", "arrow.opaque");
    let list = Field::new("l", DataType::List(Arc::new(variant)), true);
    let nested = Field::new_struct("s", vec![json, list, uuid, opaque], false);
    let plan = SchemaPlan::result(&nested).unwrap();
    assert_eq!(
        written(&plan),
        "s:+s:0(j:u<arrow.json>:2() l:+l:2(v:Z<arrow.json>:2()) u:w:16<arrow.uuid>:2() o:l:2())"
    );
    let wrong = extended("x", DataType::Float64, "ARROW:extension:name", "arrow.uuid");
    let error = SchemaPlan::parameters(&[Field::new_struct("s", vec![wrong], false)]).unwrap_err();
    assert_eq!(error.to_string(), "field `s.x`: Float64 cannot store the extension `arrow.uuid`");
}
