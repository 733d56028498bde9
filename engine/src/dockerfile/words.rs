//! Words as a Dockerfile writes them: apart at blanks, with quotes and escapes, and `$NAME`, `${NAME:-else}` replaced.
//!
//! Both halves follow Docker's own (`parser/line_parsers.go` and `shell/lex.go` of its Dockerfile front end): words are
//! cut with their quotes still on, and the quotes come off when variables are replaced.

use std::iter::Peekable;
use std::str::Chars;

/// A value in place of one that is not set, and so on: deeper than anybody writes, and than the stack is.
const DEPTH_MAX: usize = 100;

/// The words of a line; quotes and escapes keep blanks together and stay in the word.
pub fn split(line: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character.is_whitespace() && quote.is_none() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match quote {
            Some(open) if character == open => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            _ => {}
        }
        if character == escape && quote != Some('\'') {
            // At the end of the line there is nothing to escape.
            let Some(escaped) = characters.next() else { break };
            word.extend([character, escaped]);
        } else {
            word.push(character);
        }
    }
    words.extend(word.filter(|word| !word.is_empty()));
    words
}

/// Replaces variables and takes quotes and escapes off; `lookup` says what a name stands for.
pub fn expand(word: &str, escape: char, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expansion = Expansion { rest: word.chars().peekable(), escape, lookup, cuts: Vec::new(), depth: 0 };
    expansion.until(None).map_err(|reason| format!("failed to process {word:?}: {reason}"))
}

/// [`expand`], then apart at blanks that came from variables or stood outside of quotes.
pub fn expand_to_words(
    word: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut expansion = Expansion { rest: word.chars().peekable(), escape, lookup, cuts: vec![None], depth: 0 };
    expansion.until(None).map_err(|reason| format!("failed to process {word:?}: {reason}"))?;
    Ok(expansion.cuts.into_iter().flatten().collect())
}

struct Expansion<'a> {
    rest: Peekable<Chars<'a>>,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The words so far; the last is open, nothing while no character of it has been seen. Empty when nobody asks.
    cuts: Vec<Option<String>>,
    /// In how many substitutions this is.
    depth: usize,
}

