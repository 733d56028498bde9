//! What the pages of findings tell of released tools is so, as far as this host has them; a tool that was mended is told.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::process::Command;

use layerlab_properties::deviations;
use layerlab_properties::finding::{self, Finding};
use layerlab_properties::subjects::program::foreigners;
use layerlab_properties::table;
use layerlab_scenarios::skip::{leave_out, skip};

#[test]
fn every_finding_is_as_its_page_tells() {
    let findings = finding::all().unwrap();
    if !rustix::process::geteuid().is_root() {
        return skip("root", "what shows findings mounts");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_layerlab-findings")).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    for finding in &findings {
        let said = said.get(finding.name.as_str()).unwrap_or_else(|| panic!("{} was not run: {text}", finding.name));
        if let Some(reason) = said.strip_prefix("skipped: ") {
            let wanting = match finding.tool_name() {
                "linux" => "overlay",
                "docker.io" => "docker",
                name => name,
            };
            skip(wanting, reason);
            continue;
        }
        if said.starts_with("not so with ") {
            leave_out(&format!("{}: {said}", finding.name));
            continue;
        }
        assert_eq!(*said, "does so still", "{}: {text}", finding.name);
    }
}

#[test]
fn what_a_page_is_about_is_there() {
    let of_tables = table::names();
    let behaviours = of_tables.iter().flat_map(|(laws, _)| laws.clone()).chain(deviations::names());
    let behaviours: Vec<String> = behaviours.collect();
    let subjects = of_tables.iter().flat_map(|(_, subjects)| subjects.clone());
    let subjects: Vec<String> = subjects.chain(foreigners().map(str::to_owned)).collect();
    let findings = finding::all().unwrap();
    for Finding { name, behaviours: about, subjects: of, .. } in &findings {
        assert_eq!(about.is_empty(), of.is_empty(), "{name}: behaviours and subjects belong together");
        assert!(about.iter().all(|behaviour| behaviours.contains(behaviour)), "{name}: {about:?}");
        assert!(of.iter().all(|subject| subjects.contains(subject)), "{name}: {of:?}");
    }
    assert!(findings.iter().any(|finding| !finding.behaviours.is_empty()));
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_run() {
    let output = Command::new(env!("CARGO_BIN_EXE_layerlab-findings")).arg("nothing-of-that-name").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there is no finding nothing-of-that-name; --list has them")
    );
}
