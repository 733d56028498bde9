//! Makes a case easier to read without making it shorter: nearer paths, plainer steps, one user.
//!
//! Each proposal is the whole case with one thing simpler; the shrinker keeps those that still fail.

use std::collections::BTreeSet;

use layerlab_model::operation::{Access, Flags, Operation, Step, User};
use layerlab_model::text::Text;

/// Names for what is renamed; the generator knows them.
const PLAIN: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];

/// Cases that are simpler than `steps` in one thing each.
pub fn proposals(steps: &[Step]) -> Vec<Vec<Step>> {
    let paths: BTreeSet<Text> = steps.iter().flat_map(|step| paths(step).into_iter()).collect();
    let mut proposals = Vec::new();
    for from in paths.iter().filter(|path| !PLAIN.iter().any(|plain| path.as_bytes() == plain.as_bytes())) {
        let free = PLAIN.iter().map(|plain| Text::from(*plain)).find(|plain| !paths.contains(plain));
        proposals.extend(free.map(|to| steps.iter().map(|step| moved(step, from, &to)).collect()));
    }
    for (at, step) in steps.iter().enumerate() {
        for plainer in plainer(step) {
            let mut steps = steps.to_vec();
            steps[at] = plainer;
            proposals.push(steps);
        }
    }
    proposals
}

fn paths(step: &Step) -> Vec<Text> {
    step.operation.clone().paths_mut().into_iter().map(|path| path.clone()).collect()
}

/// The step with everything at and below `from` at and below `to`.
fn moved(step: &Step, from: &Text, to: &Text) -> Step {
    let mut step = step.clone();
    for path in step.operation.paths_mut() {
        let rest = path.as_bytes().strip_prefix(from.as_bytes());
        if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/")) {
            *path = Text([to.as_bytes(), rest].concat());
        }
    }
    step
}

fn plainer(step: &Step) -> Vec<Step> {
    let mut found = Vec::new();
    if step.user == User::Other {
        found.push(Step { user: User::Root, operation: step.operation.clone() });
    }
    let flags = Flags { create: true, ..Flags::of(Access::Write) };
    let create = |path: &Text| Operation::Open { slot: 0, path: path.clone(), flags, mode: 0o644 };
    let plain = match &step.operation {
        Operation::Link { to, .. } | Operation::LinkSlot { to, .. } | Operation::Rename { to, .. } => Some(create(to)),
        Operation::Mknod { path, .. } | Operation::Symlink { path, .. } => Some(create(path)),
        Operation::Open { path, flags, .. } if flags.create => Some(create(path)),
        Operation::Mkdir { path, .. } => Some(Operation::Mkdir { path: path.clone(), mode: 0o755 }),
        _ => None,
    };
    found.extend(plain.map(|operation| Step { user: step.user, operation }));
    // What comes to be somewhere by a rename may be made there as well.
    if let Operation::Rename { to, .. } = &step.operation {
        let mkdir = Operation::Mkdir { path: to.clone(), mode: 0o755 };
        found.extend([create(to), mkdir].map(|operation| Step { user: step.user, operation }));
    }
    let mut short = step.clone();
    short.operation.paths_mut().into_iter().for_each(shorten);
    found.push(short);
    let with = |operation: Operation| Step { user: step.user, operation };
    match &step.operation {
        Operation::SetAcl { target, list, acl } => found.extend((0..acl.0.len()).map(|left_out| {
            let mut acl = acl.clone();
            acl.0.remove(left_out);
            with(Operation::SetAcl { target: target.clone(), list: *list, acl })
        })),
        Operation::Race { path, letters, mode } => {
            let (path, one) = (path.clone(), Text(letters.0.iter().take(1).copied().collect()));
            found.push(with(Operation::Race { path: path.clone(), letters: one, mode: *mode }));
            found.push(with(Operation::Race { path, letters: letters.clone(), mode: None }));
        }
        _ => {}
    }
    found.retain(|plainer| plainer != step);
    found
}

/// Takes away what is behind the last name of a path, and all but one of the slashes before the first.
fn shorten(path: &mut Text) {
    while let [_, .., b'/'] | [_, .., b'/', b'.'] = &path.0[..] {
        path.0.pop();
    }
    let slashes = path.0.iter().take_while(|byte| **byte == b'/').count();
    path.0.drain(..slashes.saturating_sub(1));
}
