//! `cargo xtask contract`: what every storage driver promises, asked of each on each file system, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "contract",
    summary: "ask each storage driver on each file system for what every driver promises, and write the table of it",
    run,
};

/// The table, below the root of the workspace.
const TABLE: &str = "snapshots/contract.md";

/// A line of libtest's JSON.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    event: String,
    #[serde(default)]
    name: String,
}

/// What came of a promise, by driver and file system.
type Outcomes = BTreeMap<String, BTreeMap<(String, String), bool>>;

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    ensure!(arguments.is_empty(), "what is meant by {arguments:?}? contract takes nothing");
    let mut cargo = call::cargo(&["test", "--quiet", "--package", "layerlab-engine", "--test", "contract", "--"]);
    let output = cargo.args(["--format", "json"]).stdin(Stdio::null()).output().context("cannot run cargo")?;
    let (said, skips) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let outcomes = read(&said)?;
    if outcomes.is_empty() {
        bail!("nothing was asked:\n{skips}");
    }
    let skipped: BTreeSet<&str> = skips.lines().filter_map(|line| line.strip_prefix("skipped: ")).collect();
    let declared =
        skips.lines().filter_map(|line| line.strip_prefix("declared: ")).map(declared).collect::<Result<_, _>>()?;
    fs::write(call::root().join(TABLE), table(&outcomes, &declared, &skipped))
        .with_context(|| format!("cannot write {TABLE}"))?;
    println!("{TABLE}");
    let broken = outcomes.values().flat_map(BTreeMap::values).filter(|holds| !**holds).count();
    if broken > 0 {
        eprintln!("{broken} promises are broken: cargo test -p layerlab-engine --test contract");
    }
    Ok(u8::from(broken > 0))
}

fn read(said: &str) -> anyhow::Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let line: Line = serde_json::from_str(line).with_context(|| format!("cannot understand {line}"))?;
        if line.kind != "test" || line.event == "started" {
            continue;
        }
        let named = line.name.split_once(": ").and_then(|(place, promise)| Some((place.split_once(" on ")?, promise)));
        let ((driver, backing), promise) = named.with_context(|| format!("no promise of a driver: {}", line.name))?;
        let place = (driver.to_owned(), backing.to_owned());
        outcomes.entry(promise.replace('_', " ")).or_default().insert(place, line.event == "ok");
    }
    Ok(outcomes)
}

/// What was not asked since the driver has nothing to judge: promise, driver, and why.
type Declared<'a> = BTreeMap<(String, &'a str), &'a str>;

fn declared(line: &str) -> anyhow::Result<((String, &str), &str)> {
    let parts: Vec<&str> = line.splitn(3, ": ").collect();
    let [place, promise, why] = parts[..] else { bail!("what is declared by {line:?}?") };
    let (driver, _) = place.split_once(" on ").with_context(|| format!("no driver: {line}"))?;
    Ok(((promise.replace('_', " "), driver), why))
}

fn table(outcomes: &Outcomes, declared: &Declared<'_>, skipped: &BTreeSet<&str>) -> String {
    let mut text = String::from(
        "# What every storage driver promises\n\n\
         Written by `cargo xtask contract`: each promise stands once in `scenarios/properties/src/contract/promises.rs`. A cell names the file\n\
         systems on which it was asked and holds, or says why there is nothing to ask.\n\n",
    );
    let drivers: BTreeSet<&str> = places(outcomes).map(|(driver, _)| driver.as_str()).collect();
    let _ = writeln!(text, "| promise | {} |", drivers.iter().copied().collect::<Vec<_>>().join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(drivers.len()));
    for (promise, places) in outcomes {
        let _ = write!(text, "| {promise} |");
        for driver in &drivers {
            if let Some(why) = declared.get(&(promise.clone(), *driver)) {
                let _ = write!(text, " *{why}* |");
                continue;
            }
            let of = places.iter().filter(|((of, _), _)| of == driver);
            let (holds, broken): (Vec<_>, Vec<_>) = of.partition(|(_, holds)| **holds);
            let named = |places: Vec<(&(String, String), &bool)>| {
                places.iter().map(|((_, backing), _)| backing.as_str()).collect::<Vec<_>>().join(", ")
            };
            let broken = if broken.is_empty() { String::new() } else { format!("; BROKEN on {}", named(broken)) };
            let _ = write!(text, " {}{broken} |", named(holds));
        }
        text.push('\n');
    }
    if !skipped.is_empty() {
        text += "\nNot asked:\n\n";
        for why in skipped {
            let _ = writeln!(text, "- {why}");
        }
    }
    text
}

fn places(outcomes: &Outcomes) -> impl Iterator<Item = &(String, String)> {
    outcomes.values().flat_map(BTreeMap::keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_stands_out() {
        let said = "\n{\"type\":\"suite\",\"event\":\"started\",\"test_count\":2}\n\
            {\"type\":\"test\",\"event\":\"started\",\"name\":\"vfs on tmpfs: it_holds\"}\n\
            {\"type\":\"test\",\"name\":\"vfs on tmpfs: it_holds\",\"event\":\"ok\"}\n\
            {\"type\":\"test\",\"name\":\"vfs on xfs: it_holds\",\"event\":\"failed\"}\n";
        let outcomes = read(said).unwrap();
        let declared = Declared::from([declared("btrfs on tmpfs: it_holds: it has none: not one").unwrap()]);
        let outcomes = Outcomes::from_iter(outcomes.into_iter().map(|(promise, mut places)| {
            places.insert(("btrfs".into(), "btrfs".into()), true);
            (promise, places)
        }));
        let text = table(&outcomes, &declared, &BTreeSet::from(["the contract on ext4: no mkfs.ext4"]));
        let expected =
            "| promise | btrfs | vfs |\n|---|---|---|\n| it holds | *it has none: not one* | tmpfs; BROKEN on xfs |\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.ends_with("\nNot asked:\n\n- the contract on ext4: no mkfs.ext4\n"), "{text}");
    }
}
