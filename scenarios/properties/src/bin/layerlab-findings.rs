//! The command `layerlab-findings`: what tools of others get wrong, shown by the scripts of their pages.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use layerlab_engine::sys::namespace;
use layerlab_properties::alone::{Alone, alone};
use layerlab_properties::finding::{self, Finding, Outcome, Seen};
use layerlab_properties::results;
use layerlab_properties::status::{CANNOT, FAILED, SKIPPED};

#[derive(Parser)]
#[command(name = "layerlab-findings", about = "Runs the scripts of findings, as root, apart from everything")]
struct Cli {
    /// Which; all when none is given
    names: Vec<String>,
    /// Tell of each what its page says, and run nothing
    #[arg(long)]
    list: bool,
    /// Add what came of each to this file, a line of JSON each, for `layerlab-report`
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

fn main() -> ExitCode {
    let status = run(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("layerlab-findings: {error:#}");
        CANNOT
    });
    ExitCode::from(status)
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let mut findings = finding::all()?;
    for name in &cli.names {
        let is_there = findings.iter().any(|finding| finding.name == *name);
        ensure!(is_there, "there is no finding {name}; --list has them");
    }
    findings.retain(|finding| cli.names.is_empty() || cli.names.contains(&finding.name));
    if cli.list {
        for Finding { name, title, tool, kind, promised, known, .. } in &findings {
            println!("{name}\n  {title}\n  {kind}; seen with {tool}\n  promised: {promised}\n  known: {known}");
        }
        return Ok(0);
    }
    if !rustix::process::geteuid().is_root() || namespace::is_user_namespace() {
        println!("skipped: only root of the machine can run what mounts and makes devices");
        return Ok(SKIPPED);
    }
    alone(|alone| {
        all_of(&findings, alone, cli.results.as_deref()).unwrap_or_else(|error| {
            eprintln!("layerlab-findings: {error:#}");
            CANNOT
        })
    })
}

fn all_of(findings: &[Finding], alone: &Alone, results: Option<&Path>) -> anyhow::Result<u8> {
    let (mut failed, mut unasked) = (0, 0);
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut seen = Vec::new();
    for finding in findings {
        let outcome = finding.run(alone).with_context(|| finding.name.clone())?;
        let said = match &outcome {
            Outcome::AsTold => "does so still".to_owned(),
            Outcome::Mended => format!("MENDED: {} does what it should; take the page back", finding.tool_name()),
            Outcome::Otherwise(printed) => format!("OTHERWISE, it prints:\n{printed}"),
            Outcome::Unasked(reason) => format!("skipped: {reason}"),
            Outcome::OtherVersion(version) => format!("not so with {version}"),
            Outcome::NoAnswer => "NO ANSWER: it did not end in a minute".to_owned(),
        };
        failed += usize::from(outcome.is_failure());
        unasked += usize::from(matches!(outcome, Outcome::Unasked(_) | Outcome::OtherVersion(_)));
        println!("{}: {said}", finding.name);
        seen.push(Seen { finding: finding.name.clone(), kernel: kernel.clone(), outcome });
    }
    if let Some(path) = results {
        results::add(path, &seen)?;
    }
    println!("{} findings, {failed} not as told, {unasked} skipped", findings.len());
    Ok(match (failed, unasked) {
        (0, unasked) if unasked == findings.len() => SKIPPED,
        (0, _) => 0,
        _ => FAILED,
    })
}