impl Expansion<'_> {
    /// Everything up to `stop`, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<String, String> {
        let mut done = String::new();
        while let Some(character) = self.rest.next() {
            match character {
                _ if Some(character) == stop => return Ok(done),
                '\'' => {
                    let quoted = self.single_quoted()?;
                    self.keep(&quoted);
                    done.push_str(&quoted);
                }
                '"' => {
                    let quoted = self.double_quoted()?;
                    self.keep(&quoted);
                    done.push_str(&quoted);
                }
                '$' => {
                    let value = self.variable()?;
                    self.cut(&value);
                    done.push_str(&value);
                }
                _ if character == self.escape => {
                    let Some(escaped) = self.rest.next() else { break };
                    self.keep(&escaped.to_string());
                    done.push(escaped);
                }
                _ => {
                    self.cut(&character.to_string());
                    done.push(character);
                }
            }
        }
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok(done),
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut quoted = String::new();
        for character in self.rest.by_ref() {
            if character == '\'' {
                return Ok(quoted);
            }
            quoted.push(character);
        }
        Err("unexpected end of statement while looking for matching single-quote".to_owned())
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        let mut quoted = String::new();
        while let Some(character) = self.rest.next() {
            match character {
                '"' => return Ok(quoted),
                '$' => quoted.push_str(&self.variable()?),
                // Only these can be escaped here; before all others the escape stays.
                _ if character == self.escape => match self.rest.peek() {
                    None => {}
                    Some(&next) if next == '"' || next == '$' || next == self.escape => {
                        quoted.extend(self.rest.next());
                    }
                    Some(_) => quoted.push(character),
                },
                _ => quoted.push(character),
            }
        }
        Err("unexpected end of statement while looking for matching double-quote".to_owned())
    }

    /// What stands behind a dollar sign.
    fn variable(&mut self) -> Result<String, String> {
        if self.rest.peek() != Some(&'{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { (self.lookup)(&name).unwrap_or_default() });
        }
        self.rest.next();
        match self.rest.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let value = (self.lookup)(&name);
        match self.rest.next() {
            Some('}') => Ok(value.unwrap_or_default()),
            Some(':') => {
                let modifier = self.rest.next();
                if self.depth == DEPTH_MAX {
                    return Err(format!("more than {DEPTH_MAX} substitutions inside one another"));
                }
                let kept = std::mem::take(&mut self.cuts);
                self.depth += 1;
                let word = self.until(Some('}'));
                self.depth -= 1;
                self.cuts = kept;
                let word = word.map_err(|reason| match self.rest.peek() {
                    None => "syntax error: missing '}'".to_owned(),
                    Some(_) => reason,
                })?;
                let value = value.unwrap_or_default();
                match modifier {
                    Some('+') => Ok(if value.is_empty() { value } else { word }),
                    Some('-') => Ok(if value.is_empty() { word } else { value }),
                    Some('?') if value.is_empty() => {
                        let reason = if word.is_empty() { "is not allowed to be unset" } else { &word };
                        Err(format!("{name}: {reason}"))
                    }
                    Some('?') => Ok(value),
                    other => Err(format!("unsupported modifier ({}) in substitution", other.unwrap_or_default())),
                }
            }
            _ => Err("missing ':' in substitution".to_owned()),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.rest.peek() {
            Some(first) if first.is_ascii_digit() => {
                while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
            }
            Some(first) if first.is_alphabetic() || *first == '_' => {
                while let Some(letter) = self.rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    name.push(letter);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.rest.next()),
            _ => {}
        }
        name
    }

    /// Text that may hold blanks without ending a word.
    fn keep(&mut self, text: &str) {
        if let Some(open) = self.cuts.last_mut() {
            open.get_or_insert_default().push_str(text);
        }
    }

    /// Text whose blanks end a word.
    fn cut(&mut self, text: &str) {
        if self.cuts.is_empty() {
            return;
        }
        for character in text.chars() {
            if character.is_whitespace() {
                if self.cuts.last().is_some_and(Option::is_some) {
                    self.cuts.push(None);
                }
            } else if let Some(open) = self.cuts.last_mut() {
                open.get_or_insert_default().push(character);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "PORTS" => Some("80 443".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(word: &str) -> Result<String, String> {
        expand(word, '\\', &known)
    }

    #[test]
    fn words_keep_their_quotes_and_are_apart_at_blanks_outside_of_them() {
        assert_eq!(split(r#"A=1  B="two words" C=x\ y 'd e'"#, '\\'), ["A=1", r#"B="two words""#, r"C=x\ y", "'d e'"]);
        assert_eq!(split("a` b c", '`'), ["a` b", "c"]);
        assert_eq!(split("a ''", '\\'), ["a", "''"]);
    }

    #[test]
    fn variables_are_replaced_and_quotes_taken_off() {
        for (word, value) in [
            ("$A/x", "1/x"),
            ("${A}b", "1b"),
            ("$AB", ""),
            (r#""$A b" 'c $A'"#, "1 b c $A"),
            (r"\$A", "$A"),
            (r#""\$A \x""#, r"$A \x"),
            ("${B:-no}", "no"),
            ("${EMPTY:-$A}", "1"),
            ("${A:-no}", "1"),
            ("${A:+yes}", "yes"),
            ("${B:+yes}", ""),
            ("100$", "100$"),
        ] {
            assert_eq!(expanded(word).unwrap(), value, "{word}");
        }
    }

    #[test]
    fn a_substitution_that_cannot_be_read_is_refused_in_dockers_words() {
        for (word, reason) in [
            ("${A", "missing ':' in substitution"),
            ("${", "syntax error: missing '}'"),
            ("${}", "syntax error: bad substitution"),
            ("${A:-x", "syntax error: missing '}'"),
            ("${A:=x}", "unsupported modifier (=) in substitution"),
            ("${B:?none}", "B: none"),
            ("'a", "unexpected end of statement while looking for matching single-quote"),
        ] {
            assert_eq!(expanded(word).unwrap_err(), format!("failed to process {word:?}: {reason}"));
        }
    }

    #[test]
    fn substitutions_may_be_nested_but_not_without_end() {
        let nested = |depth: usize| format!("{}deep{}", "${B:-".repeat(depth), "}".repeat(depth));
        assert_eq!(expanded(&nested(100)).unwrap(), "deep");
        for depth in [101, 100_000] {
            let error = expanded(&nested(depth)).unwrap_err();
            assert!(error.ends_with(": more than 100 substitutions inside one another"), "{depth}");
        }
        let quoted = "\"${B:-".repeat(100_000);
        assert!(expanded(&quoted).is_err());
    }

    #[test]
    fn one_variable_may_stand_for_several_words() {
        assert_eq!(expand_to_words("$PORTS", '\\', &known).unwrap(), ["80", "443"]);
        assert_eq!(expand_to_words("\"$PORTS\"", '\\', &known).unwrap(), ["80 443"]);
        assert!(expand_to_words("$EMPTY", '\\', &known).unwrap().is_empty());
    }
}
