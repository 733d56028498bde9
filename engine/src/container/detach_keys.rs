//! The keys that leave an attached terminal without ending the program in it (`ctrl-p,ctrl-q`).

use std::str::FromStr;

/// Docker's keys, unless somebody names others.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// A sequence of bytes that is not passed on when it was typed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were typed so far, and are held back.
    typed: usize,
}

/// Text that names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid detach keys ({0}) provided")]
pub struct InvalidKeys(String);

impl Default for DetachKeys {
    fn default() -> DetachKeys {
        DetachKeys { keys: vec![0x10, 0x11], typed: 0 }
    }
}

impl FromStr for DetachKeys {
    type Err = InvalidKeys;

    /// Single characters, and `ctrl-` with a letter or one of `@[\]^_`, separated by commas.
    fn from_str(text: &str) -> Result<DetachKeys, InvalidKeys> {
        let key = |word: &str| match (word.as_bytes(), word.strip_prefix("ctrl-").map(str::as_bytes)) {
            ([byte], _) => Some(*byte),
            (_, Some([letter @ b'a'..=b'z'])) => Some(letter - b'a' + 1),
            (_, Some(b"@")) => Some(0),
            (_, Some([mark @ b'['..=b'_'])) => Some(mark - b'[' + 27),
            _ => None,
        };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        Ok(DetachKeys { keys: keys.ok_or_else(|| InvalidKeys(text.to_owned()))?, typed: 0 })
    }
}

impl DetachKeys {
    /// Takes what was typed and gives what is to be passed on; nothing when the whole sequence was seen. Keys that may be the
    /// beginning of it are held back until the next one is typed.
    pub fn filter(&mut self, typed: &[u8]) -> Option<Vec<u8>> {
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.typed) != Some(byte) {
                passed.extend_from_slice(&self.keys[..self.typed]);
                self.typed = 0;
            }
            if self.keys.get(self.typed) != Some(byte) {
                passed.push(*byte);
                continue;
            }
            self.typed += 1;
            if self.typed == self.keys.len() {
                return None;
            }
        }
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_ends_the_input_and_parts_of_it_do_not() {
        let mut keys: DetachKeys = DEFAULT.parse().unwrap();
        assert_eq!(keys, DetachKeys::default());
        assert_eq!(keys.filter(b"ls\x10"), Some(b"ls".to_vec()));
        assert_eq!(keys.filter(b"x"), Some(b"\x10x".to_vec()));
        assert_eq!(keys.filter(b"\x10\x10"), Some(b"\x10".to_vec()));
        assert_eq!(keys.filter(b"\x11"), None);
    }

    #[test]
    fn keys_have_dockers_names() {
        assert_eq!("a,ctrl-@,ctrl-_".parse::<DetachKeys>().unwrap().keys, [b'a', 0, 31]);
        for wrong in ["", "ctrl-1", "ctrl", "ctrl-p;ctrl-q"] {
            let refused = wrong.parse::<DetachKeys>().unwrap_err();
            assert_eq!(refused.to_string(), format!("Invalid detach keys ({wrong}) provided"));
        }
    }
}
