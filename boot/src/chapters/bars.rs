//! Pictures of what a command printed: a bar a row.

use std::fmt::Write as _;

const WIDTH: u32 = 760;
const ROW: u32 = 26;
const LABELS: u32 = 210;
const NUMBERS: u32 = 110;
const HEAD: u32 = 34;

/// Draws a column, counted from 1, of each of `lines` that has a number there. The first column has the names. Columns are
/// separated by two spaces or more, or by one where a line has no two.
pub(super) fn draw(lines: &[&str], column: usize, title: &str) -> Option<String> {
    let rows: Vec<(String, f64)> = lines.iter().filter_map(|line| row(line, column)).collect();
    let most = rows.iter().map(|(_, number)| *number).fold(0.0, f64::max);
    if rows.len() < 2 || most <= 0.0 {
        return None;
    }
    let height = HEAD + ROW * u32::try_from(rows.len()).ok()? + 8;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"8\" y=\"22\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for (y, (name, number)) in (HEAD..).step_by(ROW as usize).zip(rows) {
        let (length, base) = (f64::from(WIDTH - LABELS - NUMBERS) * number / most, y + 17);
        let _ = writeln!(
            picture,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text><rect x=\"{LABELS}\" y=\"{}\" width=\"{length:.1}\" \
             height=\"{}\" fill=\"#3b5b92\"/><text x=\"{:.1}\" y=\"{base}\">{number}</text>",
            LABELS - 8,
            escaped(&name),
            y + 3,
            ROW - 8,
            f64::from(LABELS) + length + 6.0,
        );
    }
    Some(picture + "</svg>\n")
}

fn row(line: &str, column: usize) -> Option<(String, f64)> {
    let mut cells: Vec<&str> = line.trim().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    if cells.len() < 2 {
        cells = line.split_whitespace().collect();
    }
    let number = cells
        .get(column.checked_sub(1)?)?
        .split_whitespace()
        .next()?
        .trim_end_matches(|last: char| !last.is_ascii_digit());
    Some(((*cells.first()?).to_owned(), number.parse().ok()?))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn each_row_with_a_number_has_its_bar() {
        let picture = draw(&["  phase        pages", "  in order     200", "  at random    50"], 2, "pages").unwrap();
        assert_eq!(picture.matches("<rect").count(), 3, "{picture}");
        assert!(picture.contains("in order") && picture.contains("at random"));
        assert_eq!(draw(&["pswpin 1", "pswpout 2"], 2, "").unwrap().matches("<rect").count(), 3);
        assert_eq!(draw(&["nothing here"], 2, ""), None);
    }
}
