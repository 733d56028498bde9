//! The places of a data root by which changes are grouped, each with what it is for.

use super::ids::Ids;

/// A group of paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Order on the page: names first, then images, layers, files, containers, all else.
    rank: usize,
    /// What it is for, in a few words.
    pub(super) what: String,
    /// Path of the group below the data root.
    pub(super) path: String,
}

/// The place of a path, and the rest of the path below it.
pub(super) fn place<'p>(path: &'p str, ids: &Ids) -> (Place, &'p str) {
    let parts: Vec<&str> = path.split('/').collect();
    let (rank, depth, what) = match parts[..] {
        ["image", _, "repositories.json"] => (0, 3, "names of images".to_owned()),
        ["image", _, "imagedb", ..] => (1, 3, "configurations of images".to_owned()),
        ["image", _, "layerdb", "mounts", ..] => (3, 4, "layers that belong to containers".to_owned()),
        ["image", _, "layerdb", ..] => (2, 3, "records of layers: chain ID → diff ID, parent, cache ID".to_owned()),
        ["image", _, "distribution", ..] => (8, 3, "what is known of the registry's blobs".to_owned()),
        ["image", ..] => (8, 1, "the books".to_owned()),
        ["containers", _, ..] => (6, 2, owner(parts[1], ids)),
        [_, "l", ..] => (5, 2, "short names of layers, as links".to_owned()),
        [driver, id, ..] if is_driver(driver) => (4, 2, owner(id, ids)),
        [_, _, ..] => (9, 1, String::new()),
        _ => (9, 0, "the data root".to_owned()),
    };
    let depth = depth.min(parts.len());
    let end = parts[..depth].iter().map(|part| part.len() + 1).sum::<usize>().saturating_sub(1);
    let rest = path[end..].trim_start_matches('/');
    (Place { rank, path: path[..end].to_owned(), what }, rest)
}

fn is_driver(name: &str) -> bool {
    ["overlay2", "overlay", "vfs", "btrfs", "aufs", "fuse-overlayfs"].contains(&name)
}

/// Whose directory it is.
fn owner(name: &str, ids: &Ids) -> String {
    let of = |id: &str| ids.find(id).map(|(_, known)| known.of.clone());
    match name.strip_suffix("-init") {
        Some(id) => of(id).map(|of| of.replace("the writable layer", "the init layer")).unwrap_or_default(),
        None => of(name).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_its_place() {
        let ids = Ids::default();
        for (path, group, rest) in [
            ("image/overlay2/repositories.json", "image/overlay2/repositories.json", ""),
            ("image/overlay2/layerdb/sha256/aa/diff", "image/overlay2/layerdb", "sha256/aa/diff"),
            ("image/overlay2/layerdb/mounts/cc/mount-id", "image/overlay2/layerdb/mounts", "cc/mount-id"),
            ("overlay2/aa/diff/etc/x", "overlay2/aa", "diff/etc/x"),
            ("overlay2/l/SHORT", "overlay2/l", "SHORT"),
            ("overlay/aa/root/etc", "overlay/aa", "root/etc"),
            ("containers/cc/hosts", "containers/cc", "hosts"),
            ("tmp", "", "tmp"),
            ("buildkit/x.db", "buildkit", "x.db"),
        ] {
            let (place, below) = place(path, &ids);
            assert_eq!((place.path.as_str(), below), (group, rest), "{path}");
        }
    }
}
