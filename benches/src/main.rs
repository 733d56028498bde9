//! `layerlab-bench`: measures what container storage costs, and tells of it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use layerlab_benches::bed::{Bed, Scale, within};
use layerlab_benches::compare::{Change, changes};
use layerlab_benches::counts;
use layerlab_benches::image::Image;
use layerlab_benches::measure::{Choice, measure};
use layerlab_benches::peers::KINDS;
use layerlab_benches::results::Results;
use layerlab_benches::{report, workloads};

/// Measure our engine, docker, podman, containerd, skopeo with umoci, crun and runc side by side, with the floor beside them.
#[derive(Parser)]
struct Options {
    /// Which workloads; all without one
    workload: Vec<String>,
    /// Only these peers
    #[arg(long, value_delimiter = ',')]
    peer: Option<Vec<String>>,
    /// As small as can be: whether everything works
    #[arg(long)]
    tiny: bool,
    /// How often each is done
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// List the workloads and what they ask
    #[arg(long)]
    list: bool,
    /// The directory for the image, and for what is measured
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Measure nothing: tell of what an earlier run wrote with --json
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Compare with the run that was saved under this name; where there is none, save this one
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Fail where something has become slower than the baseline by more than noise explains
    #[arg(long, requires = "baseline")]
    gate: bool,
    /// Write what was measured as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write tables in Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the short table between the two marks of this file
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
}

/// Between these lies the short table.
const MARKS: [&str; 2] = ["<!-- cargo xtask bench: from here -->\n", "<!-- cargo xtask bench: to here -->"];

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some((_, words)) = words.split_first().filter(|(word, _)| *word == counts::HELPER) {
        return match counts::helper(words) {
            Ok(status) => ExitCode::from(status.code().map_or(1, |code| code as u8)),
            Err(error) => {
                eprintln!("layerlab-bench: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    match run(&Options::parse()) {
        Ok(has_passed) => ExitCode::from(u8::from(!has_passed)),
        Err(error) => {
            eprintln!("layerlab-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all that was measured did what it should, and, where that is asked, nothing has become slower.
fn run(options: &Options) -> anyhow::Result<bool> {
    if options.list {
        for workload in &workloads::ALL {
            println!("{:<14} {}", workload.name, workload.question);
        }
        return Ok(true);
    }
    let keep = kept(options)?;
    let path = match &options.from {
        Some(path) => path.clone(),
        None => measured(options, &keep)?,
    };
    let results = Results::read(&path)?;
    let changes = compared(options, &keep, &results)?;
    for change in &changes {
        println!(
            "{:<24} {:>12} -> {:>12} {:>7} (noise {}) {}",
            change.what, change.before, change.now, change.percent, change.noise, change.word
        );
    }
    if let Some(path) = &options.json {
        results.write(path)?;
    }
    if let Some(path) = &options.markdown {
        write(path, &report::tables(&results))?;
    }
    if let Some(path) = &options.html {
        write(path, &report::page(&results, &changes)?)?;
    }
    if let Some(path) = &options.readme {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        write(
            path,
            &between_marks(&text, &report::summary(&results))
                .with_context(|| format!("{} has not the two marks", path.display()))?,
        )?;
    }
    let has_regressed = options.gate && changes.iter().any(|change| change.is_regression);
    Ok(results.failed.is_empty() && !has_regressed)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn between_marks(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))
}

/// Where images and what is measured lie: `layerlab-bench` in the target directory that holds this program.
fn kept(options: &Options) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let beside = program.ancestors().nth(2).unwrap_or(Path::new("target")).join("layerlab-bench");
    let keep = options.keep.clone().unwrap_or(beside);
    fs::create_dir_all(&keep).with_context(|| format!("cannot make {}", keep.display()))?;
    Ok(keep.canonicalize()?)
}

fn compared(options: &Options, keep: &Path, results: &Results) -> anyhow::Result<Vec<Change>> {
    let Some(name) = &options.baseline else { return Ok(Vec::new()) };
    let baselines = keep.join("baselines");
    fs::create_dir_all(&baselines)?;
    let path = baselines.join(format!("{name}.json"));
    if !path.exists() {
        ensure!(
            !options.gate,
            "there is no baseline {name}: a run with --baseline {name} and without --gate saves one"
        );
        results.write(&path)?;
        println!("saved as baseline {name}: {}", path.display());
        return Ok(Vec::new());
    }
    changes(&Results::read(&path)?, results)
}

/// The file with what was measured.
fn measured(options: &Options, keep: &Path) -> anyhow::Result<PathBuf> {
    for name in &options.workload {
        ensure!(workloads::named(name).is_some(), "there is no workload {name}: --list has them");
    }
    for name in options.peer.iter().flatten() {
        ensure!(
            KINDS.iter().any(|kind| kind.name == name),
            "there is no peer {name}: {}",
            KINDS.map(|kind| kind.name).join(", ")
        );
    }
    let chosen = |name: &str| options.workload.is_empty() || options.workload.iter().any(|wanted| wanted == name);
    let choice = Choice {
        workloads: workloads::ALL.iter().filter(|workload| chosen(workload.name)).collect(),
        peers: options.peer.clone(),
        samples: options.samples,
    };
    let scale = if options.tiny { Scale::Tiny } else { Scale::Full };
    // What has to be built is built outside, where there is a network.
    let image = Image::made(scale, keep)?;
    let path = keep.join("last.json");
    within(|place| {
        let bed = Bed::make(place, scale, image)?;
        measure(&bed, &choice, |results| results.write(&path)).map(drop)
    })?;
    Ok(path)
}
