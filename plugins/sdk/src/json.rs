//! Writing JSON around JSON that is passed through as it is.

/// A JSON object written member by member. It never parses what it is given, so a document keeps its bytes.
#[derive(Clone, Debug)]
pub struct JsonObject {
    text: String,
}

impl JsonObject {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(128)
    }

    /// An empty object with room for this many bytes.
    #[must_use]
    pub fn with_capacity(size_bytes: usize) -> Self {
        let mut text = String::with_capacity(size_bytes);
        text.push('{');
        Self { text }
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        quote(&mut self.text, value);
        self
    }

    /// Adds a list of texts.
    pub fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        self.name(name);
        self.text.push('[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            quote(&mut self.text, value);
        }
        self.text.push(']');
        self
    }

    /// Adds a document that is JSON already.
    pub fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.name(name);
        self.text.push_str(json);
        self
    }

    /// The object's text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        quote(&mut self.text, name);
        self.text.push(':');
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends a JSON string (RFC 8259, 7).
fn quote(out: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    for part in value.split_inclusive(|c: char| c == '"' || c == '\\' || c < ' ') {
        let Some(last) = part.chars().next_back().filter(|&c| c == '"' || c == '\\' || c < ' ') else {
            out.push_str(part);
            continue;
        };
        out.push_str(&part[..part.len() - 1]);
        out.push('\\');
        match last {
            '\n' => out.push('n'),
            '\r' => out.push('r'),
            '\t' => out.push('t'),
            '"' | '\\' => out.push(last),
            control => {
                let code = control as usize;
                out.push_str("u00");
                out.push(char::from(HEX[code >> 4]));
                out.push(char::from(HEX[code & 15]));
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_serde_json_does_it() {
        for text in ["", "plain", "a\"b\\c", "tab\tline\n\r", "\u{1}\u{1f}", "é 🦀\u{2028}", "\"", "ends\\"]
        {
            let mut written = String::new();
            quote(&mut written, text);
            assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text, "{written}");
        }
    }

    #[test]
    fn members_are_separated() {
        let mut object = JsonObject::new();
        object.text("a", "1").raw("b", "[1.50]").texts("c", &["x".to_owned(), "y".to_owned()]);
        assert_eq!(object.finish(), r#"{"a":"1","b":[1.50],"c":["x","y"]}"#);
        assert_eq!(JsonObject::new().finish(), "{}");
    }
}
