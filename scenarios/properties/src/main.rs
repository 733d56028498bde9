//! The command `layerlab-laws`: campaigns of cases against a subject.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use layerlab_model::operation::Step;
use layerlab_properties::case::{Broken, Case, prepare_thread};
use layerlab_properties::generate::{Generator, Weights};
use layerlab_properties::machine::Host;
use layerlab_properties::shrink::shortest;
use layerlab_properties::subjects::{self, Subject};

#[derive(Parser)]
struct Cli {
    /// What is held against the laws
    #[arg(long, default_value = "plain")]
    subject: String,
    /// How many cases
    #[arg(long, default_value_t = 200)]
    cases: u64,
    /// How many steps each
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The directory below which the layers lie
    #[arg(long, default_value = "/tmp")]
    place: PathBuf,
    /// Show at most this many failures
    #[arg(long, default_value_t = 1)]
    failures: usize,
}

struct Campaign<'a> {
    subject: &'a dyn Subject,
    host: &'a Host,
    place: PathBuf,
}

impl Campaign<'_> {
    fn begin(&self) -> Result<(tempfile::TempDir, Case), Broken> {
        let place = tempfile::tempdir_in(&self.place).map_err(|_| Broken::Unreadable(rustix::io::Errno::IO))?;
        let case = Case::begin(self.subject, self.host, place.path())?;
        Ok((place, case))
    }

    fn fresh(&self, seed: u64, steps: usize) -> (Vec<Step>, Result<(), Broken>) {
        let mut generator = Generator::new(seed, Weights::default(), self.host.has_other_user);
        let mut done = Vec::new();
        let (_place, mut case) = match self.begin() {
            Ok(begun) => begun,
            Err(broken) => return (done, Err(broken)),
        };
        for _ in 0..steps {
            let step = generator.step(case.model());
            done.push(step.clone());
            if let Err(broken) = case.step(&step) {
                return (done, Err(broken));
            }
        }
        (done, Ok(()))
    }

    fn again(&self, steps: &[Step]) -> Result<(), Broken> {
        let (_place, mut case) = self.begin()?;
        steps.iter().try_for_each(|step| case.step(step).map(drop))
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let subject = subjects::all().into_iter().find(|subject| subject.name() == cli.subject);
    let subject = subject.with_context(|| format!("no subject {}", cli.subject))?;
    let host = Host::probe();
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    prepare_thread()?;
    let campaign = Campaign { subject: &*subject, host: &host, place: cli.place };
    let begun = Instant::now();
    let (mut steps, mut failures) = (0, 0);
    for seed in cli.seed..cli.seed + cli.cases {
        let (done, outcome) = campaign.fresh(seed, cli.steps);
        steps += done.len();
        if outcome.is_err() {
            let shrunk = shortest(&done, |part| campaign.again(part).is_err());
            println!("seed {seed}, {} steps, shrunk to {}:", done.len(), shrunk.len());
            for step in &shrunk {
                println!("  {}", serde_json::to_string(step)?);
            }
            match campaign.again(&shrunk) {
                Err(broken) => println!("{broken}"),
                Ok(()) => println!("(does not fail again)"),
            }
            failures += 1;
            if failures >= cli.failures {
                break;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{steps} steps in {seconds:.1} s, {:.0} a second", steps as f64 / seconds);
    Ok(())
}
