//! JSON as Go's `encoding/json` writes it, so that files and digests come out byte for byte as dockerd's.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::error::Category;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// `value` as compact JSON in which `<`, `>`, `&`, U+2028 and U+2029 are escaped, as `json.Marshal` does.
///
/// Field order is the value's own: structs as declared, maps as iterated. No newline at the end.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, GoFormatter))?;
    Ok(bytes)
}

/// Why JSON could not be read, in Go's words where it ends too early, and with the place where it goes wrong otherwise.
pub fn reason(error: &serde_json::Error) -> String {
    let (line, column, text) = (error.line(), error.column(), error.to_string());
    let text = text.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        Category::Eof => "unexpected end of JSON input".to_owned(),
        Category::Syntax => format!("no valid JSON in line {line}, column {column}"),
        // The parser's own words name types of this program.
        Category::Data if ["invalid type", "missing field", "unknown "].iter().any(|own| text.starts_with(own)) => {
            format!("in line {line}, column {column} it holds something else than belongs there")
        }
        Category::Data => text.to_owned(),
        Category::Io => "it cannot be read".to_owned(),
    }
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let Some(character) = special.chars().next() else { break };
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &special[character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: io::Write + ?Sized>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            other => CompactFormatter.write_char_escape(writer, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_are_escaped_as_go_escapes_them() {
        let given = "a && b <c@d> \t\n\u{8}\u{c}\u{1} \"q\" \\ \u{2028} é";
        let expected = r#""a \u0026\u0026 b \u003cc@d\u003e \t\n\u0008\u000c\u0001 \"q\" \\ \u2028 é""#;
        assert_eq!(String::from_utf8(to_vec(given).unwrap()).unwrap(), expected);
    }
}
