//! Which kernels there are: `list.toml`, and how a pattern of it becomes the name of a package.

use anyhow::Context;
use serde::Deserialize;

/// What a kernel runs in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MachineKind {
    /// A machine that QEMU plays.
    Qemu,
    /// A process: user-mode Linux.
    Uml,
}

/// A kernel that the distribution has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// How it is called here: the minor version, after `uml-` where it is user-mode Linux.
    pub name: String,
    pub machine: MachineKind,
    /// The suite of the distribution that has it.
    pub suite: String,
    /// Its packages; `*` stands for the same text in each.
    pub packages: Vec<String>,
}

#[derive(Deserialize)]
struct List {
    kernel: Vec<Kernel>,
}

/// All that are listed.
pub fn all() -> anyhow::Result<Vec<Kernel>> {
    let list: List = toml::from_str(include_str!("list.toml")).context("list.toml of the kernels")?;
    Ok(list.kernel)
}

/// The newest packages among `names` that the patterns describe; none when no version has all of them.
pub fn newest(patterns: &[String], names: &[&str]) -> Option<Vec<String>> {
    let first = patterns.first()?;
    let of_version =
        |version: &str| -> Vec<String> { patterns.iter().map(|pattern| pattern.replacen('*', version, 1)).collect() };
    let is_whole = |version: &&str| of_version(version).iter().all(|package| names.iter().any(|name| name == package));
    let versions = names.iter().filter_map(|name| version_in(name, first)).filter(is_whole);
    versions.max_by_key(|version| numbers(version)).map(of_version)
}

/// What `*` of the pattern stands for in this name. Words are other builds (`0.deb11.48`, `-unsigned`) unless they tell the release.
fn version_in<'a>(name: &'a str, pattern: &str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('*') else { return (name == pattern).then_some("") };
    let version = name.strip_prefix(before)?.strip_suffix(after)?;
    let plain = version.replace("+deb", ".");
    plain.chars().all(|character| character.is_ascii_digit() || character == '.').then_some(version)
}

/// The numbers of a version, which are compared one by one.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(|character: char| !character.is_ascii_digit());
    parts.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_no_name_comes_twice() {
        let all = all().expect("the list");
        for kernel in &all {
            assert_eq!(all.iter().filter(|other| other.name == kernel.name).count(), 1, "{}", kernel.name);
            assert!(!kernel.packages.is_empty(), "{}", kernel.name);
        }
    }

    #[test]
    fn the_report_tells_of_each_kernel_and_of_nothing_that_broke() {
        let report = std::fs::read_to_string(crate::call::root().join(crate::kernels::REPORT)).expect("the report");
        let table: Vec<&str> = report.lines().take_while(|line| !line.starts_with("## ")).collect();
        for kernel in all().expect("the list") {
            let line = table.iter().find(|line| line.starts_with(&format!("| {} (", kernel.name)));
            let holds = line.is_some_and(|line| line.contains("| holds |") && !line.contains("without"));
            assert!(holds, "cargo xtask kernels --write: {line:?}");
        }
        assert!(!table.iter().any(|line| line.contains("**")), "{table:?}");
    }

    #[test]
    fn the_newest_build_is_taken_by_its_numbers() {
        let names = [
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64",
            "linux-image-5.10.0-0.deb10.99-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64-dbg",
            "linux-image-5.10.0-47-cloud-amd64-unsigned",
        ];
        let newest = newest(&["linux-image-5.10.0-*-cloud-amd64".to_owned()], &names);
        assert_eq!(newest, Some(vec!["linux-image-5.10.0-46-cloud-amd64".to_owned()]));
    }

    #[test]
    fn a_version_without_modules_is_not_taken() {
        let patterns = ["binary-7.2.*-x".to_owned(), "modules-7.2.*-x".to_owned()];
        let names = ["binary-7.2.9+deb13-x", "modules-7.2.9+deb13-x", "binary-7.2.12+deb13-x"];
        let wanted = vec!["binary-7.2.9+deb13-x".to_owned(), "modules-7.2.9+deb13-x".to_owned()];
        assert_eq!(newest(&patterns, &names), Some(wanted));
        assert_eq!(newest(&patterns, &["binary-7.2.9-x"]), None);
        assert_eq!(
            newest(&["user-mode-linux".to_owned()], &["user-mode-linux"]),
            Some(vec!["user-mode-linux".to_owned()])
        );
    }
}
