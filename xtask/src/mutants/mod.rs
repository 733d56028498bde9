//! `cargo xtask mutants`: changes one place of the engine at a time, and asks whether the laws see it.
//!
//! *Why*: seeded bugs are those that somebody thought of. *Holds*: cargo-mutants changes a copy of the tree below the target directory, and what is
//! asked of each change is `scenarios/bugs/tests/unseeded.rs`: laws, promises of drivers and laws of stores, none of the engine's own tests.
//! What was asked before is kept there, too, so that parts add up. *Never*: the tree itself; a survivor that counts as explained by
//! anything but a line of `scenarios/bugs/mutants.toml`. *Proved by*: the tests below, one of which compares `snapshots/mutants.md` with that file.

mod explained;
mod report;
mod survey;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::{Verb, call};
use explained::Explained;
use survey::Survey;

pub const VERB: Verb = Verb {
    name: "mutants",
    summary: "change one place of the engine's layers, drivers and store at a time, as root, and write who sees it: [--shard K/N] | --again [WORD] | --report",
    run,
};

/// What came of it, below the root of the workspace.
const REPORT: &str = "snapshots/mutants.md";
/// Why some are not seen, below the root of the workspace.
const EXPLAINED: &str = "scenarios/bugs/mutants.toml";
/// What is changed.
const FILES: [&str; 3] = ["engine/src/layer/**", "engine/src/driver/**", "engine/src/store/**"];
/// So many cases of random steps are drawn on `overlay2`, and a part of them on other drivers.
const CASES: &str = "24";
/// Who is asked whether they see it.
const TEST: &str = "--test=unseeded";
/// How long that may take for a mutant, and how many times as long as without one, whichever is longer.
const LIMIT_MIN: Duration = Duration::from_secs(60);
const TIMES_AS_LONG: u32 = 5;
/// What no copy needs of the root of the workspace.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// What is asked for.
enum Order {
    /// All that can be changed, or of `n` parts the one of this number, counted from 0.
    Part(Option<String>),
    /// Those that were not seen the last time, or did not end (a busy machine is slow), and have this in their name.
    Again(String),
    /// Only the report.
    Report,
}

fn order(arguments: &[String]) -> anyhow::Result<Order> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Ok(match words[..] {
        [] => Order::Part(None),
        ["--shard", part] => Order::Part(Some(part.to_owned())),
        ["--again"] => Order::Again(String::new()),
        ["--again", word] => Order::Again(word.to_owned()),
        ["--report"] => Order::Report,
        _ => bail!("what is meant by {arguments:?}? mutants takes --shard K/N, --again [WORD] or --report"),
    })
}

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let order = order(arguments)?;
    let place = Place::beside_programs()?;
    let explained = Explained::read(&call::root().join(EXPLAINED))?;
    let mut survey = Survey::read(&place.survey())?;
    if !matches!(order, Order::Report) {
        ensure!(fs::metadata("/proc/self")?.uid() == 0, "mounts that only root can make are asked: start it as root");
        let tool = tool()?;
        copy_tree(&call::root(), &place.tree(), &LEFT_OUT)?;
        let all = place.listed(&FILES)?;
        let mut files: Vec<String> = FILES.map(str::to_owned).to_vec();
        let mut chosen = Vec::new();
        let (part, again) = match &order {
            Order::Part(part) => (Some(part.clone().unwrap_or_else(|| "0/1".to_owned())), Vec::new()),
            Order::Again(word) => {
                let left = || survey.not_killed().filter(|mutant| mutant.name().contains(word));
                ensure!(left().count() > 0, "none was left that is called so: nothing to ask again");
                // The expressions do not keep back those of fields (cargo-mutants 27): in other files nothing is to be asked.
                files = left().map(|mutant| mutant.file.clone()).collect();
                files.dedup();
                (None, left().map(|mutant| format!("^{}$", escaped(&mutant.name()))).collect())
            }
            Order::Report => (None, Vec::new()),
        };
        chosen.extend(part.iter().flat_map(|part| ["--sharding", "round-robin", "--shard", part]));
        chosen.extend(again.iter().flat_map(|name| ["--re", name]));
        place.ask(&files, &chosen)?;
        survey.add(all, &tool, part, survey::outcomes(&place.out().join("mutants.out"))?, place.skips()?);
        survey.write(&place.survey())?;
    }
    ensure!(!survey.mutants.is_empty(), "nothing was asked yet: cargo xtask mutants [--shard K/N]");
    fs::write(call::root().join(REPORT), report::page(&survey, &explained))
        .with_context(|| format!("cannot write {REPORT}"))?;
    println!("{REPORT}");
    let unexplained = survey.survivors().filter(|mutant| explained.why(mutant).is_none()).count();
    if unexplained > 0 {
        eprintln!("{unexplained} are not seen, and nobody says why: a better law, or a line of {EXPLAINED}");
    }
    Ok(u8::from(unexplained > 0))
}

