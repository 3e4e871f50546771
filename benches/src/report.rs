//! What a benchmark found, as the file that `benches/report/render.py` makes a page and a plot of.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// Everything that one benchmark found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The benchmark: name of the results' files, and of the command that made them.
    pub name: &'static str,
    /// Headline.
    pub title: &'static str,
    /// What was measured and how, a paragraph each.
    pub method: Vec<String>,
    /// The figures.
    pub tables: Vec<Table>,
    /// The plots, one below the other in one picture.
    pub charts: Vec<Chart>,
}

/// A table of the page.
#[derive(Debug, Serialize)]
pub struct Table {
    /// What stands above the table.
    pub title: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

/// One plot.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Chart {
    /// Lines over two logarithmic axes.
    Lines {
        /// What stands above the plot.
        title: String,
        /// What the horizontal axis counts.
        x: String,
        /// What the vertical axis counts.
        y: String,
        /// Lines by name: points from left to right, all above 0.
        series: Vec<(String, Vec<(f64, f64)>)>,
    },
    /// Horizontal bars on a logarithmic axis.
    Bars {
        /// What stands above the plot.
        title: String,
        /// Names of the bars of one group.
        names: Vec<String>,
        /// Groups by label: a value above 0 for each name.
        groups: Vec<(String, Vec<f64>)>,
    },
}

impl Report {
    /// A report without figures.
    pub fn new(name: &'static str, title: &'static str) -> Self {
        Self { name, title, method: Vec::new(), tables: Vec::new(), charts: Vec::new() }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string(self)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row, and shows it at once.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        println!("{}", cells.join(" | "));
        self.rows.push(cells.into());
    }
}
