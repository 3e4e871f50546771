//! Arrays of any type with made-up values.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayDataBuilder, ArrayRef, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use proptest::prelude::*;

/// A small generator of numbers that repeats itself for a seed.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }
}

/// An array of `field`'s type; with nulls wherever fields are nullable, if `nulls`.
pub(super) fn array(field: &Field, len: usize, nulls: bool, numbers: &mut Numbers) -> ArrayRef {
    make_array(data(field, len, nulls, numbers))
}

fn data(field: &Field, len: usize, nulls: bool, numbers: &mut Numbers) -> ArrayData {
    use DataType::{
        Binary, BinaryView, Boolean, Decimal32, Decimal64, Decimal128, Decimal256, Dictionary,
        FixedSizeBinary, FixedSizeList, LargeBinary, LargeList, LargeListView, LargeUtf8, List, ListView,
        Map, Null, Struct, Utf8, Utf8View,
    };
    let data_type = field.data_type();
    let plain = match data_type {
        Dictionary(_, value) => Some(value.as_ref().clone()),
        DataType::RunEndEncoded(_, values) => Some(values.data_type().clone()),
        Utf8View => Some(Utf8),
        BinaryView => Some(Binary),
        ListView(item) => Some(List(item.clone())),
        LargeListView(item) => Some(LargeList(item.clone())),
        _ => None,
    };
    if let Some(plain) = plain {
        let plain = array(&Field::new("", plain, field.is_nullable()), len, nulls, numbers);
        return cast(&plain, data_type).unwrap().to_data();
    }
    let mask = (nulls && field.is_nullable() && data_type != &Null)
        .then(|| NullBuffer::from_iter((0..len).map(|_| numbers.below(4) != 0)));
    let builder = ArrayDataBuilder::new(data_type.clone()).len(len).nulls(mask);
    let random = |bytes: usize, numbers: &mut Numbers| {
        let bytes = (0..bytes).map(|_| numbers.next().to_le_bytes()[3]).collect::<Vec<_>>();
        Buffer::from(&bytes[..])
    };
    let decimals = |width: usize, numbers: &mut Numbers| {
        let mut bytes = Vec::new();
        for _ in 0..len {
            let value = numbers.below(199) as i64 - 99;
            bytes.extend(value.to_le_bytes().iter().take(width));
            bytes.extend(std::iter::repeat_n(if value < 0 { 255 } else { 0 }, width.saturating_sub(8)));
        }
        Buffer::from(&bytes[..])
    };
    let builder = match data_type {
        Null => builder,
        Boolean => builder.add_buffer(random(len.div_ceil(8), numbers)),
        Utf8 | LargeUtf8 | Binary | LargeBinary => {
            let mut ends = vec![0];
            let mut bytes = Vec::new();
            for _ in 0..len {
                for _ in 0..numbers.below(5) * numbers.below(5) {
                    if matches!(data_type, Utf8 | LargeUtf8) {
                        let text = ["a", "ß", "日", "🐍", "\0"][numbers.below(5)];
                        bytes.extend(text.bytes());
                    } else {
                        bytes.push(numbers.next().to_le_bytes()[2]);
                    }
                }
                ends.push(bytes.len());
            }
            let wide = matches!(data_type, LargeUtf8 | LargeBinary);
            builder.add_buffer(offsets(&ends, wide)).add_buffer(Buffer::from(&bytes[..]))
        }
        List(item) | LargeList(item) | Map(item, _) => {
            let mut ends = vec![0];
            for row in 0..len {
                ends.push(ends[row] + numbers.below(4));
            }
            let child = data(item, ends[len], nulls, numbers);
            builder.add_buffer(offsets(&ends, matches!(data_type, LargeList(_)))).add_child_data(child)
        }
        FixedSizeList(item, size) => builder.add_child_data(data(item, len * *size as usize, nulls, numbers)),
        Struct(fields) => builder.child_data(fields.iter().map(|f| data(f, len, nulls, numbers)).collect()),
        Decimal32(..) => builder.add_buffer(decimals(4, numbers)),
        Decimal64(..) => builder.add_buffer(decimals(8, numbers)),
        Decimal128(..) => builder.add_buffer(decimals(16, numbers)),
        Decimal256(..) => builder.add_buffer(decimals(32, numbers)),
        FixedSizeBinary(width) => builder.add_buffer(random(len * *width as usize, numbers)),
        other => builder.add_buffer(random(len * other.primitive_width().unwrap(), numbers)),
    };
    builder.build().unwrap()
}

