//! A page about what a tool of others gets wrong: a script that needs none of our code, what it prints, and what it should print.
//!
//! *Holds*: a page whose tool was mended fails, so that it is taken back. *Never*: the script runs anywhere but apart from everything, in
//! an empty directory in memory. `cargo xtask findings` runs them; CONTRIBUTING.md tells how one is written.

use std::fs;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use layerlab_scenarios::pages;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::alone::Alone;
use crate::version;

/// What may be said of a finding.
const KINDS: [&str; 3] = ["bug", DOCUMENTED, "undocumented choice"];
const DOCUMENTED: &str = "documented limit";
/// How whoever reads a page runs its script, so that no mount and no daemon of it outlives it.
const BY_HAND: &str = "`unshare --mount --pid --fork --kill-child --mount-proc sh -eu SCRIPT`";
/// A script that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// One page.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// The file's name without its end.
    pub name: String,
    /// What the tool does, in a line.
    pub title: String,
    /// The tool, and the version that was seen to do it.
    pub tool: String,
    /// One of [`KINDS`].
    pub kind: String,
    /// Who promises otherwise.
    pub promised: String,
    /// Where the tool's own people speak of it, or what was searched for in vain.
    pub known: String,
    /// Programs without which the script cannot run.
    pub needs: Vec<String>,
    /// The laws, situations and promises that it is about.
    pub behaviours: Vec<String>,
    /// The subjects of which that is so.
    pub subjects: Vec<String>,
    /// For `sh -eu`.
    pub script: String,
    /// What it prints.
    pub seen: String,
    /// What it should print.
    pub expected: String,
}

/// What comes of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "said", rename_all = "kebab-case")]
pub enum Outcome {
    /// The tool does what the page tells.
    AsTold,
    /// The tool does what it should.
    Mended,
    /// Neither.
    Otherwise(String),
    /// The host cannot run it: why.
    Unasked(String),
    /// The page tells of another version than this one, which does not do so.
    OtherVersion(String),
    /// It did not end.
    NoAnswer,
}

impl Outcome {
    /// Whether the page has to be looked at.
    pub fn is_failure(&self) -> bool {
        matches!(self, Outcome::Mended | Outcome::Otherwise(_) | Outcome::NoAnswer)
    }
}

/// What came of a page on a machine, as results have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The page's name.
    pub finding: String,
    /// The kernel's release.
    pub kernel: String,
    /// What came.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Every finding, by name.
