//! Text in columns: rows go in, lines of equal columns come out.

/// A number with so many digits after the point; `-` when there is none.
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Columns as wide as their widest cell; those with words begin at the left, numbers end at the right.
pub fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let is_text = |column: usize| lines.iter().skip(1).any(|line| line[column].contains(char::is_alphabetic));
    let pad = |(column, cell): (usize, &String)| {
        let width = width(column);
        if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    };
    let text = |line: &Vec<String>| line.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ");
    lines.iter().map(|line| text(line).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a b".to_owned(), "1.50".to_owned()], vec!["c".to_owned(), "10.25".to_owned()]];
        assert_eq!(aligned(&["what", "s"], rows), "what      s\na b    1.50\nc     10.25");
    }

    #[test]
    fn what_is_not_there_is_a_dash() {
        assert_eq!((number(Some(1.25), 1).as_str(), number(None, 1).as_str()), ("1.2", "-"));
    }
}