fn offsets(ends: &[usize], wide: bool) -> Buffer {
    if wide {
        Buffer::from_iter(ends.iter().map(|end| *end as i64))
    } else {
        Buffer::from_iter(ends.iter().map(|end| *end as i32))
    }
}

/// All types without children, in plain layout.
pub(super) fn leaves() -> Vec<DataType> {
    use DataType::*;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let units = [Second, Millisecond, Microsecond, Nanosecond];
    let mut types = vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Utf8,
        LargeUtf8,
        Binary,
        LargeBinary,
        Date32,
        Date64,
    ];
    types.extend([FixedSizeBinary(3), FixedSizeBinary(16), FixedSizeBinary(0)]);
    types.extend([
        Decimal32(5, 2),
        Decimal64(12, 0),
        Decimal128(38, 10),
        Decimal128(4, -2),
        Decimal256(70, 5),
    ]);
    types.extend([Time32(Second), Time32(Millisecond), Time64(Microsecond), Time64(Nanosecond)]);
    types.extend(units.map(|unit| Timestamp(unit, None)));
    types.extend(units.map(|unit| Timestamp(unit, Some("+02:00".into()))));
    types.extend(units.map(Duration));
    types.extend([IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano].map(Interval));
    types
}

/// Layouts that the exchange turns into plain ones.
pub(super) fn encoded() -> Vec<DataType> {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    let mut types = vec![DataType::Utf8View, DataType::BinaryView];
    let values = [
        DataType::Utf8,
        DataType::LargeBinary,
        DataType::Int64,
        DataType::Decimal128(9, 2),
        DataType::Utf8View,
    ];
    for key in [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64] {
        types.extend(values.iter().map(|v| DataType::Dictionary(Box::new(key.clone()), Box::new(v.clone()))));
    }
    for ends in [Int16, Int32, Int64] {
        types.extend(values.iter().map(|v| runs(ends.clone(), v.clone())));
    }
    types
}

pub(super) fn runs(ends: DataType, values: DataType) -> DataType {
    let (ends, values) = (Field::new("run_ends", ends, false), Field::new("values", values, true));
    DataType::RunEndEncoded(Arc::new(ends), Arc::new(values))
}

pub(super) fn item(data_type: DataType, nullable: bool) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type, nullable))
}

pub(super) fn map(key: DataType, value: Field) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), value]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// Every way of nesting `field`.
pub(super) fn nestings(field: &Field) -> Vec<DataType> {
    let inner = || Arc::new(field.clone().with_name("item"));
    vec![
        DataType::List(inner()),
        DataType::LargeList(inner()),
        DataType::ListView(inner()),
        DataType::LargeListView(inner()),
        DataType::FixedSizeList(inner(), 3),
        DataType::FixedSizeList(inner(), 0),
        DataType::Struct(Fields::from(vec![field.clone(), Field::new("other", DataType::Boolean, true)])),
        map(DataType::Utf8, field.clone().with_name("value")),
    ]
}

/// Any supported type, nested up to three levels.
pub(super) fn any_field() -> impl Strategy<Value = Field> {
    // Nested columns may have more values than a key of 8 bits can tell apart.
    let small = |key: &DataType| matches!(key, DataType::Int8 | DataType::UInt8);
    let roomy = |t: &DataType| !matches!(t, DataType::Dictionary(key, _) if small(key));
    let encoded = encoded().into_iter().filter(roomy).collect::<Vec<_>>();
    let leaf = prop_oneof![4 => prop::sample::select(leaves()), 1 => prop::sample::select(encoded)];
    let leaf = (leaf, any::<bool>()).prop_map(|(data_type, nullable)| {
        // A column of the null type has nothing but nulls.
        let nullable = nullable || data_type == DataType::Null;
        Field::new("f", data_type, nullable)
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let single = (inner.clone(), 0..8usize, any::<bool>())
            .prop_map(|(field, way, nullable)| Field::new("n", nestings(&field).swap_remove(way), nullable));
        let many = (prop::collection::vec(inner, 0..4), any::<bool>()).prop_map(|(fields, nullable)| {
            let fields = fields.into_iter().enumerate();
            let fields = fields.map(|(index, field)| field.with_name(format!("f{index}"))).collect();
            Field::new("s", DataType::Struct(fields), nullable)
        });
        prop_oneof![single, many]
    })
}
