//! Commands that say nothing (`RUN`, `CMD []`, …): Docker takes them, but the grammar wants a word.
//!
//! So they get one that no Dockerfile holds before the grammar reads them, and lose it again afterwards.

use std::borrow::Cow;

/// Stands for the words that are not there: a character that Unicode promises never to assign.
pub const NOTHING: &str = "\u{fdd0}";

const COMMANDS: [&str; 3] = ["RUN", "CMD", "ENTRYPOINT"];

/// `text` with [`NOTHING`] in each command that says nothing. No line moves.
pub fn filled(text: &str, escape: char) -> Cow<'_, str> {
    let mut whole = String::new();
    let mut copied = 0;
    let mut is_continued = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let is_passed_over = line.trim().is_empty() || line.trim_start().starts_with('#');
        if !is_continued
            && !is_passed_over
            && let Some((place, word)) = missing(&text[start..], escape)
        {
            whole.push_str(&text[copied..start + place]);
            whole.push_str(&word);
            copied = start + place;
        }
        if !is_passed_over {
            is_continued = line.trim_end().ends_with(escape);
        }
        start += line.len();
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    Cow::Owned(whole + &text[copied..])
}

/// `text` as it was before [`filled`].
pub fn emptied(text: &str) -> String {
    text.replace(&in_list(), "").replace(&alone(), "")
}

/// What is missing in the first instruction of `text`, and where.
fn missing(text: &str, escape: char) -> Option<(usize, String)> {
    let whole = super::parse::joined(text, escape);
    let (name, rest) = whole.trim().split_once(char::is_whitespace).unwrap_or((whole.trim(), ""));
    if !COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(name)) {
        return None;
    }
    let name_end = text.len() - text.trim_start().len() + name.len();
    let inside = rest.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match (rest.trim(), inside) {
        ("", _) => Some((name_end, alone())),
        (_, Some(inside)) if inside.trim().is_empty() => Some((text.find('[')? + 1, in_list())),
        _ => None,
    }
}

fn alone() -> String {
    format!(" {NOTHING}")
}

fn in_list() -> String {
    format!("\"{NOTHING}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_without_words_get_one_and_lose_it_again() {
        let text = "FROM x\n run\nCMD [ ]\nENTRYPOINT \\\n# said\n\n[]\nRUN true \\\nRUN\nLABEL a=b";
        let given = filled(text, '\\');
        let word = NOTHING;
        let expected = format!(
            "FROM x\n run {word}\nCMD [\"{word}\" ]\nENTRYPOINT \\\n# said\n\n[\"{word}\"]\nRUN true \\\nRUN\nLABEL a=b"
        );
        assert_eq!(given, expected);
        assert_eq!(emptied(&given), text);
        assert!(matches!(filled("FROM x\nRUN a\n", '\\'), Cow::Borrowed(_)));
    }
}
