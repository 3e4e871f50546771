//! Cuts the batches of a file into pieces that one call takes.

use arrow::array::{Array, RecordBatch};

/// Some rows of the file, as many as one call takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// Rows of the file before this piece.
    pub(super) first_row: u64,
    /// The rows, with all columns of the file.
    pub(super) rows: RecordBatch,
}

/// How large pieces are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Columns that are passed to the function.
    pub(super) columns: Vec<usize>,
    /// Bytes of these columns in one piece, by estimate. A single row may have more.
    pub(super) max_bytes: u64,
    /// Most rows of one piece.
    pub(super) piece_rows: usize,
    /// Rows after which to stop.
    pub(super) max_rows: Option<u64>,
}

impl Cut {
    fn rows_of(&self, batch: &RecordBatch) -> usize {
        let bytes: usize = self
            .columns
            .iter()
            .filter_map(|index| batch.columns().get(*index))
            .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
            .sum();
        let pieces = usize::try_from((bytes as u64).div_ceil(self.max_bytes.max(1))).unwrap_or(usize::MAX);
        batch.num_rows().div_ceil(pieces.max(1)).clamp(1, self.piece_rows.max(1))
    }
}

/// The pieces of a stream of batches. Empty batches are left out.
pub(super) struct Pieces<I> {
    batches: I,
    cut: Cut,
    first_row: u64,
    rest: Option<RecordBatch>,
    /// Rows of each piece of `rest`.
    rows: usize,
}

impl<I> Pieces<I> {
    pub(super) fn new(batches: I, cut: Cut) -> Self {
        Self { batches, cut, first_row: 0, rest: None, rows: 1 }
    }
}

impl<I: Iterator<Item = Result<RecordBatch, E>>, E> Iterator for Pieces<I> {
    type Item = Result<Piece, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.cut.max_rows.map_or(u64::MAX, |max| max.saturating_sub(self.first_row));
        if left == 0 {
            return None;
        }
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => loop {
                match self.batches.next()? {
                    Ok(batch) if batch.num_rows() == 0 => {}
                    Ok(batch) => {
                        self.rows = self.cut.rows_of(&batch);
                        break batch;
                    }
                    Err(error) => return Some(Err(error)),
                }
            },
        };
        let rows = batch.num_rows().min(self.rows).min(usize::try_from(left).unwrap_or(usize::MAX));
        if rows < batch.num_rows() {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        let piece = Piece { first_row: self.first_row, rows: batch.slice(0, rows) };
        self.first_row += rows as u64;
        Some(Ok(piece))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn batch(rows: usize) -> Result<RecordBatch, String> {
        let numbers = Arc::new(Int64Array::from_iter_values(0..rows as i64)) as Arc<dyn Array>;
        let long = Arc::new(StringArray::from_iter_values((0..rows).map(|_| "x".repeat(1000))));
        RecordBatch::try_from_iter([("n", numbers), ("s", long as _)]).map_err(|error| error.to_string())
    }

    fn sizes(batches: Vec<Result<RecordBatch, String>>, cut: Cut) -> Vec<Result<(u64, usize), String>> {
        let pieces = Pieces::new(batches.into_iter(), cut);
        pieces.map(|piece| piece.map(|piece| (piece.first_row, piece.rows.num_rows()))).collect()
    }

    const CUT: Cut = Cut { columns: vec![], max_bytes: 1 << 20, piece_rows: 100, max_rows: None };

    #[test]
    fn rows_are_counted_through_all_batches() {
        let batches = vec![batch(0), batch(150), batch(0), batch(30)];
        assert_eq!(sizes(batches, CUT), [Ok((0, 100)), Ok((100, 50)), Ok((150, 30))]);
    }

    #[test]
    fn the_last_row_can_lie_inside_a_batch() {
        let cut = |max| Cut { max_rows: Some(max), ..CUT };
        assert_eq!(sizes(vec![batch(150), batch(9)], cut(120)), [Ok((0, 100)), Ok((100, 20))]);
        assert_eq!(sizes(vec![batch(100), Err("unread".to_owned())], cut(100)), [Ok((0, 100))]);
        assert_eq!(sizes(vec![batch(5)], cut(0)), []);
    }

    #[test]
    fn wide_rows_make_small_pieces_only_where_they_are_passed() {
        let wide = |columns| Cut { columns, max_bytes: 10_000, ..CUT };
        assert!(sizes(vec![batch(100)], wide(vec![0])).len() == 1);
        let pieces = sizes(vec![batch(100)], wide(vec![1]));
        assert!(pieces.len() >= 10, "{pieces:?}");
        assert_eq!(sizes(vec![batch(3)], Cut { max_bytes: 1, columns: vec![1], ..CUT }).len(), 3);
    }

    #[test]
    fn an_error_ends_up_where_it_happened() {
        let batches = vec![batch(10), Err("damaged".to_owned())];
        assert_eq!(sizes(batches, CUT), [Ok((0, 10)), Err("damaged".to_owned())]);
    }
}
