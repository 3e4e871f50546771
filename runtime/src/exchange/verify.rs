//! Checks of values against the declared field that arrow's validation does not make, or does not
//! report with path and row: nulls where none may be, decimals of too many digits.

use arrow::array::ArrayData;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Field,
};

use super::types::{children, is_nullable, list_bounds, nulls, value_type};

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Null in a field that is not nullable.
    Null,
    /// More digits than declared.
    Precision(u8),
}

/// The first value that is wrong.
#[derive(Debug)]
pub(super) struct Finding {
    /// Names of the fields from the innermost outwards, without the outermost.
    inner: Vec<String>,
    /// Row of the outermost array.
    pub(super) row: usize,
    pub(super) problem: Problem,
}

impl Finding {
    /// Dotted path that begins with `root`.
    pub(super) fn path(&self, root: &str) -> String {
        let mut path = root.to_owned();
        for name in self.inner.iter().rev() {
            path.push('.');
            path.push_str(name);
        }
        path
    }
}

/// Checks that `data`, in the guest's layout of `field`, has nulls only where `field` allows them
/// and, if `decimals`, no decimal of too many digits.
///
/// A null inside of a null struct or a null list of fixed size is no null of the inner field, since
/// these occupy space for elements that are not there. Lists have no such space: every element they
/// refer to counts.
pub(super) fn verify(field: &Field, data: &ArrayData, decimals: bool) -> Result<(), Finding> {
    check(field, data, 0, data.len(), None, decimals)
}

/// Says which elements are not there, because an enclosing struct or list of fixed size is null.
#[derive(Clone, Copy)]
struct Enclosing<'a> {
    nulls: Option<&'a NullBuffer>,
    /// Elements per row of `nulls`.
    block: usize,
    outer: Option<&'a Enclosing<'a>>,
}

impl Enclosing<'_> {
    fn hides(&self, index: usize) -> bool {
        let row = index / self.block;
        self.nulls.is_some_and(|nulls| nulls.is_null(row)) || self.outer.is_some_and(|outer| outer.hides(row))
    }
}

/// Checks `len` elements from `start` on. The row of a finding is relative to `start`.
fn check(
    field: &Field,
    data: &ArrayData,
    start: usize,
    len: usize,
    enclosing: Option<&Enclosing<'_>>,
    decimals: bool,
) -> Result<(), Finding> {
    let nulls = nulls(data, start, len);
    let nulls = nulls.as_ref();
    let finding = |row, problem| Err(Finding { inner: Vec::new(), row, problem });

    let all_null = data.data_type() == &DataType::Null;
    if !is_nullable(field) && (all_null || nulls.is_some()) {
        let is_null = |row: &usize| {
            (all_null || nulls.is_some_and(|nulls| nulls.is_null(*row)))
                && !enclosing.is_some_and(|enclosing| enclosing.hides(*row))
        };
        if let Some(row) = (0..len).find(is_null) {
            return finding(row, Problem::Null);
        }
    }

    let declared = value_type(field.data_type());
    let digits = match declared {
        _ if !decimals => None,
        DataType::Decimal32(p, _) => too_long::<Decimal32Type>(data, start, len, *p).zip(Some(*p)),
        DataType::Decimal64(p, _) => too_long::<Decimal64Type>(data, start, len, *p).zip(Some(*p)),
        DataType::Decimal128(p, _) => too_long::<Decimal128Type>(data, start, len, *p).zip(Some(*p)),
        DataType::Decimal256(p, _) => too_long::<Decimal256Type>(data, start, len, *p).zip(Some(*p)),
        _ => None,
    };
    if let Some((row, precision)) = digits {
        return finding(row, Problem::Precision(precision));
    }

    for (child_field, child) in children(declared).iter().zip(data.child_data()) {
        // The window of the child's elements, and the row that owns one of them.
        let (first, count, block) = match data.data_type() {
            DataType::Struct(_) => (data.offset() + start, len, Some(1)),
            DataType::FixedSizeList(_, size) => {
                let size = usize::try_from(*size).unwrap_or(0);
                ((data.offset() + start) * size, len * size, Some(size.max(1)))
            }
            _ => {
                let (first, end) = list_bounds(data, start, len);
                (first, end - first, None)
            }
        };
        let scope = block.map(|block| Enclosing { nulls, block, outer: enclosing });
        check(child_field, child, first, count, scope.as_ref(), decimals).map_err(|mut found| {
            found.inner.push(child_field.name().clone());
            found.row = match block {
                Some(block) => found.row / block,
                None => owner(data, start, len, first + found.row),
            };
            found
        })?;
    }
    Ok(())
}

/// The list, counted from `start`, that the child's element belongs to.
fn owner(data: &ArrayData, start: usize, len: usize, element: usize) -> usize {
    let next = match data.data_type() {
        DataType::LargeList(_) => {
            data.buffer::<i64>(0)[start..=start + len].partition_point(|o| *o as usize <= element)
        }
        _ => data.buffer::<i32>(0)[start..=start + len].partition_point(|o| *o as usize <= element),
    };
    next.saturating_sub(1)
}

/// The first valid element with more than `precision` digits.
fn too_long<T: DecimalType>(data: &ArrayData, start: usize, len: usize, precision: u8) -> Option<usize> {
    let values = &data.buffer::<T::Native>(0)[start..start + len];
    let mut rows = values.iter().enumerate();
    rows.find(|(row, value)| !T::is_valid_decimal_precision(**value, precision) && data.is_valid(start + row))
        .map(|(row, _)| row)
}