///
/// # Errors
/// When one cannot be read or understood, which names it.
pub fn all() -> anyhow::Result<Vec<Finding>> {
    let directory = pages::findings();
    let entries = match fs::read_dir(&directory) {
        // They stay with the checkout that this was built from.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths.iter().map(|path| Finding::read(path).with_context(|| path.display().to_string())).collect()
}

impl Finding {
    fn read(path: &Path) -> anyhow::Result<Finding> {
        let mut finding = Finding::parse(&fs::read_to_string(path)?)?;
        finding.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(finding)
    }

    fn parse(text: &str) -> anyhow::Result<Finding> {
        let mut finding = Finding::default();
        let mut blocks: Vec<(String, String)> = Vec::new();
        let (mut is_front, mut is_title, mut is_block) = (false, false, false);
        for event in Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS) {
            match event {
                Event::Start(Tag::MetadataBlock(_)) => is_front = true,
                Event::End(TagEnd::MetadataBlock(_)) => is_front = false,
                Event::Start(Tag::Heading { level, .. }) => is_title = level == HeadingLevel::H1,
                Event::End(TagEnd::Heading(_)) => is_title = false,
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    is_block = true;
                    blocks.push((info.trim().to_owned(), String::new()));
                }
                Event::End(TagEnd::CodeBlock) => is_block = false,
                Event::Text(words) if is_front => words.lines().try_for_each(|line| finding.take(line))?,
                Event::Text(words) | Event::Code(words) if is_title => finding.title += &words,
                Event::Text(words) if is_block => {
                    if let Some((_, block)) = blocks.last_mut() {
                        *block += &words;
                    }
                }
                _ => {}
            }
        }
        let kinds: Vec<&str> = blocks.iter().map(|(info, _)| info.as_str()).collect();
        ensure!(
            kinds == ["sh", "text", "text"],
            "a finding has three blocks, a ```sh and two ```text: what it prints, and what it should print; here are {kinds:?}"
        );
        [finding.script, finding.seen, finding.expected] = [0, 1, 2].map(|at: usize| std::mem::take(&mut blocks[at].1));
        let said = [
            ("a title", &finding.title),
            ("tool", &finding.tool),
            ("kind", &finding.kind),
            ("promised", &finding.promised),
            ("known", &finding.known),
        ];
        if let Some((what, _)) = said.iter().find(|(_, value)| value.is_empty()) {
            bail!("a finding needs {what}");
        }
        ensure!(
            KINDS.contains(&finding.kind.as_str()),
            "the kind is one of {}, not '{}'",
            KINDS.join(", "),
            finding.kind
        );
        ensure!(text.contains(BY_HAND), "a finding tells how its script is run by hand: {BY_HAND}");
        ensure!(finding.seen != finding.expected, "it prints what it should print");
        Ok(finding)
    }

    /// Takes in one line of the front matter.
    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let (key, value) = line.split_once(':').with_context(|| format!("'{line}' is no `key: value`"))?;
        let value = value.trim().to_owned();
        match key.trim() {
            "tool" => self.tool = value,
            "kind" => self.kind = value,
            "promised" => self.promised = value,
            "known" => self.known = value,
            "needs" => self.needs = words(&value),
            "behaviours" => self.behaviours = words(&value),
            "subjects" => self.subjects = words(&value),
            other => bail!("a finding says tool, kind, promised, known, needs, behaviours and subjects, not '{other}'"),
        }
        Ok(())
    }

    /// Whether whoever makes the tool says so.
    pub fn is_documented(&self) -> bool {
        self.kind == DOCUMENTED
    }

    /// The tool's name, without its version.
    pub fn tool_name(&self) -> &str {
        self.tool.split(' ').next().unwrap_or_default()
    }

    /// Runs the script.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&self, alone: &Alone) -> anyhow::Result<Outcome> {
        if let Some(missing) = self.needs.iter().find(|program| !is_there(program)) {
            return Ok(Outcome::Unasked(format!("this host has no {missing}")));
        }
        let printed = alone.in_memory(|directory| self.printed(alone, directory)).context("cannot mount a tmpfs")??;
        let Some(printed) = printed else { return Ok(Outcome::NoAnswer) };
        Ok(match printed {
            printed if printed == self.seen => Outcome::AsTold,
            _ if let Some(version) = self.other_version() => Outcome::OtherVersion(version),
            printed if printed == self.expected => Outcome::Mended,
            printed => Outcome::Otherwise(printed),
        })
    }

    /// The version that is here, where the page does not name it; none where that cannot be known.
    fn other_version(&self) -> Option<String> {
        let version = match self.tool_name() {
            "linux" => fs::read_to_string("/proc/sys/kernel/osrelease").ok()?,
            name => version::of_package(name)?,
        };
        let version = version.trim();
        (!self.names(version)).then(|| version.to_owned())
    }

    /// Whether `version` of the tool was seen to do it.
    fn names(&self, version: &str) -> bool {
        let number = version.split(['-', ' ']).next().unwrap_or(version);
        self.tool.contains(version) || self.tool_name() == "linux" && self.tool.ends_with(number)
    }

    /// Whether it tells of this behaviour of a subject that is of `versions` ([`version::of`]) on `kernel`.
    pub fn is_about(&self, behaviour: &str, subject: &str, versions: Option<&str>, kernel: &str) -> bool {
        let mut versions = versions.unwrap_or_default().split(", ").filter_map(|one| one.split_once(' '));
        let version = match self.tool_name() {
            "linux" => Some(kernel),
            tool => versions.find(|(name, _)| *name == tool).map(|(_, version)| version),
        };
        let has = |all: &[String], one: &str| all.iter().any(|other| other == one);
        has(&self.behaviours, behaviour) && has(&self.subjects, subject) && version.is_some_and(|one| self.names(one))
    }

    /// What it prints; none where it does not end.
    fn printed(&self, alone: &Alone, directory: &Path) -> anyhow::Result<Option<String>> {
        let mut output = tempfile::tempfile().context("cannot make a file for what a script prints")?;
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &self.script]).current_dir(directory);
        // Settings of the host's would have the last word.
        let path = std::env::var_os("PATH").unwrap_or_default();
        shell.env_clear().env("PATH", path).env("HOME", directory).env("TMPDIR", directory).env("LC_ALL", "C");
        rustix::process::umask(Mode::from_raw_mode(0o022));
        shell.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
        alone.with_mounts_of_its_own(&mut shell);
        let shell = Pid::from_raw(shell.spawn().context("cannot run sh")?.id().cast_signed());
        let has_ended = ends(shell)?;
        // Nothing that it began outlives it.
        alone.end_others().context("cannot end what a script began")?;
        has_ended.then(|| text_of(&mut output)).transpose()
    }
}

