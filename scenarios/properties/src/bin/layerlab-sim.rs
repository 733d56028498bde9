//! The command `layerlab-sim`: campaigns over the model alone.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use layerlab_properties::campaign::Counts;
use layerlab_properties::sim;

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
    /// Show how often each kind of step came out how
    #[arg(long)]
    counts: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let begun = Instant::now();
    let mut counts = Counts::default();
    for seed in cli.seed..cli.seed + cli.cases {
        if let Err(refuted) = sim::run(seed, cli.steps, &mut counts) {
            println!("seed {seed}: it does not hold that {}:", refuted.law);
            for step in &refuted.steps {
                println!("  {}", serde_json::to_string(step).unwrap_or_else(|_| step.to_string()));
            }
            return ExitCode::FAILURE;
        }
    }
    if cli.counts {
        counts.lines().for_each(|line| println!("{line}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = 60.0 * counts.total() as f64 / seconds;
    println!("{} steps in {seconds:.1} s ({rate:.0} a minute), every law held", counts.total());
    ExitCode::SUCCESS
}
