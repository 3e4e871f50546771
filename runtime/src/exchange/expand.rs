//! Dictionaries, runs and list views turned into the plain layouts that the guest reads.
//!
//! A small batch can describe a huge one (a million keys of one long string), so the expanded size
//! is counted, and refused, before anything is built.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayDataBuilder, ArrayRef, AsArray, BinaryViewArray, MutableArrayData, UInt32Array,
    make_array,
};
use arrow::buffer::Buffer;
use arrow::compute::take;
use arrow::datatypes::{ArrowNativeType, DataType, Field};
use arrow::error::ArrowError;

use super::types::{children, fixed_width, list_bounds, nulls};

/// Bytes that expansions may take, counted over a whole batch.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    spent: u64,
}

/// The budget is exhausted; holds what had been asked for by then.
#[derive(Debug)]
pub(super) struct Exhausted(pub(super) u64);

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, spent: 0 }
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Exhausted> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.limit { Err(Exhausted(self.spent)) } else { Ok(()) }
    }
}

/// Whether arrays of this type have to be expanded.
pub(super) fn is_needed(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => true,
        other => children(other).iter().any(|child| is_needed(child.data_type())),
    }
}

/// Counts the bytes that the elements from `start` on take once expanded: at least one each, so
/// that the number of steps, too, is bounded by the budget.
pub(super) fn charge(
    data: &ArrayData,
    start: usize,
    len: usize,
    budget: &mut Budget,
) -> Result<(), Exhausted> {
    match data.data_type() {
        DataType::Dictionary(_, value) => {
            if let Some(width) = fixed_width(value) {
                return budget.spend((len as u64).saturating_mul(width.max(1) as u64));
            }
            budget.spend(len as u64)?;
            let array = slice(data, start, len);
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                return Ok(());
            }
            let values = dictionary.values().to_data();
            for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
                if dictionary.keys().is_valid(row) {
                    budget.spend(leaf_bytes(&values, key, 1))?;
                }
            }
            Ok(())
        }
        DataType::RunEndEncoded(..) => {
            let values = &data.child_data()[1];
            for (value, count) in runs(data, start, len) {
                budget.spend(leaf_bytes(values, value, 1).max(1).saturating_mul(count as u64))?;
            }
            Ok(())
        }
        DataType::ListView(_) | DataType::LargeListView(_) => {
            for (first, size) in views(data, start, len) {
                budget.spend(1)?;
                charge(&data.child_data()[0], first, size, budget)?;
            }
            Ok(())
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) => {
            budget.spend(len as u64)?;
            let (first, end) = list_bounds(data, start, len);
            charge(&data.child_data()[0], first, end - first, budget)
        }
        DataType::FixedSizeList(_, size) => {
            budget.spend(len as u64)?;
            let size = size.as_usize();
            charge(&data.child_data()[0], (data.offset() + start) * size, len.saturating_mul(size), budget)
        }
        DataType::Struct(_) => {
            budget.spend(len as u64)?;
            for child in data.child_data() {
                charge(child, data.offset() + start, len, budget)?;
            }
            Ok(())
        }
        _ => budget.spend(leaf_bytes(data, start, len).max(len as u64)),
    }
}

/// Bytes of data behind elements that have no children.
fn leaf_bytes(data: &ArrayData, start: usize, len: usize) -> u64 {
    let span = |first: usize, end: usize| (end - first) as u64;
    match data.data_type() {
        _ if len == 0 => 0,
        DataType::Utf8 | DataType::Binary => {
            let offsets = data.buffer::<i32>(0);
            span(offsets[start].as_usize(), offsets[start + len].as_usize())
        }
        DataType::LargeUtf8 | DataType::LargeBinary => {
            let offsets = data.buffer::<i64>(0);
            span(offsets[start].as_usize(), offsets[start + len].as_usize())
        }
        DataType::Utf8View | DataType::BinaryView => view_bytes(&view_array(data, start, len)),
        other => (len as u64).saturating_mul(fixed_width(other).unwrap_or(0) as u64),
    }
}

/// The elements from `start` on.
fn slice(data: &ArrayData, start: usize, len: usize) -> ArrayRef {
    // Not `ArrayData::slice`, which for structs moves the offset both of the struct and of its
    // children.
    make_array(data.clone()).slice(start, len)
}

/// The elements from `start` on of an array of text or binary views, as bytes.
pub(super) fn view_array(data: &ArrayData, start: usize, len: usize) -> BinaryViewArray {
    let array = slice(data, start, len);
    match array.as_string_view_opt() {
        Some(text) => text.clone().to_binary_view(),
        None => array.as_binary_view().clone(),
    }
}

/// Sum of the lengths of all valid elements.
pub(super) fn view_bytes(views: &BinaryViewArray) -> u64 {
    match views.nulls() {
        None => views.lengths().map(u64::from).sum(),
        Some(nulls) => {
            views.lengths().zip(nulls).map(|(n, valid)| if valid { u64::from(n) } else { 0 }).sum()
        }
    }
}

/// Positions in the values and lengths of the runs that cover `len` elements from `start` on.
fn runs(data: &ArrayData, start: usize, len: usize) -> Vec<(usize, usize)> {
    fn cover<T: ArrowNativeType>(ends: &[T], begin: usize, len: usize) -> Vec<(usize, usize)> {
        let mut covered = begin;
        let first = ends.partition_point(|end| end.as_usize() <= begin);
        let mut runs = Vec::new();
        for (value, end) in ends.iter().enumerate().skip(first) {
            if covered >= begin + len {
                break;
            }
            let end = end.as_usize().min(begin + len);
            runs.push((value, end - covered));
            covered = end;
        }
        runs
    }
    let (ends, begin) = (&data.child_data()[0], data.offset() + start);
    match ends.data_type() {
        DataType::Int16 => cover(&ends.buffer::<i16>(0)[..ends.len()], begin, len),
        DataType::Int32 => cover(&ends.buffer::<i32>(0)[..ends.len()], begin, len),
        _ => cover(&ends.buffer::<i64>(0)[..ends.len()], begin, len),
    }
}

