//! Reads a URL's query (application/x-www-form-urlencoded, WHATWG URL §5).

/// Whether there is such a parameter.
pub fn has_parameter(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

/// The value of a parameter, unescaped; none where it is missing or badly escaped.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    unescaped(value)
}

/// A value without its escapes; none where they are wrong.
pub fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next())? * 16 + hex(rest.next())?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_unescaped_and_bad_ones_are_none() {
        assert_eq!(parameter("a=1&subject=10.0.0.1%20search+x", "subject").as_deref(), Some("10.0.0.1 search x"));
        assert_eq!(parameter("subject=%C3%A4", "subject").as_deref(), Some("ä"));
        assert_eq!(parameter("subject=%g1", "subject"), None);
        assert_eq!(parameter("subject=%ff", "subject"), None);
        assert_eq!(parameter("subject=%4", "subject"), None);
        assert_eq!(parameter("", "subject"), None);
    }
}
