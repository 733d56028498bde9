//! `docker commit --change`: Dockerfile instructions applied to a container's settings.

use super::EngineError;
use crate::dockerfile::{Instruction, parse_one};
use crate::image::config::RunConfig;

/// The instructions that a commit takes, as Docker lists them.
const ALLOWED: [&str; 10] =
    ["cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "user", "volume", "workdir"];

/// Applies instructions, such as `CMD ["sh"]` or `ENV A=1`, to `config`; what they leave empty stays as it was.
pub(super) fn apply(changes: &[String], config: &mut RunConfig) -> Result<(), EngineError> {
    let before = config.clone();
    let mut settings = Vec::new();
    for change in changes {
        let word = change.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if !ALLOWED.contains(&word.as_str()) {
            return Err(EngineError::Change(format!("{word} is not a valid change command")));
        }
        match parse_one(change).map_err(EngineError::Change)?.instruction {
            Instruction::Setting(setting) => settings.push(setting),
            _ => return Err(EngineError::Change(format!("{word} is not a valid change command"))),
        }
    }
    let mut cmd_is_set = false;
    for setting in settings {
        let env = config.env.clone().unwrap_or_default();
        let lookup =
            |name: &str| env.iter().find_map(|entry| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
        setting.apply(config, '\\', &lookup, &mut cmd_is_set).map_err(EngineError::Change)?;
    }
    let is_empty = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd = before.cmd;
        }
        config.entrypoint = before.entrypoint;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<RunConfig, EngineError> {
        let mut config = RunConfig {
            env: Some(vec!["PATH=/bin".to_owned(), "A=1".to_owned()]),
            cmd: Some(vec!["bash".to_owned()]),
            ..RunConfig::default()
        };
        let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
        apply(&changes, &mut config)?;
        Ok(config)
    }

    #[test]
    fn allowed_instructions_change_their_settings_in_place() {
        let config = changed(&["ENV A=2 Q=$PATH:\"a b\"", "HEALTHCHECK CMD true", "EXPOSE 80", "cmd"]).unwrap();
        assert_eq!(config.env.unwrap(), ["PATH=/bin", "A=2", "Q=/bin:a b"]);
        assert_eq!(config.healthcheck.unwrap().test, ["CMD-SHELL", "true"]);
        assert!(config.exposed_ports.contains_key("80/tcp"));
        assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-c"]);
    }

    #[test]
    fn what_is_emptied_comes_back_from_the_container() {
        for change in ["CMD []", "ENTRYPOINT"] {
            assert_eq!(changed(&[change]).unwrap().cmd.unwrap(), ["bash"], "{change}");
        }
    }

    #[test]
    fn other_instructions_are_refused_in_dockers_words() {
        for (change, word) in [("RUN true", "run"), ("FROM x", "from"), ("STOPSIGNAL 9", "stopsignal"), ("FOO", "foo")]
        {
            let refused = changed(&[change]).unwrap_err();
            assert_eq!(refused.to_string(), format!("{word} is not a valid change command"));
        }
        assert_eq!(changed(&["USER"]).unwrap_err().to_string(), "USER requires exactly one argument");
    }
}
