//! One more process in a container that runs.

use super::{Workload, forget, none, once, with_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "exec",
    question: "What does it take to run `true` in a container that runs already?",
    fairness: "The container sleeps. A client that speaks to a daemon starts in each figure. The floor joins the namespaces of a container of its own and \
               executes `true` in them.",
    unit: "process",
    amounts: once,
    growth: none,
    samples: 30,
    goals: &[("docker", 8.0)],
    task,
};

const NAME: &str = "sleeper";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => {
            let running = container::Floor::make(bed)?.running(&["/bin/sleep", "100000"])?;
            return Ok(Some(Task::call(move || running.exec(&["/bin/true"]))));
        }
        _ => return Ok(None),
    }
    with_image(bed, peer)?;
    forget(peer, NAME);
    peer.ask(&["run", "--detach", "--name", NAME, "--network", "none", &bed.reference(), "sleep", "100000"])?;
    let task = Task::command(|| peer.command(&["exec", NAME, "true"]));
    Ok(Some(task.after(|| {
        forget(peer, NAME);
        Ok(())
    })))
}
