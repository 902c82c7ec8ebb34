//! Text of others in words of ours: on one line, without what a terminal would obey, and not at any length.

use std::borrow::Cow;

/// As much of a value, or of what a server says, as a message shows.
pub const BRIEF: usize = 200;

/// `text` with its control characters escaped, and cut after `most` bytes.
pub fn plain(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::new();
    for c in text.chars() {
        if plain.len() >= most {
            plain.push_str(&format!("... ({} bytes)", text.len()));
            break;
        }
        if is_control(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    Cow::Owned(plain)
}

/// Also what ends a line or turns the direction of writing in Unicode.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_on_its_line_and_within_bounds() {
        for (text, expected) in [
            ("plain, with `quotes` and äöü", "plain, with `quotes` and äöü"),
            ("a\nb\r\x1b[31m", "a\\nb\\r\\u{1b}[31m"),
            ("a\u{202e}b\0", "a\\u{202e}b\\u{0}"),
            ("0123456789012345678901234567890", "012345678901234567890123456789... (31 bytes)"),
            ("äääääääääääääääää", "äääääääääääääää... (34 bytes)"),
        ] {
            assert_eq!(plain(text, 30), expected);
        }
        assert_eq!(plain("0123", 4), "0123");
    }
}