/// The name and version of cargo-mutants.
fn tool() -> anyhow::Result<String> {
    let asked = call::cargo(&["mutants", "--version"]).stdin(Stdio::null()).output().context("cannot run cargo")?;
    ensure!(asked.status.success(), "cargo-mutants is not here: cargo install cargo-mutants");
    Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

/// Where the copy, what is built of it, and what came of it lie.
struct Place(PathBuf);

impl Place {
    /// In the target directory: it stays, so that the next run has less to build.
    fn beside_programs() -> anyhow::Result<Place> {
        let program = call::built("mutants")?;
        let target = program.ancestors().nth(2).context("cannot tell where cargo puts programs")?;
        Ok(Place(target.join("mutants")))
    }

    fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }

    fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    fn survey(&self) -> PathBuf {
        self.0.join("survey.json")
    }

    fn skipped(&self) -> PathBuf {
        self.0.join("skipped")
    }

    fn cargo_mutants(&self, files: &[impl AsRef<OsStr>]) -> Command {
        let mut mutants = call::cargo(&["mutants", "--no-shuffle", "--colors", "never", "--dir"]);
        mutants.arg(self.tree());
        for files in files {
            mutants.arg("--file").arg(files);
        }
        mutants
    }

    /// The names of all in these files.
    fn listed(&self, files: &[&str]) -> anyhow::Result<Vec<String>> {
        let said = self.cargo_mutants(files).arg("--list").output().context("cannot run cargo")?;
        ensure!(said.status.success(), "cargo mutants --list: {}", String::from_utf8_lossy(&said.stderr));
        Ok(String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect())
    }

    /// Whether nobody sees anything in the copy as it is; how long that took, when it was built.
    fn ask_of_the_engine_as_it_is(&self) -> anyhow::Result<Duration> {
        File::create(self.skipped()).context("cannot make a file for skips")?;
        let test = ["test", "--quiet", "--package", "layerlab-bugs", TEST];
        call::succeed(self.built_apart(&mut call::cargo(&test)).arg("--no-run").current_dir(self.tree()))?;
        let began = Instant::now();
        let status = call::status(self.built_apart(&mut call::cargo(&test)).current_dir(self.tree()))?;
        ensure!(status == 0, "something is seen in the engine as it is: no change to it says anything");
        Ok(began.elapsed())
    }

    /// Asks of each of those in `files` that are `chosen` by these options whether anybody sees it.
    fn ask(&self, files: &[String], chosen: &[&str]) -> anyhow::Result<()> {
        let took = self.ask_of_the_engine_as_it_is()?;
        fs::create_dir_all(self.out()).with_context(|| format!("cannot make {}", self.out().display()))?;
        let mut mutants = self.cargo_mutants(files);
        mutants.arg("--in-place").args(chosen).arg("--output").arg(self.out());
        mutants.args(["--test-package", "layerlab-bugs", &format!("--cargo-arg={TEST}"), "--baseline", "skip"]);
        mutants.arg("--timeout").arg((LIMIT_MIN.max(took * TIMES_AS_LONG)).as_secs().to_string());
        match call::status(self.built_apart(&mut mutants))? {
            // All are seen, some are not, some do not end (https://mutants.rs/exit-codes.html).
            0 | 2 | 3 => Ok(()),
            code => bail!("cargo mutants ended with status {code}: {}", self.out().display()),
        }
    }

    /// What is built is the copy's own, and what is asked is the same each time.
    fn built_apart<'a>(&self, cargo: &'a mut Command) -> &'a mut Command {
        cargo.env("CARGO_TARGET_DIR", self.0.join("build")).env("CARGO_INCREMENTAL", "1");
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("LAYERLAB_CASES", CASES);
        cargo.env("LAYERLAB_REQUIRE", "root").env("LAYERLAB_SKIPS", self.skipped())
    }

    /// What could not be asked on this machine.
    fn skips(&self) -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(self.skipped()).context("cannot read the file of skips")?;
        let mut skips: Vec<String> = text.lines().map(str::to_owned).collect();
        skips.sort();
        skips.dedup();
        Ok(skips)
    }
}

