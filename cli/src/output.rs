//! How results are shown: a quiet table for people, JSON for programs.
//!
//! No lines, no colour, no padding at the ends: what a person reads is also what `grep` and `awk` can take.

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use serde::Serialize;
use std::io::{self, Write};

/// What `-o` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// A table of texts under headers. A header that begins with `>` makes its column flush right.
#[must_use]
pub fn table<H: AsRef<str>>(headers: &[H], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new())
        .force_no_tty()
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(
            headers
                .iter()
                .map(|header| header.as_ref().trim_start_matches('>').to_uppercase()),
        );
    for row in rows {
        table.add_row(row);
    }
    for (at, header) in headers.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if header.as_ref().starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let lines = table.lines();
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Prints text. Who reads only the beginning (`| head`) is no error.
pub fn print(text: &str) {
    // A reader that went away has what it wanted; there is nobody left to tell.
    let _gone = io::stdout().write_all(text.as_bytes());
}

/// Prints a value as JSON, indented.
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<(), crate::error::Error> {
    let text = serde_json::to_string_pretty(value).map_err(crate::error::Error::Json)?;
    print(&(text + "\n"));
    Ok(())
}

/// A value as JSON, or as the table that `text` makes of it.
pub fn show<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), crate::error::Error> {
    match format {
        Format::Json => print_json(value),
        Format::Table => {
            print(&text(value));
            Ok(())
        }
    }
}

/// Milliseconds as people say them.
#[must_use]
pub fn age(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{}.{}s", seconds, millis % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A big number with a unit: `12.3 M`.
#[must_use]
pub fn scaled(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.1} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_escape_or_trailing_space() {
        let rows = [
            vec!["nrd1".to_owned(), "203.0.113.10".into(), "7".into()],
            vec!["site-a".into(), "-".into(), "1234".into()],
        ];
        assert_eq!(
            table(&["node", "address", ">packets"], &rows),
            "NODE    ADDRESS       PACKETS\n\
             nrd1    203.0.113.10        7\n\
             site-a  -                1234\n"
        );
    }

    #[test]
    fn times_and_sizes_read_well() {
        let times = [7, 1_234, 61_000, 3_660_000, 90_000_000].map(age);
        assert_eq!(times, ["7ms", "1.2s", "1m01s", "1h01m", "1d01h"]);
        assert_eq!(
            [12.0, 12_345.0, 1.5e6, 2e9].map(scaled),
            ["12", "12.3 k", "1.50 M", "2.00 G"]
        );
    }
}
