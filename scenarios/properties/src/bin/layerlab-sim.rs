//! The command `layerlab-sim`: campaigns over the model alone.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use layerlab_properties::campaign::Counts;
use layerlab_properties::counterexample::{ByHand, Counterexample};
use layerlab_properties::page;
use layerlab_properties::sim::{self, Refuted};
use layerlab_scenarios::page::Differences;
use layerlab_scenarios::pages;
use layerlab_scenarios::replay::{PageOutcome, Replayed, Summary};

#[derive(Parser)]
#[command(name = "layerlab-sim", about = "Checks the algebra of layers on the model alone: no root, no kernel")]
struct Cli {
    /// How many cases
    #[arg(long, default_value_t = 5000)]
    cases: u64,
    /// How many steps a case has
    #[arg(long, default_value_t = 60)]
    steps: usize,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead, replay the steps of pages: names or paths, or folders (regressions)
    #[arg(long, value_name = "PAGE", num_args = 1.., conflicts_with_all = ["cases", "steps", "seed", "counts"])]
    replay: Vec<String>,
    /// Show how often each kind of step came out how, and what never came
    #[arg(long)]
    counts: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !cli.replay.is_empty() {
        return match replay(&cli.replay) {
            Ok(status) => ExitCode::from(status),
            Err(error) => {
                eprintln!("layerlab-sim: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let begun = Instant::now();
    let mut counts = Counts::default();
    for seed in (0..cli.cases).map(|case| cli.seed.wrapping_add(case)) {
        if let Err(refuted) = sim::run(seed, cli.steps, &mut counts) {
            println!("seed {seed}: it does not hold that {}:", refuted.law);
            for step in &refuted.steps {
                println!("  {}", serde_json::to_string(step).unwrap_or_else(|_| step.to_string()));
            }
            keep(seed, refuted);
            return ExitCode::FAILURE;
        }
    }
    if cli.counts {
        counts.lines().chain(counts.never()).for_each(|line| println!("{line}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = 60.0 * counts.total() as f64 / seconds;
    println!("{} steps in {seconds:.1} s ({rate:.0} a minute), every law held", counts.total());
    ExitCode::SUCCESS
}

/// Writes the counterexample as the laws write theirs.
fn keep(seed: u64, refuted: Refuted) {
    let counterexample = Counterexample {
        law: Some("the-algebra-of-layers-holds".to_owned()),
        subject: "sim".to_owned(),
        backing: "memory".to_owned(),
        rootless: false,
        kernel: "none".to_owned(),
        seed,
        steps: refuted.steps,
        findings: vec![format!("it does not hold that {}", refuted.law)],
    };
    match counterexample.keep(&ByHand::Directory) {
        Ok(kept) => {
            println!("kept: {}", kept.json.display());
            println!("without this code: {}", kept.script.display());
            println!("as a page for scenarios/cases/regressions: {}", kept.page.display());
        }
        Err(error) => eprintln!("layerlab-sim: cannot keep the counterexample: {error}"),
    }
}

/// Replays the steps that pages hold for the model; the others need a process.
fn replay(names: &[String]) -> anyhow::Result<u8> {
    let mut summary = Summary::default();
    for page in pages::chosen(names)? {
        let steps = page::steps_of(&page)?;
        let outcome = match steps.is_empty() {
            true => PageOutcome::Skipped { reason: "needs a process".to_owned() },
            false => match sim::replay_page(&steps) {
                Ok(()) => PageOutcome::Passed { steps: steps.len(), differences: Differences::default() },
                Err(why) => {
                    println!("{}: {why}", page.path.display());
                    PageOutcome::Failed { status: 1 }
                }
            },
        };
        summary.add(Replayed { page: page.name(), target: "sim", driver: page.driver(None), outcome });
    }
    println!("{}\n{summary}", summary.table());
    Ok(summary.status())
}