/// A regular expression that is this text.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Makes `to` a copy. A file that is the same stays as it is, so that cargo builds what was changed, by whomever, and nothing else.
fn copy_tree(from: &Path, to: &Path, left_out: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let names = |directory: &Path| -> anyhow::Result<BTreeSet<OsString>> {
        let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        Ok(names.collect::<Result<BTreeSet<_>, _>>()?)
    };
    let mut wanted = names(from)?;
    wanted.retain(|name| left_out.iter().all(|left_out| name != left_out));
    for gone in names(to)?.difference(&wanted).map(|name| to.join(name)) {
        let removed = if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) };
        removed.with_context(|| format!("cannot remove {}", gone.display()))?;
    }
    for (from, to) in wanted.iter().map(|name| (from.join(name), to.join(name))) {
        if from.is_dir() {
            copy_tree(&from, &to, &[])?;
        } else if fs::read(&to).ok() != Some(fs::read(&from)?) {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::survey::Came;
    use super::*;

    /// As cargo-mutants 27 writes it, but for what is not read.
    const OUTCOMES: &str = include_str!("outcomes.json");

    /// What came of four mutants, by what cargo-mutants wrote of them.
    fn recorded() -> Survey {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("outcomes.json"), OUTCOMES).unwrap();
        fs::create_dir(out.path().join("log")).unwrap();
        let log =
            "---- nobody_sees_anything_in_the_engine_as_it_is ----\nseen by changes-are-the-models, on vfs:\nmore\n";
        fs::write(out.path().join("log/engine__src__layer__archive.rs_line_58_col_9.log"), log).unwrap();
        let mutants = survey::outcomes(out.path()).unwrap();
        let all = mutants.iter().map(survey::Mutant::name).chain(["another".to_owned()]).collect();
        let mut survey = Survey::default();
        survey.add(all, "cargo-mutants 27.0.0", Some("0/2".to_owned()), mutants, vec!["no btrfs".to_owned()]);
        survey
    }

    fn explained(change: &str) -> Explained {
        let file = "engine/src/store/lock.rs";
        Explained::parse(&format!("[[survivor]]\nfile = '{file}'\nchange = '{change}'\nwhy = 'the same'\n")).unwrap()
    }

    #[test]
    fn what_cargo_mutants_writes_becomes_a_report() {
        let survey = recorded();
        let text = report::page(&survey, &Explained::default());
        for line in [
            "4 of 5 mutants were asked (parts 0/2): 1 seen, 1 without an end, 1 not seen, 1 do not compile. Score: 66 %.",
            "## Not seen, and not explained",
            "| `engine/src/layer/archive.rs` | 1 | 0 | 0 | 1 | 100 % |",
            "| all | 1 | 1 | 1 | 1 | 66 % |",
            "- changes-are-the-models: 1",
            "- no btrfs",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let [survivor] = &survey.survivors().collect::<Vec<_>>()[..] else { panic!("{survey:?}") };
        assert!(
            text.contains(&format!("- `{}:{}` `` {} ``\n", survivor.file, survivor.line, survivor.change)),
            "{text}"
        );
        let text = report::page(&survey, &explained(&survivor.change));
        assert!(text.contains(&format!(" `` {} ``: the same\n", survivor.change)), "{text}");
        assert!(!text.contains("not explained"), "{text}");
    }

    #[test]
    fn parts_add_up_while_the_engine_is_the_same() {
        let mut survey = recorded();
        let mut again = survey.mutants.clone();
        again.retain(|mutant| mutant.came == Came::Survived);
        again[0].came = Came::Killed(None);
        survey.add(survey.all.clone(), "cargo-mutants 27.0.0", None, again.clone(), Vec::new());
        assert_eq!(
            (survey.mutants.len(), survey.survivors().count(), &survey.parts[..]),
            (4, 0, &["0/2".to_owned()][..])
        );
        survey.add(Vec::new(), "cargo-mutants 27.0.0", Some("1/2".to_owned()), again, Vec::new());
        assert_eq!((survey.mutants.len(), &survey.parts[..]), (1, &["1/2".to_owned()][..]));
    }

    #[test]
    fn an_explanation_says_something_and_once() {
        let one = "[[survivor]]\nfile = 'a'\nchange = 'b'\nwhy = 'c'\n";
        assert!(Explained::parse(one).is_ok());
        assert!(Explained::parse(&one.repeat(2)).unwrap_err().to_string().contains("twice"));
        assert!(Explained::parse(&one.replace("'c'", "' '")).unwrap_err().to_string().contains("say why"));
        assert!(Explained::parse(&one.replace("why", "because")).is_err());
        assert!(Explained::read(&call::root().join(EXPLAINED)).is_ok());
    }

    #[test]
    fn the_report_says_why_nobody_sees_what_nobody_sees() {
        let explained = Explained::read(&call::root().join(EXPLAINED)).unwrap();
        let written = fs::read_to_string(call::root().join(REPORT)).unwrap();
        assert!(!written.contains("not explained"), "a better law, or a line of {EXPLAINED}");
        for survivor in &explained.survivor {
            let is_told = written.lines().any(|line| survivor.is_told_in(line));
            assert!(is_told, "{}: {}: cargo xtask mutants --report", survivor.file, survivor.change);
        }
        let told = written.lines().filter(|line| line.starts_with("- `engine/"));
        let mut unknown = told.filter(|line| !explained.survivor.iter().any(|survivor| survivor.is_told_in(line)));
        assert_eq!(unknown.next(), None, "{EXPLAINED} says another thing, or nothing");
    }

    #[test]
    fn a_name_is_asked_about_again_as_it_is() {
        assert_eq!(escaped("a.rs:1:2: replace && with > in X<'a>"), r"a\.rs:1:2: replace \&\& with > in X<'a>");
    }

    #[test]
    fn a_copy_is_what_the_tree_is_now_and_only_what_differs_is_written() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        for directory in ["from/src/target", "from/target", "to/src/target", "to/old"] {
            fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        for (file, text) in [
            ("from/same", "a"),
            ("to/same", "a"),
            ("from/src/target/changed", "b"),
            ("to/src/target/changed", "mutant"),
        ] {
            fs::write(place.path().join(file), text).unwrap();
        }
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for file in ["same", "src/target/changed"] {
            File::options().write(true).open(to.join(file)).unwrap().set_modified(time).unwrap();
        }
        copy_tree(&from, &to, &LEFT_OUT).unwrap();
        let modified = |file| fs::metadata(to.join(file)).unwrap().modified().unwrap();
        assert_eq!(fs::read_to_string(to.join("src/target/changed")).unwrap(), "b");
        assert!(modified("same") == time && modified("src/target/changed") > time);
        assert!(!to.join("target").exists() && !to.join("old").exists());
    }
}
