//! Reads CSV row by row as spreadsheets write it (RFC 4180): any delimiter, any line end, blanks around values.
//!
//! The csv crate is not used for reading: it silently accepts misplaced quotes.

use std::borrow::Cow;

/// A text of rows that is read from its beginning.
#[derive(Debug, Clone)]
pub struct CsvText<'t> {
    rest: &'t str,
    delimiter: char,
    /// The number of the next line, from 1.
    line: usize,
    /// The number of the first line of the last row, and the text of that row.
    last: (usize, &'t str),
}

/// A row that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub enum CsvRow<'t> {
    Cells(Vec<Cow<'t, str>>),
    /// A quote is inside a value, or after a quoted value.
    Misquoted,
    /// The quote that opens in this line is not closed.
    Unclosed(usize),
}

impl<'t> CsvText<'t> {
    pub fn new(text: &'t str, delimiter: char, line: usize) -> Self {
        Self { rest: text, delimiter, line, last: (line, "") }
    }

    /// The number of the line in which the last row begins.
    pub fn row_line(&self) -> usize {
        self.last.0
    }

    /// The text of the last row, without its line end.
    pub fn row_text(&self) -> &'t str {
        self.last.1.trim_end_matches(['\r', '\n'])
    }

    /// Reads the next cell, and whether it is the last of its row. Returns an error row if quotes are wrong.
    fn cell(&mut self) -> Result<(Cow<'t, str>, bool), CsvRow<'t>> {
        let delimiter = self.delimiter;
        let blank = |c: char| is_blank(c) && c != delimiter && !matches!(c, '\r' | '\n');
        let start = self.rest.trim_start_matches(blank);
        let Some(quoted) = start.strip_prefix('"') else {
            let end = self.rest.find([delimiter, '\r', '\n']).unwrap_or(self.rest.len());
            let (cell, rest) = self.rest.split_at(end);
            self.rest = rest;
            if cell.contains('"') {
                return Err(CsvRow::Misquoted);
            }
            return Ok((cell.trim_matches(is_blank).into(), self.ends_row()));
        };
        let opened = self.line;
        let (mut text, mut rest) = (String::new(), quoted);
        loop {
            let Some(end) = rest.find('"') else { return Err(CsvRow::Unclosed(opened)) };
            text.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(doubled) => {
                    text.push('"');
                    rest = doubled;
                }
                None => break,
            }
        }
        self.line += line_ends(&quoted[..quoted.len() - rest.len()]);
        self.rest = rest.trim_start_matches(blank);
        if !(self.rest.is_empty() || self.rest.starts_with([delimiter, '\r', '\n'])) {
            return Err(CsvRow::Misquoted);
        }
        Ok((text.into(), self.ends_row()))
    }

    /// Consumes the delimiter, or the end of the line. Returns whether the row ends.
    fn ends_row(&mut self) -> bool {
        if let Some(rest) = self.rest.strip_prefix(self.delimiter) {
            self.rest = rest;
            return false;
        }
        self.end_line();
        true
    }

    fn end_line(&mut self) {
        let rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix(['\r', '\n']));
        if let Some(rest) = rest {
            self.rest = rest;
            self.line += 1;
        }
    }

    fn row(&mut self) -> CsvRow<'t> {
        let mut cells = Vec::new();
        loop {
            match self.cell() {
                Ok((cell, is_last)) => {
                    cells.push(cell);
                    if is_last {
                        break;
                    }
                }
                Err(CsvRow::Misquoted) => {
                    // The rest of the line cannot be read.
                    self.rest = &self.rest[self.rest.find(['\r', '\n']).unwrap_or(self.rest.len())..];
                    self.end_line();
                    return CsvRow::Misquoted;
                }
                Err(row) => {
                    self.rest = "";
                    return row;
                }
            }
        }
        if cells.iter().all(|cell| cell.chars().all(is_blank)) {
            cells.clear();
        }
        CsvRow::Cells(cells)
    }
}

impl<'t> Iterator for CsvText<'t> {
    type Item = CsvRow<'t>;

    fn next(&mut self) -> Option<CsvRow<'t>> {
        while !self.rest.is_empty() {
            let (line, text) = (self.line, self.rest);
            let row = self.row();
            self.last = (line, &text[..text.len() - self.rest.len()]);
            match row {
                CsvRow::Cells(cells) if cells.is_empty() => {}
                row => return Some(row),
            }
        }
        None
    }
}

/// Characters around values that are ignored.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')
}

fn line_ends(text: &str) -> usize {
    text.matches('\n').count() + text.matches('\r').count() - text.matches("\r\n").count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<CsvRow<'_>> {
        CsvText::new(text, ';', 1).collect()
    }

    fn cells<const N: usize>(cells: [&str; N]) -> CsvRow<'static> {
        CsvRow::Cells(cells.map(|cell| Cow::Owned(cell.to_owned())).into())
    }

    #[test]
    fn blanks_around_cells_and_blank_rows_are_not_there() {
        let text = "a; b ;\u{a0}c\u{a0};;;\r\n;;;\n \r\n\"x;\"\"y\"\" \" ; \"z\"\r;d";
        assert_eq!(rows(text), [cells(["a", "b", "c", "", "", ""]), cells(["x;\"y\" ", "z"]), cells(["", "d"])]);
        assert!(rows("").is_empty() && rows("\n;\n").is_empty());
    }

    #[test]
    fn a_quote_is_at_the_ends_of_a_cell_or_doubled() {
        for text in ["\"Second \" Field\";b", "a;b\"c", "a;\"b\"c;d", "\"a\"\"b\" c"] {
            assert_eq!(rows(&format!("{text}\nx;y")), [CsvRow::Misquoted, cells(["x", "y"])], "{text}");
        }
        assert_eq!(rows("a\n\"b\nc\";d\n\"e"), [cells(["a"]), cells(["b\nc", "d"]), CsvRow::Unclosed(4)]);
    }

    proptest! {
        /// Reads back what the csv crate writes, except for blanks at the ends of cells that it leaves without quotes.
        #[test]
        fn what_another_program_writes_is_read(table in prop::collection::vec(prop::collection::vec("[a-c\";,\r\n]{1,4}", 1..4), 1..4)) {
            let mut writer = csv::WriterBuilder::new().delimiter(b';').flexible(true).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let mut expected = table.clone();
            expected.retain(|row| !row.iter().all(|cell| cell.chars().all(is_blank)));
            let expected: Vec<CsvRow<'_>> = expected.into_iter().map(|row| CsvRow::Cells(row.into_iter().map(Cow::Owned).collect())).collect();
            prop_assert_eq!(rows(&text), expected);
        }

        #[test]
        fn every_text_comes_to_an_end(text in "[ab;\"\r\n ]{0,20}") {
            for row in rows(&text) {
                prop_assert_ne!(row, CsvRow::Cells(Vec::new()));
            }
        }
    }
}
