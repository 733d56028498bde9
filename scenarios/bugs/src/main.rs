//! The command `layerlab-bugs`: looks for each bug of the catalogue with every detector, and writes who sees what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use layerlab_bugs::bug::Bug;
use layerlab_bugs::catalogue::{self, Entry};
use layerlab_bugs::hunt::{Effort, MEMORY, Until};
use layerlab_bugs::matrix::{self, Hunt, Line, Row};
use layerlab_bugs::outward::compare::{self, compare};
use layerlab_bugs::outward::detector::{self, Detector};
use layerlab_bugs::pages::{self, Programs};
use layerlab_bugs::reported::{NOT_YET, UNSEEDED};
use layerlab_properties::alone::{Alone, alone};
use layerlab_properties::enter::in_namespaces;
use layerlab_properties::status::SKIPPED;

#[derive(Parser)]
#[command(name = "layerlab-bugs", about = "Looks for seeded bugs with every detector, and says which sees which bug")]
struct Cli {
    /// Which bugs; all when none is given
    bugs: Vec<String>,
    /// How many cases of each kind at most
    #[arg(long, default_value_t = 2000)]
    cases: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often the search is begun anew; medians are told
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many more cases the others have when a detector has seen a bug
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// How many bugs are looked for at once
    #[arg(long, default_value_t = threads(), value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    threads: usize,
    /// End with the first detector that sees a bug
    #[arg(long, conflicts_with = "write")]
    first: bool,
    /// Write the matrix to this file; it keeps what it has of bugs that are not looked for now
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Fail if a bug is not seen by the detector any more that saw it first in the matrix of this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["write", "first", "seeds"])]
    check: Option<PathBuf>,
    /// Replay pages on an engine with each bug of a driver, too: that takes a minute for each
    #[arg(long, conflicts_with_all = ["check", "first"])]
    pages: bool,
    /// Show the steps that show each bug
    #[arg(long)]
    steps: bool,
    /// Show each bug to a program of somebody else's instead, which says what it sees: scenarios/bugs/README.md
    #[arg(long, value_name = "PROGRAM")]
    detector: Option<PathBuf>,
    /// How long that may take for one bug
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    limit: u64,
    /// Ask for a remount or a commit of what is mounted for it
    #[arg(long, hide = true, num_args = 2, value_names = ["SOCKET", "WORD"])]
    ask: Vec<PathBuf>,
    /// Say what there is, and end
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for Entry { name, symptom, origin, .. } in catalogue::all() {
            println!("{name}\n    {symptom}\n    {origin}");
        }
        println!("\nnot seeded:");
        UNSEEDED.iter().for_each(|(id, reason)| println!("{id}\n    {reason}"));
        println!("\nnot seeded yet, for want of:");
        NOT_YET.iter().for_each(|(id, wanting)| println!("{id}\n    {wanting}"));
        return ExitCode::SUCCESS;
    }
    if let [socket, word] = &cli.ask[..] {
        return match detector::ask(socket, &word.to_string_lossy()) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("layerlab-bugs: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("layerlab-bugs: skipped: bugs are seeded in what only root can mount");
        return SKIPPED.into();
    }
    let told = |run: anyhow::Result<u8>| {
        run.unwrap_or_else(|error| {
            eprintln!("layerlab-bugs: {error:#}");
            1
        })
    };
    let ended = match &cli.detector {
        Some(program) => alone(|alone| told(shown(&cli, program, alone))),
        None => in_namespaces(false, |_| told(run(&cli))),
    };
    match ended {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("layerlab-bugs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The bugs that are meant.
fn chosen<'a>(cli: &Cli, all: &'a [Entry]) -> anyhow::Result<Vec<&'a Entry>> {
    if let Some(unknown) = cli.bugs.iter().find(|name| all.iter().all(|entry| entry.name != **name)) {
        bail!("there is no bug {unknown:?}: --list says which there are");
    }
    Ok(all.iter().filter(|entry| cli.bugs.is_empty() || cli.bugs.contains(&entry.name)).collect())
}

/// Shows them to somebody else's program.
fn shown(cli: &Cli, program: &Path, alone: &Alone) -> anyhow::Result<u8> {
    let all = catalogue::all();
    let program = program.canonicalize().with_context(|| format!("there is no program {}", program.display()))?;
    let ours = std::env::current_exe().context("this program cannot be found")?;
    let programs = compare::Programs { driver: ours.with_file_name("layerlab-driver"), bugs: ours };
    let detector = Detector { program, limit: Duration::from_secs(cli.limit) };
    compare(alone, &chosen(cli, &all)?, &detector, &programs, cli.steps)
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let all = catalogue::all();
    let chosen = chosen(cli, &all)?;
    let told = cli.check.as_deref().map(read).transpose()?;
    let programs = cli.pages.then(programs).transpose()?;
    let until = if cli.first { Until::Anybody } else { Until::Everybody(cli.patience) };
    let effort = Effort { first_seed: cli.seed, cases_max: cli.cases, until, is_short: told.is_none() };
    let hunt = Hunt {
        memory: Path::new(MEMORY),
        effort,
        searches: cli.seeds,
        told: told.as_deref(),
        threads: cli.threads.min(chosen.len()),
    };
    let began = Instant::now();
    let mut rows = hunt.run(&chosen, &|row: &Row| {
        println!("{row}");
        if cli.steps {
            row.shortest().iter().for_each(|kill| print!("{kill}"));
        }
    })?;
    if let Some(programs) = programs {
        // Pages take as long again: what was found is written before.
        if let Some(path) = &cli.write {
            write(cli, path, rows.iter().map(Line::of).collect(), &all)?;
        }
        replay(cli, &chosen, &programs, &mut rows)?;
    }
    let lines: Vec<Line> = rows.iter().map(Line::of).collect();
    if let Some(told) = &told {
        let vanished = matrix::vanished(told, &rows);
        vanished.iter().for_each(|what| eprintln!("layerlab-bugs: {what}"));
        println!("{} bugs, {} not as told. {:.0} s.", rows.len(), vanished.len(), began.elapsed().as_secs_f64());
        return Ok(u8::from(!vanished.is_empty()));
    }
    println!("{} {:.0} s.", matrix::summary(&lines), began.elapsed().as_secs_f64());
    let short = lines.clone();
    if let Some(path) = &cli.write {
        write(cli, path, lines, &all)?;
    }
    Ok(u8::from(rows.iter().any(Row::has_survived) || !matrix::is_short(&short)))
}

/// What replays pages on an engine with a bug.
fn programs() -> anyhow::Result<Programs> {
    let ours = std::env::current_exe().context("this program cannot be found")?;
    let beside = |name| {
        let path = ours.with_file_name(name);
        ensure!(path.exists(), "there is no {} to replay pages: `cargo xtask bugs` builds it", path.display());
        Ok(path)
    };
    Ok(Programs { lab: beside("layerlab-lab")?, seeded: beside("layerlab-seeded")? })
}

/// Replays the pages on an engine with each bug.
fn replay(cli: &Cli, chosen: &[&Entry], programs: &Programs, rows: &mut [Row]) -> anyhow::Result<()> {
    let bugs: Vec<(&str, &'static dyn Bug)> = chosen.iter().map(|entry| (&*entry.name, entry.bug)).collect();
    let replayed = pages::failing_of_all(&bugs, programs, Path::new(MEMORY), cli.threads, &|name, failing| {
        println!("{name}: {} pages fail", failing.len());
    })?;
    for (row, pages) in rows.iter_mut().zip(replayed) {
        row.pages = pages;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    Ok(matrix::lines(&fs::read_to_string(path).with_context(|| cannot_read(path))?))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Writes the matrix: what there is of other bugs stays, unless they are in the catalogue no more.
fn write(cli: &Cli, path: &Path, mut lines: Vec<Line>, all: &[Entry]) -> anyhow::Result<()> {
    let page = if path.exists() { fs::read_to_string(path).with_context(|| cannot_read(path))? } else { String::new() };
    let mut old: BTreeMap<String, Line> =
        matrix::lines(&page).into_iter().map(|line| (line.bug.clone(), line)).collect();
    old.retain(|name, _| all.iter().any(|entry| entry.name == *name));
    for line in &mut lines {
        let Some(before) = old.remove(&line.bug) else { continue };
        // Pages are replayed only when that is asked for.
        line.pages = line.pages.take().or(before.pages);
    }
    if let Some(searches) = matrix::searches(&page).filter(|searches| !old.is_empty() && *searches != cli.seeds) {
        bail!("the other lines of {} are of {searches} searches: --seeds {searches}", path.display());
    }
    lines.extend(old.into_values());
    fs::write(path, matrix::page(lines, cli.seeds, cli.cases))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Most of the time a case waits for the kernel to mount and unmount.
fn threads() -> usize {
    4 * std::thread::available_parallelism().map_or(1, usize::from)
}