/// Whether the process `shell` ends in time. This is the first process of its namespace, to which those come that have lost their parent: they are buried, too.
fn ends(shell: Pid) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        match waitpid(None, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(20)),
            status if status.pid() == Some(shell) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

fn text_of(output: &mut File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands between commas.
fn words(text: &str) -> Vec<String> {
    text.split(',').map(|word| word.trim().to_owned()).collect()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|place| place.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "---\ntool: true 1.0\nkind: bug\npromised: true(1)\nknown: to nobody\nneeds: true, sh\n---\n\n# `true` says no\n\nWhy.\n\nBy hand: `unshare --mount --pid --fork --kill-child --mount-proc sh -eu SCRIPT`\n\n```sh\ntrue\n```\n\nIt prints:\n\n```text\nno\n```\n\nand not:\n\n```text\nyes\n```\n";

    #[test]
    fn a_page_is_its_front_its_title_and_three_blocks() {
        let finding = Finding::parse(PAGE).unwrap();
        assert_eq!((finding.title.as_str(), finding.tool_name()), ("true says no", "true"));
        assert_eq!(
            (finding.script.as_str(), finding.seen.as_str(), finding.expected.as_str()),
            ("true\n", "no\n", "yes\n")
        );
        assert_eq!(finding.needs, ["true", "sh"]);
    }

    #[test]
    fn a_page_is_about_what_it_names_in_the_version_it_names() {
        let page = PAGE.replace("needs:", "behaviours: a-law, a_promise\nsubjects: true-one\nneeds:");
        let finding = Finding::parse(&page).unwrap();
        let is_about = |law, subject, version| finding.is_about(law, subject, version, "6.1");
        assert!(is_about("a_promise", "true-one", Some("other 2, true 1.0")));
        assert!(!is_about("a_promise", "true-one", Some("true 1.1")) && !is_about("a_promise", "true-one", None));
        assert!(!is_about("other", "true-one", Some("true 1.0")) && !is_about("a-law", "two", Some("true 1.0")));
        let of_kernel = Finding::parse(&page.replace("tool: true 1.0", "tool: linux 6.1.2")).unwrap();
        assert!(of_kernel.is_about("a-law", "true-one", None, "6.1.2-cloud-amd64"));
        assert!(!of_kernel.is_about("a-law", "true-one", None, "6.1.3"));
    }

    #[test]
    fn what_a_page_lacks_is_named() {
        let complaint = |page: &str| Finding::parse(page).unwrap_err().to_string();
        assert!(complaint(&PAGE.replace("kind: bug\n", "")).contains("needs kind"));
        assert!(complaint(&PAGE.replace("bug", "feature")).contains("not 'feature'"));
        assert!(complaint(&PAGE.replace("tool:", "tools:")).contains("not 'tools'"));
        assert!(complaint(&PAGE.replace("unshare", "run")).contains("run by hand: `unshare --mount"));
        assert!(complaint(&PAGE.replace("```sh", "```bash")).contains("three blocks"));
        assert!(complaint(&PAGE.replace("yes", "no")).contains("what it should print"));
    }
}