/// First element and number of elements of each list view; null views are empty.
fn views(data: &ArrayData, start: usize, len: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let wide = matches!(data.data_type(), DataType::LargeListView(_));
    (start..start + len).map(move |row| {
        if data.is_null(row) {
            (0, 0)
        } else if wide {
            (data.buffer::<i64>(0)[row].as_usize(), data.buffer::<i64>(1)[row].as_usize())
        } else {
            (data.buffer::<i32>(0)[row].as_usize(), data.buffer::<i32>(1)[row].as_usize())
        }
    })
}

/// The elements from `start` on in plain layout, after [`charge`] allowed it. Nested fields come
/// out nullable and maps as lists (see `types::relaxed`); views of text and binary stay.
pub(super) fn expand(data: &ArrayData, start: usize, len: usize) -> Result<ArrayData, ArrowError> {
    if !is_needed(data.data_type()) {
        return Ok(slice(data, start, len).to_data());
    }
    let nulls = nulls(data, start, len);
    let list = |child: ArrayData, field: &Field, offsets: Buffer, wide: bool| {
        let item = Arc::new(Field::new(field.name(), child.data_type().clone(), true));
        let data_type = if wide { DataType::LargeList(item) } else { DataType::List(item) };
        let builder = ArrayDataBuilder::new(data_type).len(len).nulls(nulls.clone());
        builder.add_buffer(offsets).add_child_data(child).build()
    };
    match data.data_type() {
        DataType::Dictionary(..) => {
            let array = slice(data, start, len);
            let dictionary = array.as_any_dictionary();
            Ok(take(dictionary.values(), dictionary.keys(), None)?.to_data())
        }
        DataType::RunEndEncoded(..) => {
            let mut indices = Vec::with_capacity(len);
            for (value, count) in runs(data, start, len) {
                let value = u32::try_from(value).map_err(|e| ArrowError::ComputeError(e.to_string()))?;
                indices.resize(indices.len() + count, value);
            }
            Ok(take(&make_array(data.child_data()[1].clone()), &UInt32Array::from(indices), None)?.to_data())
        }
        DataType::ListView(field) => {
            let (child, offsets) = gather(data, start, len)?;
            let narrow = offsets
                .into_iter()
                .map(|end| i32::try_from(end).map_err(|e| ArrowError::ComputeError(e.to_string())))
                .collect::<Result<Vec<_>, _>>()?;
            list(child, field, Buffer::from_vec(narrow), false)
        }
        DataType::LargeListView(field) => {
            let (child, offsets) = gather(data, start, len)?;
            list(child, field, Buffer::from_vec(offsets), true)
        }
        DataType::List(field) | DataType::Map(field, _) => {
            let (first, end) = list_bounds(data, start, len);
            let child = expand(&data.child_data()[0], first, end - first)?;
            let offsets = match len {
                0 => vec![0],
                _ => data.buffer::<i32>(0)[start..=start + len].iter().map(|o| o - first as i32).collect(),
            };
            list(child, field, Buffer::from_vec(offsets), false)
        }
        DataType::LargeList(field) => {
            let (first, end) = list_bounds(data, start, len);
            let child = expand(&data.child_data()[0], first, end - first)?;
            let offsets = match len {
                0 => vec![0],
                _ => data.buffer::<i64>(0)[start..=start + len].iter().map(|o| o - first as i64).collect(),
            };
            list(child, field, Buffer::from_vec(offsets), true)
        }
        DataType::FixedSizeList(field, size) => {
            let width = size.as_usize();
            let child = expand(&data.child_data()[0], (data.offset() + start) * width, len * width)?;
            let item = Arc::new(Field::new(field.name(), child.data_type().clone(), true));
            let builder = ArrayDataBuilder::new(DataType::FixedSizeList(item, *size)).len(len).nulls(nulls);
            builder.add_child_data(child).build()
        }
        DataType::Struct(fields) => {
            let children = data
                .child_data()
                .iter()
                .map(|child| expand(child, data.offset() + start, len))
                .collect::<Result<Vec<_>, _>>()?;
            let fields = fields
                .iter()
                .zip(&children)
                .map(|(field, child)| Field::new(field.name(), child.data_type().clone(), true))
                .collect();
            let builder = ArrayDataBuilder::new(DataType::Struct(fields)).len(len).nulls(nulls);
            builder.child_data(children).build()
        }
        _ => Ok(slice(data, start, len).to_data()),
    }
}

/// The elements behind list views in the order of the views, and the offsets of the lists.
fn gather(data: &ArrayData, start: usize, len: usize) -> Result<(ArrayData, Vec<i64>), ArrowError> {
    let filled = || views(data, start, len).filter(|(_, size)| *size > 0);
    let first = filled().map(|(first, _)| first).min().unwrap_or(0);
    let end = filled().map(|(first, size)| first + size).max().unwrap_or(0);
    let elements = expand(&data.child_data()[0], first, end - first)?;

    // With null bits in any case: a bitmap without nulls, as slices have them, would not be expected.
    let mut child = MutableArrayData::new(vec![&elements], true, 0);
    let mut offsets = Vec::with_capacity(len + 1);
    offsets.push(0);
    for (from, size) in views(data, start, len) {
        if size > 0 {
            child.try_extend(0, from - first, from - first + size)?;
        }
        offsets.push(child.len() as i64);
    }
    Ok((child.freeze(), offsets))
}
