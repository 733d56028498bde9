//! The command `layerlab-bugs`: looks for each bug of the catalogue with every law.

use std::process::ExitCode;

use clap::Parser;
use layerlab_bugs::catalogue::{self, Entry};
use layerlab_bugs::hunt::{Effort, Kill, hunt};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::in_namespaces;
use layerlab_properties::machine::Host;

#[derive(Parser)]
#[command(name = "layerlab-bugs", about = "Looks for seeded bugs with the laws, and says which law sees which bug")]
struct Cli {
    /// Which bugs; all when none is given
    bugs: Vec<String>,
    /// How many cases at most
    #[arg(long, default_value_t = 2000)]
    cases: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End with the first law that sees it
    #[arg(long)]
    first: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match in_namespaces(false, |_| run(&cli)) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("layerlab-bugs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> u8 {
    let mut survivors = 0;
    for entry in catalogue::all().iter().filter(|entry| cli.bugs.is_empty() || cli.bugs.contains(&entry.name)) {
        let began = std::time::Instant::now();
        let kills = std::thread::scope(|scope| scope.spawn(|| hunted(cli, entry)).join().unwrap());
        println!("{} ({:.1} s)", entry.name, began.elapsed().as_secs_f64());
        for kill in &kills {
            println!(
                "  {} after {} cases ({:.1} s): {} steps",
                kill.detector,
                kill.cases,
                kill.taken.as_secs_f64(),
                kill.steps.len()
            );
            kill.steps.iter().for_each(|step| println!("      {step}"));
            kill.findings.iter().take(3).for_each(|finding| println!("      -> {finding}"));
        }
        survivors += u8::from(kills.is_empty());
    }
    survivors.min(1)
}

fn hunted(cli: &Cli, entry: &Entry) -> Vec<Kill> {
    prepare_thread().unwrap();
    let memory = std::path::Path::new("/dev/shm");
    let host = Host::probe(true).on(memory).unwrap();
    let place = tempfile::tempdir_in(memory).unwrap();
    let effort = Effort { first_seed: cli.seed, cases_max: cli.cases, is_first_enough: cli.first };
    hunt(&entry.name, entry.bug, &host, place.path(), effort)
}
