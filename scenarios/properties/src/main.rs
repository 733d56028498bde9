//! The command `layerlab-laws`: holds a subject against the laws.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use layerlab_properties::campaign::{Campaign, Counts, Failure};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::laws::{self, Law};
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{self, Subject};

#[derive(Parser)]
#[command(name = "layerlab-laws", about = "Holds anything that stacks layers against the laws of layered file systems")]
struct Cli {
    /// Which laws; all when none is given
    laws: Vec<String>,
    /// What is held against them
    #[arg(long, default_value = "layerlab-overlay2")]
    subject: String,
    /// How many cases
    #[arg(long, default_value_t = 500, conflicts_with = "minutes")]
    cases: u64,
    /// How long, instead of how many cases
    #[arg(long)]
    minutes: Option<f64>,
    /// How many steps a case has
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// Where the random numbers begin; a fresh one when none is given
    #[arg(long)]
    seed: Option<u64>,
    /// The directory below which the layers lie
    #[arg(long, default_value = "/tmp")]
    place: PathBuf,
    /// How many at once
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Show how often each kind of step came out how
    #[arg(long)]
    counts: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("layerlab-laws: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let subjects = subjects::all();
    let subject = subjects.iter().find(|subject| subject.name() == cli.subject);
    let names = || subjects.iter().map(|subject| subject.name()).collect::<Vec<_>>().join(", ");
    let subject = subject.with_context(|| format!("there is no subject {}; there are {}", cli.subject, names()))?;
    let laws = chosen(&cli.laws)?;
    let host = Host::probe();
    if let Some(why) = subject.refusal(&host) {
        println!("skipped {}: {why}", subject.name());
        return Ok(ExitCode::from(77));
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context("cannot have mounts of its own")?;
    let campaign =
        Campaign { subject: &**subject, host: &host, laws: &laws, place: cli.place.clone(), length: cli.steps };
    let seed = cli.seed.unwrap_or_else(fresh_seed);
    let begun = Instant::now();
    let shards: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cli.threads)
            .map(|shard| {
                let campaign = &campaign;
                scope.spawn(move || shard_of(cli, campaign, seed, shard, begun))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a shard panicked"))).collect()
    });
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for shard in shards {
        let (counted, failure) = shard?;
        counts.merge(counted);
        failures.extend(failure);
    }
    failures.sort_by_key(|failure| failure.seed);
    for failure in &failures {
        tell(failure, &**subject, &host)?;
    }
    if cli.counts {
        counts.lines().for_each(|line| println!("{line}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = counts.total() as f64 / seconds;
    println!(
        "{} on {}: {} steps from seed {seed} in {seconds:.1} s ({rate:.0} a second), {}",
        subject.name(),
        cli.place.display(),
        counts.total(),
        if failures.is_empty() { "every law held".to_owned() } else { "a law broke".to_owned() }
    );
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(wanted: &[String]) -> anyhow::Result<Vec<&'static dyn Law>> {
    if wanted.is_empty() {
        return Ok(laws::ALL.to_vec());
    }
    let names = || laws::ALL.iter().map(|law| law.name()).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let law = laws::ALL.iter().copied().find(|law| law.name() == name);
        law.with_context(|| format!("there is no law {name}; there are {}", names()))
    };
    wanted.iter().map(find).collect()
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() % 1_000_000_000
}

/// The cases of one thread; it stops at the first that breaks a law.
fn shard_of(
    cli: &Cli,
    campaign: &Campaign<'_>,
    seed: u64,
    shard: u64,
    begun: Instant,
) -> anyhow::Result<(Counts, Option<Failure>)> {
    prepare_thread().context("cannot have a root directory of its own")?;
    let until = cli.minutes.map(|minutes| begun + Duration::from_secs_f64(60.0 * minutes));
    let mut counts = Counts::default();
    for case in (shard..).step_by(cli.threads as usize) {
        if until.map_or(case >= cli.cases, |until| Instant::now() >= until) {
            break;
        }
        if let Err(failure) = campaign.run(seed + case, &mut counts) {
            return Ok((counts, Some(failure)));
        }
    }
    Ok((counts, None))
}

fn tell(failure: &Failure, subject: &dyn Subject, host: &Host) -> anyhow::Result<()> {
    let Failure { seed, length, steps, broken } = failure;
    let law = broken.law.unwrap_or("the case cannot go on");
    println!(
        "{law}: broken by {} (kernel {}), seed {seed}, {length} steps, of which {}:",
        subject.name(),
        host.kernel,
        steps.len()
    );
    for step in steps {
        println!("  {}", serde_json::to_string(step)?);
    }
    for finding in &broken.findings {
        println!("{finding}");
    }
    println!();
    Ok(())
}
