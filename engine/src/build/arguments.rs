//! Build arguments: which are declared, what they are worth, and which nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

/// Arguments that need no ARG, and that leave no trace in the image unless there is one.
const PREDEFINED: [&str; 8] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy"];

/// The arguments of a build as one stage sees them.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    given: BTreeMap<String, Option<String>>,
    /// Before the first FROM.
    global: BTreeMap<String, Option<String>>,
    /// In this stage.
    declared: BTreeMap<String, Option<String>>,
    used: BTreeSet<String>,
}

impl Arguments {
    /// With the values of `--build-arg`.
    pub fn new(given: BTreeMap<String, Option<String>>) -> Arguments {
        Arguments { given, ..Arguments::default() }
    }

    /// ARG before the first FROM.
    pub fn declare_global(&mut self, name: &str, default: Option<String>) {
        self.declare(name, default.clone());
        self.global.insert(name.to_owned(), default);
    }

    /// ARG in a stage.
    pub fn declare(&mut self, name: &str, default: Option<String>) {
        self.declared.insert(name.to_owned(), default);
        self.used.insert(name.to_owned());
    }

    /// A new stage begins: what was declared in the one before is forgotten.
    pub fn begin_stage(&mut self) {
        self.declared.clear();
    }

    /// What FROM may use.
    pub fn globals(&self) -> BTreeMap<String, String> {
        self.values(&self.global)
    }

    /// `NAME=value` of all that apply in this stage and that `env` does not say itself.
    pub fn beside(&self, env: &[String]) -> Vec<String> {
        let is_said = |name: &str| env.iter().any(|entry| entry.split('=').next() == Some(name));
        let values = self.values(&self.declared).into_iter().filter(|(name, _)| !is_said(name));
        values.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Whether `NAME=value` belongs to what the cache and the history know of a RUN.
    pub fn is_recorded(&self, entry: &str) -> bool {
        let name = entry.split('=').next().unwrap_or_default();
        self.declared.contains_key(name) || !PREDEFINED.contains(&name)
    }

    /// Docker's line about arguments that no ARG asked for.
    pub fn warning(&self) -> Option<String> {
        let left: Vec<&str> = self
            .given
            .keys()
            .map(String::as_str)
            .filter(|name| !self.used.contains(*name) && !PREDEFINED.contains(name))
            .collect();
        (!left.is_empty()).then(|| format!("[Warning] One or more build-args [{}] were not consumed\n", left.join(" ")))
    }

    fn values(&self, declared: &BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
        let names = declared.keys().map(String::as_str).chain(PREDEFINED);
        names.filter_map(|name| Some((name.to_owned(), self.value(name, declared)?))).collect()
    }

    /// The value that was given, or else the default of this stage, or else that from before the first FROM.
    fn value(&self, name: &str, declared: &BTreeMap<String, Option<String>>) -> Option<String> {
        if let Some(Some(given)) = self.given.get(name) {
            return Some(given.clone());
        }
        declared.get(name).cloned().flatten().or_else(|| self.global.get(name).cloned().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Arguments {
        Arguments::new(pairs.iter().map(|(name, value)| (name.to_string(), Some(value.to_string()))).collect())
    }

    #[test]
    fn what_was_given_wins_and_only_what_was_declared_counts() {
        let mut arguments = given(&[("B", "2"), ("X", "1"), ("Y", "1"), ("HTTP_PROXY", "p")]);
        arguments.declare("A", Some("1".to_owned()));
        arguments.declare("B", None);
        arguments.declare("C", None);
        let all = arguments.beside(&["A=0".to_owned()]);
        assert_eq!(all, ["B=2", "HTTP_PROXY=p"]);
        assert!(arguments.is_recorded("B=2") && !arguments.is_recorded("HTTP_PROXY=p"));
        assert_eq!(arguments.warning().unwrap(), "[Warning] One or more build-args [X Y] were not consumed\n");
    }

    #[test]
    fn a_global_default_reaches_a_stage_that_declares_the_name() {
        let mut arguments = given(&[]);
        arguments.declare_global("V", Some("7".to_owned()));
        arguments.begin_stage();
        assert!(arguments.beside(&[]).is_empty());
        assert_eq!(arguments.globals()["V"], "7");
        arguments.declare("V", None);
        assert_eq!(arguments.beside(&[]), ["V=7"]);
        assert_eq!(arguments.warning(), None);
    }
}
