//! The command `layerlab-driver`: a storage driver of the engine on the command line, with a bug of the catalogue in it if that is wanted.

use std::io::{BufWriter, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use layerlab_bugs::bug::Home;
use layerlab_bugs::outward::program::{self, Verb};
use layerlab_bugs::{catalogue, seeded};
use layerlab_engine::driver;

/// Where a driver keeps what it has, unless it is told.
const DATA_ROOT: &str = "LAYERLAB_DATA_ROOT";

#[derive(Parser)]
#[command(
    name = "layerlab-driver",
    about = "A storage driver on the command line; scenarios/bugs/README.md says what it answers"
)]
struct Cli {
    /// Which driver: overlay2, overlay, vfs, btrfs, fuse-overlayfs
    #[arg(long, default_value = "overlay2")]
    driver: String,
    /// What is wrong with it: a bug of `layerlab-bugs --list`
    #[arg(long)]
    bug: Option<String>,
    /// Where it keeps what it has; else LAYERLAB_DATA_ROOT says so
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

/// That the machine has no such driver.
const NOT_HERE: u8 = 77;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("layerlab-driver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let from_environment = || std::env::var_os(DATA_ROOT).map(PathBuf::from);
    let data_root = cli.data_root.or_else(from_environment);
    let data_root = data_root.with_context(|| format!("where? --data-root or {DATA_ROOT} must say"))?;
    if let Some(why) = driver::refusal(&cli.driver, &data_root) {
        eprintln!("layerlab-driver: {why}");
        return Ok(NOT_HERE.into());
    }
    let mut driver = program::open(&cli.driver, &data_root)?;
    if let Some(name) = cli.bug {
        let found = catalogue::all().into_iter().find(|entry| entry.name == name);
        let entry =
            found.with_context(|| format!("there is no bug {name:?}: layerlab-bugs --list says which there are"))?;
        let home = entry.bug.home();
        if home != Home::Driver(driver.name()) {
            bail!("{name} is no bug of {}, but of {home:?}", driver.name());
        }
        driver = seeded::seeded(entry.bug, driver);
    }
    program::answer(&*driver, &data_root, &cli.verb, &mut stdin().lock(), &mut BufWriter::new(stdout().lock()))?;
    Ok(ExitCode::SUCCESS)
}
