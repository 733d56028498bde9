//! Bytes that people read: names, paths and link targets, which on Linux need not be UTF-8.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Any bytes. Shown, and written to JSON, as text with `\xNN` for bytes that are no printable ASCII and `\\` for `\`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path of `name` in the directory with the path `self`.
    pub fn join(&self, name: &Text) -> Text {
        let mut path = self.0.clone();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(&name.0);
        Text(path)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.to_vec())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => write!(f, "{}", *byte as char)?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A text with a `\` that starts neither `\\` nor `\xNN`, or with a character that is no printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotEscaped(String);

impl fmt::Display for NotEscaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not written with \\xNN and \\\\ for what is no printable ASCII", self.0)
    }
}

impl std::error::Error for NotEscaped {}

impl FromStr for Text {
    type Err = NotEscaped;

    fn from_str(text: &str) -> Result<Text, NotEscaped> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, more @ ..] = rest {
            let (byte, used) = match (first, more) {
                (b'\\', [b'\\', ..]) => (b'\\', 2),
                (b'\\', [b'x', high, low, ..]) => {
                    let digits = [*high, *low];
                    let byte = hex::decode(digits).map_err(|_| NotEscaped(text.to_owned()))?;
                    (byte[0], 4)
                }
                (b' '..=b'[' | b']'..=b'~', _) => (*first, 1),
                _ => return Err(NotEscaped(text.to_owned())),
            };
            bytes.push(byte);
            rest = &rest[used..];
        }
        Ok(Text(bytes))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_bytes_are_shown_and_read_back() {
        let text = Text(b"a\\b \xff\n".to_vec());
        assert_eq!(text.to_string(), "a\\\\b \\xff\\x0a");
        assert!("a\\q".parse::<Text>().is_err() && "\\xf".parse::<Text>().is_err() && "é".parse::<Text>().is_err());
    }

    proptest! {
        #[test]
        fn every_text_survives_being_written(bytes: Vec<u8>) {
            let text = Text(bytes);
            prop_assert_eq!(text.to_string().parse::<Text>().unwrap(), text);
        }
    }
}
