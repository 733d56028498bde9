//! The command `layerlab-bugs`: looks for each bug of the catalogue with every detector, and writes who sees what.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use layerlab_bugs::catalogue::{self, Entry};
use layerlab_bugs::hunt::Effort;
use layerlab_bugs::matrix::{self, Row};
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
    if !rustix::process::geteuid().is_root() {
        eprintln!("layerlab-bugs: skipped: bugs are seeded in what only root can mount");
        return SKIPPED.into();
    }
    let ended = in_namespaces(false, |_| match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("layerlab-bugs: {error:#}");
            1
        }
    });
    match ended {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("layerlab-bugs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let all = catalogue::all();
    if let Some(unknown) = cli.bugs.iter().find(|name| all.iter().all(|entry| entry.name != **name)) {
        bail!("there is no bug {unknown:?}: --list says which there are");
    }
    let chosen: Vec<&Entry> =
        all.iter().filter(|entry| cli.bugs.is_empty() || cli.bugs.contains(&entry.name)).collect();
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
