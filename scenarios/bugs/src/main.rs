//! The command `layerlab-bugs`: looks for each bug of the catalogue with every detector, and writes who sees what.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use layerlab_bugs::catalogue::{self, Entry};
use layerlab_bugs::hunt::Effort;
use layerlab_bugs::matrix::{self, Row};
use layerlab_bugs::outward::alone::{Alone, alone};
use layerlab_bugs::outward::compare::{Programs, compare};
use layerlab_bugs::outward::detector::{self, Detector};
use layerlab_properties::enter::in_namespaces;

/// As automake and others have it: not run, because this host cannot.
const SKIPPED: u8 = 77;
/// Where the layers lie: most machines have memory there that an overlay can lie on.
const MEMORY: &str = "/dev/shm";

#[derive(Parser)]
#[command(name = "layerlab-bugs", about = "Looks for seeded bugs with every law, and says which law sees which bug")]
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
    /// End with the first detector that sees a bug
    #[arg(long)]
    first: bool,
    /// Write the matrix to this file, too
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
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
    let programs = Programs { driver: ours.with_file_name("layerlab-driver"), bugs: ours };
    let detector = Detector { program, limit: Duration::from_secs(cli.limit) };
    compare(alone, &chosen(cli, &all)?, &detector, &programs, cli.steps)
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let all = catalogue::all();
    let chosen = chosen(cli, &all)?;
    let effort = Effort { first_seed: cli.seed, cases_max: cli.cases, is_first_enough: cli.first };
    let began = Instant::now();
    let told = |row: &Row| {
        println!("{}", row.line());
        if cli.steps {
            row.shortest().iter().for_each(|kill| println!("{kill}"));
        }
    };
    let rows = matrix::hunted(&chosen, Path::new(MEMORY), effort, cli.seeds, &told)?;
    println!("{} in {:.0} s", matrix::summary(&rows), began.elapsed().as_secs_f64());
    if let Some(path) = &cli.write {
        std::fs::write(path, matrix::page(&rows)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(u8::from(rows.iter().any(|row| row.has_survived())))
}
