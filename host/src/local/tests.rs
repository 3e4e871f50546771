//! Files in and out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};

use super::*;

const FORMATS: [&str; 6] = ["parquet", "csv", "tsv", "ndjson", "arrow", "arrows"];

fn rows(count: i64) -> RecordBatch {
    let columns: Vec<(&str, Arc<dyn Array>, bool)> = vec![
        ("z", Arc::new(Int64Array::from_iter_values(0..count)), true),
        (
            "half",
            Arc::new(Float64Array::from_iter((0..count).map(|i| (i % 3 != 0).then_some(i as f64 / 2.0)))),
            true,
        ),
        (
            "a text",
            Arc::new(StringArray::from_iter_values((0..count).map(|i| format!("row, \"{i}\"")))),
            true,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn open(path: &Path, batch_rows: usize) -> Result<Input, InputError> {
    Input::open(path, Format::of(path).unwrap(), batch_rows, DEFAULT_INFER_ROWS)
}

fn write(path: &Path, batch: &RecordBatch) {
    let mut output = Output::create(path, Format::of(path).unwrap(), &batch.schema()).unwrap();
    output.write(&batch.slice(0, 3)).unwrap();
    output.write(&batch.slice(3, batch.num_rows() - 3)).unwrap();
    output.finish().unwrap();
}

fn refused(path: &Path) -> String {
    let error = open(path, 10).and_then(|input| input.collect::<Result<Vec<_>, _>>()).unwrap_err();
    error.to_string()
}

fn file(directory: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn every_format_gives_back_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let expected = rows(1000);
    for extension in FORMATS {
        let path = directory.path().join(format!("rows.{extension}"));
        write(&path, &expected);
        let input = open(&path, 100).unwrap();
        assert_eq!(input.total_rows(), (extension == "parquet").then_some(1000));
        let (total, read) = input.bytes();
        let schema = Arc::clone(input.schema());
        let batches: Vec<RecordBatch> = input.map(Result::unwrap).collect();
        assert!(batches.len() >= 2, "{extension}");
        assert_eq!(concat_batches(&schema, &batches).unwrap(), expected, "{extension}");
        if extension != "parquet" {
            let read = read.load(std::sync::atomic::Ordering::Relaxed);
            assert!(read > total / 2, "{extension}: {read} of {total}");
        }
    }
}

#[test]
fn arrow_files_and_streams_are_told_apart_by_content() {
    let directory = tempfile::tempdir().unwrap();
    let stream = directory.path().join("rows.arrows");
    write(&stream, &rows(10));
    let renamed = directory.path().join("rows.feather");
    fs::rename(&stream, &renamed).unwrap();
    assert_eq!(open(&renamed, 10).unwrap().map(|b| b.unwrap().num_rows()).sum::<usize>(), 10);
}

#[test]
fn an_unfinished_output_leaves_the_old_file_alone() {
    let directory = tempfile::tempdir().unwrap();
    for extension in FORMATS {
        let path = file(&directory, &format!("out.{extension}"), "old");
        let mut output = Output::create(&path, Format::of(&path).unwrap(), &rows(5).schema()).unwrap();
        output.write(&rows(5)).unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), FORMATS.len());
}

#[test]
fn nested_columns_do_not_go_into_csv() {
    let directory = tempfile::tempdir().unwrap();
    let item = Field::new_list_field(DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![Field::new("many", DataType::List(item.into()), true)]));
    let error = Output::create(&directory.path().join("x.csv"), Format::Csv, &schema).unwrap_err();
    assert!(error.to_string().starts_with("column `many` of type List(Int64) cannot be written as CSV"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn json_lines_keep_the_order_of_the_first_line() {
    let directory = tempfile::tempdir().unwrap();
    let path =
        file(&directory, "x.json", "\n {\"z\": 1, \"b\": {\"k\": [1]}}\n{\"z\": 2, \"y\": 1, \"c\": 1}\n");
    let input = open(&path, 10).unwrap();
    let names: Vec<String> = input.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["z", "b", "c", "y"]);
    assert_eq!(input.map(|b| b.unwrap().num_rows()).sum::<usize>(), 2);
}

#[test]
fn what_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let array = refused(&file(&directory, "array.json", " [{\"a\": 1}]"));
    assert!(array.contains("is one JSON array"), "{array}");
    for name in ["empty.csv", "empty.ndjson"] {
        let empty = refused(&file(&directory, name, ""));
        assert!(empty.ends_with("is empty: there are no columns"), "{empty}");
    }
    for name in ["x.parquet", "x.arrow", "x.arrows"] {
        let damaged = refused(&file(&directory, name, "ARROW1 but nothing else"));
        assert!(damaged.contains("cannot be read as"), "{damaged}");
    }
    assert!(refused(&directory.path().join("missing.csv")).starts_with("cannot read "));
}

#[test]
fn a_value_that_does_not_fit_the_guessed_type_names_its_row() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = "n\n".to_owned() + &"1\n".repeat(DEFAULT_INFER_ROWS + 5);
    text.push_str("word\n");
    let error = refused(&file(&directory, "late.csv", text));
    assert!(error.contains("rows after row 10000 of") && error.contains("--infer-rows"), "{error}");
}
