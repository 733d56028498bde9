//! `docker commit --change`: single Dockerfile instructions applied to an image's settings.

use std::collections::BTreeMap;

use super::EngineError;
use crate::image::config::{Empty, RunConfig};

/// Applies one instruction, such as `CMD ["sh"]` or `ENV A=1`, to `config`.
pub(super) fn apply(instruction: &str, config: &mut RunConfig) -> Result<(), EngineError> {
    let (word, rest) = instruction.trim().split_once(char::is_whitespace).unwrap_or((instruction.trim(), ""));
    let rest = rest.trim();
    let name = word.to_ascii_uppercase();
    if rest.is_empty() && !word.is_empty() && INSTRUCTIONS.contains(&name.as_str()) {
        return Err(EngineError::Change(format!("{name} requires at least one argument")));
    }
    match name.as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = working_directory(&config.working_dir, rest),
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        "ENV" => {
            for (name, value) in pairs(rest)? {
                let env = config.env.get_or_insert_default();
                env.retain(|entry| entry.split('=').next() != Some(&name));
                env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.get_or_insert_default().extend(pairs(rest)?),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                config.exposed_ports.insert(exposed(port)?, Empty {});
            }
        }
        "VOLUME" => {
            let volumes = config.volumes.get_or_insert_with(BTreeMap::new);
            let listed = list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            volumes.extend(listed.into_iter().map(|volume| (volume, Empty {})));
        }
        _ => return Err(EngineError::Change(format!("{} is not a valid change command", word.to_ascii_lowercase()))),
    }
    Ok(())
}

const INSTRUCTIONS: [&str; 9] = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "ONBUILD", "USER", "VOLUME", "WORKDIR"];

/// The JSON form, or else a line for the shell.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

fn working_directory(before: &str, wanted: &str) -> String {
    if wanted.starts_with('/') { wanted.to_owned() } else { format!("{}/{wanted}", before.trim_end_matches('/')) }
}

fn exposed(port: &str) -> Result<String, EngineError> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let valid = number.parse::<u16>().is_ok_and(|number| number > 0) && matches!(protocol, "tcp" | "udp" | "sctp");
    if valid {
        Ok(format!("{number}/{protocol}"))
    } else {
        Err(EngineError::Change(format!("Invalid containerPort: {port}")))
    }
}

/// `A=1 B="two words"`, or the old form `A one value`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, EngineError> {
    let words = words(text);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| EngineError::Change("ENV must have two arguments".to_owned()))?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let split = |word: String| {
        let (name, value) = word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))?;
        (!name.is_empty()).then_some((name, value))
    };
    let syntax = |word: &str| {
        EngineError::Change(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))
    };
    words.into_iter().map(|word| split(word.clone()).ok_or_else(|| syntax(&word))).collect()
}

/// Words apart at blanks; quotes and backslashes keep blanks and are taken off.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quote != Some('\'') => word.get_or_insert_default().extend(characters.next()),
            '"' | '\'' if quote == Some(character) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && quote.is_none() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(instructions: &[&str]) -> RunConfig {
        let mut config = RunConfig::default();
        instructions.iter().for_each(|instruction| apply(instruction, &mut config).unwrap());
        config
    }

    #[test]
    fn every_allowed_instruction_changes_its_setting() {
        let config = changed(&[
            r#"CMD ["httpd", "-f"]"#,
            "entrypoint run me",
            r#"ENV A=1 B="two words""#,
            "ENV A 3",
            "EXPOSE 80 53/udp",
            "LABEL a.b=c",
            "USER www-data",
            "WORKDIR /srv",
            "WORKDIR www",
            "VOLUME /data",
            "ONBUILD RUN true",
        ]);
        assert_eq!(config.cmd.unwrap(), ["httpd", "-f"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run me"]);
        assert_eq!(config.env.unwrap(), ["B=two words", "A=3"]);
        assert_eq!(config.exposed_ports.into_keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("www-data", "/srv/www"));
        assert_eq!(config.labels.unwrap()["a.b"], "c");
        assert!(config.volumes.unwrap().contains_key("/data"));
        assert_eq!(config.on_build.unwrap(), ["RUN true"]);
    }

    #[test]
    fn other_instructions_are_refused_in_dockers_words() {
        for (instruction, word) in [("RUN true", "run"), ("FROM x", "from"), ("STOPSIGNAL 9", "stopsignal")] {
            let refused = apply(instruction, &mut RunConfig::default()).unwrap_err();
            assert_eq!(refused.to_string(), format!("{word} is not a valid change command"));
        }
    }
}
