//! Sizes as they are typed: `500`, `64K`, `10M`, `1.5GiB`; all units are binary.

/// Bytes, at least one.
///
/// # Errors
/// What to write instead.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("invalid size {text:?}: need a number of bytes, or one with K, M, G or T");
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let shift = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |digits: &str| digits.parse::<u128>().map_err(|_| wrong());
    let tens = 10u128.checked_pow(u32::try_from(part.len()).map_err(|_| wrong())?).ok_or_else(wrong)?;
    let parts = number(whole)?.checked_mul(tens).and_then(|whole| whole.checked_add(number(part).ok()?));
    let bytes = parts.and_then(|parts| parts.checked_mul(1 << shift)).map(|parts| parts / tens);
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        let check = |text, expect: Option<u64>| assert_eq!(bytes(text).ok(), expect, "{text}");
        check("1", Some(1));
        check("64K", Some(64 << 10));
        check("10m", Some(10 << 20));
        check("1.5GiB", Some(3 << 29));
        check("2TB", Some(2 << 40));
        for wrong in ["", "0", "0K", "x", "-1", "1X", "1.M", "99999999999999999999"] {
            check(wrong, None);
        }
    }
}
