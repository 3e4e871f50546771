//! Text from a guest, made safe to show.

/// Turns bytes from a guest into at most about `limit` bytes of text: invalid UTF-8 is replaced,
/// control characters other than newline and tab are removed (terminal escapes would otherwise
/// reach a reader's terminal), bidirectional overrides too.
pub(crate) fn sanitise(bytes: &[u8], limit: usize) -> String {
    let cut = bytes.get(..limit).unwrap_or(bytes);
    let mut text: String = String::from_utf8_lossy(cut).chars().filter(|c| is_plain(*c)).collect();
    if bytes.len() > limit {
        text.push('…');
    }
    text
}

fn is_plain(c: char) -> bool {
    let override_or_isolate =
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    c == '\n' || c == '\t' || (!c.is_control() && !override_or_isolate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_and_text_stays() {
        let hostile = b"caf\xc3\xa9\x1b[31m\r\nline\t\x00\xff\xe2\x80\xae";
        assert_eq!(sanitise(hostile, 1000), "café[31m\nline\t\u{fffd}");
        assert_eq!(sanitise(b"0123456789", 4), "0123…");
        assert_eq!(sanitise("éé".as_bytes(), 3), "é\u{fffd}…");
    }
}
