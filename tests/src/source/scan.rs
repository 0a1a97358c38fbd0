//! A reader of Rust text that knows just enough to tell code from comments and strings.
//!
//! In comes a file's text; out come texts of the same shape in which everything of the other kinds is blank, so that a
//! word found in one of them is what it seems, and stands on the same line as in the file.

/// What a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// `text` with all but code blank, and `text` with all but comments blank.
pub fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let mut kinds = vec![Kind::Code; chars.len()];
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = token(&chars, at);
        kinds[at..end].fill(kind);
        at = end;
    }
    (keep(&chars, &kinds, Kind::Code), keep(&chars, &kinds, Kind::Comment))
}

/// Where the literals of a text begin and end.
pub fn literals(chars: &[char]) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let (kind, end) = token(chars, at);
        if kind == Kind::Literal {
            found.push((at, end));
        }
        at = end;
    }
    found
}

fn keep(chars: &[char], kinds: &[Kind], kind: Kind) -> String {
    let shown = |(char, at): (&char, &Kind)| if *at == kind || *char == '\n' { *char } else { ' ' };
    chars.iter().zip(kinds).map(shown).collect()
}

/// What begins at `at`, and where it ends.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let next = |by: usize| chars.get(at + by).copied();
    let after_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if next(1) == Some('/') => (Kind::Comment, find(chars, at, '\n')),
        '/' if next(1) == Some('*') => (Kind::Comment, block_comment(chars, at)),
        'r' if !after_word && raw_hashes(chars, at + 1).is_some() => raw_string(chars, at + 1),
        'b' | 'c' if !after_word && next(1) == Some('r') && raw_hashes(chars, at + 2).is_some() => {
            raw_string(chars, at + 2)
        }
        '"' => (Kind::Literal, quoted(chars, at, '"')),
        '\'' if next(1) == Some('\\') || next(2) == Some('\'') => (Kind::Literal, quoted(chars, at, '\'')),
        _ => (Kind::Code, at + 1),
    }
}

/// Whether `char` can be inside a name.
pub fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn find(chars: &[char], from: usize, what: char) -> usize {
    (from..chars.len()).find(|at| chars[*at] == what).unwrap_or(chars.len())
}

fn block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The number of `#` from `at` on when a quote follows them.
fn raw_hashes(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at.min(chars.len())..].iter().take_while(|char| **char == '#').count();
    (chars.get(at + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_string(chars: &[char], at: usize) -> (Kind, usize) {
    let hashes = raw_hashes(chars, at).unwrap_or(0);
    let closes = |end: usize| chars[end] == '"' && chars[end + 1..].iter().take(hashes).all(|char| *char == '#');
    let end = (at + hashes + 1..chars.len()).find(|end| closes(*end));
    (Kind::Literal, end.map_or(chars.len(), |end| (end + 1 + hashes).min(chars.len())))
}

fn quoted(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Where the bracket opened at `open` closes.
pub fn closing(chars: &[char], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, char) in chars.iter().enumerate().skip(open) {
        match char {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// From `from` on, where the item's body opens or the item ends without one: the first `{` or `;` outside of brackets.
pub fn body_or_end(chars: &[char], from: usize) -> Option<usize> {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '{' | ';' => return Some(at),
            '(' | '[' => at = closing(chars, at)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Every place where `word` stands in `code` as a word of its own, as an index of characters.
pub fn words(code: &[char], word: &str) -> Vec<usize> {
    let word: Vec<char> = word.chars().collect();
    let whole = |at: &usize| {
        let before = *at > 0 && is_word(code[at - 1]);
        let after = code.get(at + word.len()).copied().is_some_and(is_word);
        code[*at..].starts_with(&word) && !before && !after
    };
    (0..code.len()).filter(whole).collect()
}

/// The line on which the character at `at` stands, counted from 1.
pub fn line_of(chars: &[char], at: usize) -> usize {
    1 + chars[..at].iter().filter(|char| **char == '\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_told_apart() {
        let check = |text: &str, code: &str, comments: &str| {
            let (got_code, got_comments) = split(text);
            assert_eq!((got_code.trim(), got_comments.trim()), (code, comments), "{text}");
        };
        check("a // b \"c\"", "a", "// b \"c\"");
        check("a /* b /* c */ d */ e", "a                   e", "/* b /* c */ d */");
        check(r#"f("x // y \" z")"#, "f(             )", "");
        check("f(r#\"a \" // b\"#) g", "f(             ) g", "");
        check("f('\"') 'a: loop '\\'' x", "f(   ) 'a: loop      x", "");
        check("b\"//\" br\"//\" x", "b            x", "");
    }
}
