//! A trace context on the command line.

/// Reads a `traceparent` as W3C Trace Context level 1 has it (<https://www.w3.org/TR/trace-context-1/#traceparent-header>),
/// version 00; for clap.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, digits: usize| is_hex(part, digits) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    let why = match parts[..] {
        [version, trace, parent, flags] => {
            if version != "00" {
                "the version is not `00`"
            } else if !is_id(trace, 32) {
                "the trace id is not 32 hexadecimal digits in lower case, or all of them are 0"
            } else if !is_id(parent, 16) {
                "the parent id is not 16 hexadecimal digits in lower case, or all of them are 0"
            } else if !is_hex(flags, 2) {
                "the flags are not 2 hexadecimal digits in lower case"
            } else {
                return Ok(text.to_owned());
            }
        }
        _ => "it does not have four parts joined by `-`",
    };
    Err(format!(
        "{why}; write 00-TRACE-PARENT-FLAGS, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_recommendation_allows_is_taken() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(parse(good), Ok(good.to_owned()));
        for (bad, why) in [
            ("", "four parts"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "four parts"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "four parts"),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "version"),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "trace id"),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", "trace id"),
            ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", "trace id"),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "parent id"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", "flags"),
        ] {
            let told = parse(bad).unwrap_err();
            assert!(told.contains(why) && told.contains("write 00-"), "{bad}: {told}");
        }
    }
}
