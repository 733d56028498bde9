//! The command `layerlab-report`: puts together what `layerlab-laws --results` wrote on many machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use layerlab_properties::finding;
use layerlab_properties::report::{Report, Told, html, junit, markdown};
use layerlab_properties::results;
use layerlab_properties::status::{CANNOT, FAILED, SKIPPED};

#[derive(Parser)]
#[command(name = "layerlab-report", about = "Puts together what layerlab-laws --results wrote, and what findings tell")]
struct Cli {
    /// Files of results; none gives the findings alone
    results: Vec<PathBuf>,
    /// Write it as Markdown to this file; to the standard output when nothing is asked for
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write it as one HTML page to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write it as JUnit's XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write it as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let status = run(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("layerlab-report: {error:#}");
        CANNOT
    });
    ExitCode::from(status)
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let found = results::read(&cli.results)?;
    let report = Report::of(&found.lines, &finding::all()?, &found.seen);
    let write = |path: &Option<PathBuf>, tell: &dyn Fn() -> anyhow::Result<String>| match path {
        Some(path) => write(path, &tell()?),
        None => Ok(()),
    };
    write(&cli.markdown, &|| Ok(markdown::of(&report)))?;
    write(&cli.html, &|| Ok(html::of(&report)?))?;
    write(&cli.junit, &|| junit::of(&report))?;
    write(&cli.json, &|| Ok(serde_json::to_string_pretty(&report)? + "\n"))?;
    if [&cli.markdown, &cli.html, &cli.junit, &cli.json].into_iter().all(Option::is_none) {
        print!("{}", markdown::of(&report));
    }
    report.missing.iter().for_each(|part| eprintln!("layerlab-report: missing: {part}"));
    let is_seen = report.findings.iter().any(|finding| !finding.seen.is_empty());
    Ok(match () {
        () if report.has_failed() => FAILED,
        () if !report.missing.is_empty() => CANNOT,
        () if cli.results.is_empty() || is_seen || report.count(Told::Holds) > 0 => 0,
        () => SKIPPED,
    })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
