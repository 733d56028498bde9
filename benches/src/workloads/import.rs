//! A tar as an image of one layer.

use super::{Workload, created, forget, has_layers, none, once, shows, unpacked};
use crate::bed::Bed;
use crate::container;
use crate::floor::{Layers, Tar};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "import",
    question: "What does it take to make an image of the tar that `export` wrote?",
    fairness: "Everybody imports the tar that it exported itself. The floor is load's, of one layer.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0)],
    task,
};

const NAME: &str = "to-import";
const REFERENCE: &str = "bench/imported";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => {
            let path = bed.directory("archives")?.join("floor.import");
            let tar = Tar::of_directory(&container::unpacked(bed)?.join("tree"), &path)?;
            let layers = Layers::of(vec![(path, tar.digest)], &bed.directory("floor-import")?)?;
            return Ok(Some(unpacked(layers, Layers::unpacked)));
        }
        _ => return Ok(None),
    }
    created(bed, peer, NAME)?;
    let file = bed.directory("archives")?.join(format!("{}.import", peer.name));
    let path = file.display().to_string();
    peer.ask(&["export", "--output", &path, NAME])?;
    forget(peer, NAME);
    Ok(Some(
        Task::command(move || peer.command(&["import", &path, REFERENCE]))
            .before(|| {
                // It fails where there is none.
                drop(peer.ask(&["rmi", REFERENCE]));
                Ok(())
            })
            .check(|_| has_layers(peer, REFERENCE, 1))
            .after(move || {
                super::removed(&file)()?;
                let some_file = format!("/{}", bed.image.some_file);
                shows(peer, REFERENCE, &["ls", &some_file], &some_file)?;
                peer.ask(&["rmi", REFERENCE]).map(drop)
            }),
    ))
}
