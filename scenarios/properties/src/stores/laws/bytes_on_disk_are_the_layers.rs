//! `bytes on disk = Σ content of the layers reached`: the files below the driver's directory hold what the model's layers hold, each file
//! counted once, and nothing else; the size that the store notes for a layer is what that layer brings. Where a store keeps whole
//! trees, each layer and each container has its own.
//!
//! *Source*: `size` of moby's `layer/filestore.go`; `ApplyDiff` of its drivers, of which `overlay2` measures what it unpacked, links
//! too, and the others add up what the headers of the tar say.
//!
//! Checklist: GC-01, N-15~

use super::{Law, Moment, Watch, Weights};
use crate::laws::{Verdict, verdict};

pub static LAW: Bytes = Bytes;

pub struct Bytes;

impl Law for Bytes {
    fn name(&self) -> &'static str {
        "bytes-on-disk-are-the-layers"
    }

    fn weights(&self) -> Weights {
        Weights { loads: 12, commits: 10, flattenings: 6, containers: 6, prunes: 6, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let Moment { shelf, holdings, promises, .. } = moment;
        let mut found = Vec::new();
        let mut expected = 0;
        for (id, layer) in &shelf.layers {
            let size_bytes = holdings.bytes_of_layer(&layer.diff_id, promises.sizes_are_measured);
            if layer.size_bytes != size_bytes {
                found.push(format!("the size of {id} is {} bytes, should be {size_bytes}", layer.size_bytes));
            }
            expected += match promises.layers_are_whole_trees {
                true => holdings.bytes_of_tree(&shelf.stack(id)),
                false => holdings.bytes_of_layer(&layer.diff_id, false),
            };
        }
        for mount in shelf.mounts.values().filter(|_| promises.layers_are_whole_trees) {
            let below = mount.below.as_ref().map(|below| holdings.bytes_of_tree(&shelf.stack(below)));
            expected += below.unwrap_or_default() * mount.directories.len() as u64;
        }
        if shelf.held_bytes != expected {
            found.push(format!("the layers' files hold {} bytes, should hold {expected}", shelf.held_bytes));
        }
        verdict(found)
    }
}
