//! How fast the laws are: steps a second of a campaign with every law watching, whole trees compared after each step, on a file
//! system in memory.
//!
//! Fairness: a plain directory in the same run is the floor, since the same steps are done and compared there without a mount; cases
//! come from one seed; as many threads as `cargo xtask laws` takes. It needs mounts of its own: as root, or in a user namespace. Bias:
//! the model's own part is in every figure.

use std::process::ExitCode;

use criterion::{Criterion, Throughput};
use layerlab_properties::backing::Backing;
use layerlab_properties::campaign::{Campaign, Counts};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::in_namespaces;
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::subjects;

const SUBJECTS: [&str; 4] = ["plain", "overlay", "layerlab-overlay2", "layerlab-vfs"];
const CASES: u64 = 160;
const STEPS: usize = 40;

fn main() -> ExitCode {
    let entered = in_namespaces(false, |map| {
        let place = Backing::Tmpfs.make().expect("a file system in memory");
        let host = Host::probe(map.allows_groups()).on(place.path()).expect("what the file system does");
        let mut criterion = Criterion::default().configure_from_args();
        let mut group = criterion.benchmark_group("laws");
        group.sample_size(10);
        for subject in subjects::all().iter().filter(|subject| SUBJECTS.contains(&subject.name().as_str())) {
            let length = STEPS;
            let place = place.path().to_owned();
            let campaign = Campaign { subject: &**subject, host: &host, laws: &laws::ALL, place, length };
            group.throughput(Throughput::Elements(run(&campaign)));
            group.bench_function(subject.name(), |bencher| bencher.iter(|| run(&campaign)));
        }
        group.finish();
        criterion.final_summary();
        0
    });
    entered.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Runs the cases; how many steps they had.
fn run(campaign: &Campaign<'_>) -> u64 {
    let threads = 4 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    std::thread::scope(|scope| {
        let part = |thread: u64| {
            move || {
                prepare_thread().expect("a root directory of its own");
                let mut counts = Counts::default();
                for case in (thread..CASES).step_by(threads as usize) {
                    campaign.run(case, &mut counts).unwrap_or_else(|failure| panic!("{failure:?}"));
                }
                counts.total()
            }
        };
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(part(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    })
}
