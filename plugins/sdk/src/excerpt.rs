//! Quotes a server in a failure's message.

/// The beginning of a text on one line, at most `max_chars` characters of it, for a message that quotes a server's answer.
/// Control characters and runs of spaces become one space; `…` stands for what is left out.
#[must_use]
pub fn excerpt(text: &str, max_chars: usize) -> String {
    let words = text.split(|letter: char| letter == ' ' || letter.is_control());
    let (mut excerpt, mut left) = (String::new(), max_chars);
    for word in words.filter(|word| !word.is_empty()) {
        if !excerpt.is_empty() {
            excerpt.push(' ');
        }
        let end = word.char_indices().nth(left).map_or(word.len(), |(at, _)| at);
        excerpt.push_str(&word[..end]);
        if end < word.len() {
            excerpt.push('…');
            break;
        }
        left = left.saturating_sub(word.chars().count() + 1);
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_line_of_bounded_length_without_control_characters() {
        for (text, max_chars, expected) in [
            ("\u{1b}[31mred\r\n\u{9b}\0 line", 40, "[31mred line"),
            ("grün", 4, "grün"),
            ("grün und blau", 4, "grün …"),
            ("grün und blau", 6, "grün u…"),
            ("short", 0, "…"),
            (" \t ", 9, ""),
        ] {
            assert_eq!(excerpt(text, max_chars), expected, "{text:?}");
        }
    }
}
