//! Key presses as a page writes them: text, and control keys in the caret notation of terminals (`^[` is Esc, `^M` Enter).

use std::sync::LazyLock;

use regex::Regex;

/// A command that is nothing but control keys: `^P^Q`.
static ONLY_CONTROL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:\^[@A-Z\[\]\\_])+$").expect("a valid expression"));

/// Keys pressed in a program, and what it must show before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What the line with the cursor must end with; without it the program must have taken the whole screen, as editors do.
    pub after: Option<String>,
    /// What the terminal sends.
    pub pressed: String,
}

/// The keys of a command that is typed without Enter since it is only control keys.
pub(super) fn of_command(command: &str) -> Option<String> {
    ONLY_CONTROL.is_match(command).then(|| decode(command).ok()).flatten()
}

impl Keys {
    /// Reads what stands after `? keys `.
    pub(super) fn parse(words: &str) -> Result<Keys, String> {
        let (after, keys) = match words.strip_prefix('"') {
            Some(quoted) => {
                let (after, keys) = quoted.split_once("\" ").ok_or_else(|| {
                    format!("'? keys {words}': after the text that must show, write a quotation mark and the keys")
                })?;
                (Some(after.to_owned()), keys)
            }
            None => (None, words),
        };
        if after.as_ref().is_some_and(String::is_empty) || keys.is_empty() {
            return Err("no keys: write them as in `? keys iSome text.^[:wq^M` or `? keys \"[Y/n]\" y^M`".into());
        }
        Ok(Keys { after, pressed: decode(keys)? })
    }
}

/// `^X` is the control key X, `^?` the backspace key, `\^` a caret.
fn decode(keys: &str) -> Result<String, String> {
    let mut decoded = String::new();
    let mut chars = keys.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.as_str().starts_with('^') => decoded.extend(chars.next()),
            '^' => match chars.next() {
                Some('?') => decoded.push('\x7f'),
                Some(key @ ('@'..='_')) => decoded.push(char::from(key as u8 - b'@')),
                _ => {
                    return Err(format!(
                        "'{keys}': `^` is written before @, A to Z, [, \\, ], ^, _ or ?; `\\^` is a caret"
                    ));
                }
            },
            c if c.is_control() => return Err(format!("'{keys}' holds a control character: write it as ^X")),
            c => decoded.push(c),
        }
    }
    Ok(decoded)
}
