//! The law: unpack(pack(tree)) = tree, and pack(unpack(tar)) = tar for a tar of ours.
//!
//! Checklist: HL-10, WH-10, OP-04, DF-06, N-09~

use proptest::prelude::*;

use crate::scene::{Tree, directory, is_root, listing, packed, unpacked};

#[derive(Debug, Clone)]
enum Node {
    Directory { opaque: bool },
    File { contents: String },
    Symlink { target: String },
    HardLink { of: usize },
    Whiteout,
    Fifo,
}

#[derive(Debug, Clone)]
struct Step {
    parent: usize,
    name: String,
    node: Node,
    mode: u32,
    owner: u32,
    mtime: i64,
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        3 => any::<bool>().prop_map(|opaque| Node::Directory { opaque }),
        4 => "[a-c\n]{0,600}".prop_map(|contents| Node::File { contents }),
        1 => "[a-z./]{1,130}".prop_map(|target| Node::Symlink { target }),
        2 => any::<usize>().prop_map(|of| Node::HardLink { of }),
        1 => Just(Node::Whiteout),
        1 => Just(Node::Fifo),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let name = prop_oneof![4 => "[a-c]{1,2}", 1 => "[a-zü ]{90,120}"];
    let owner = prop_oneof![Just(0), Just(33), Just(3_000_000)];
    let parts = (any::<usize>(), name, node(), 0u32..0o10000, owner, 0i64..1 << 34);
    parts.prop_map(|(parent, name, node, mode, owner, mtime)| Step { parent, name, node, mode, owner, mtime })
}

/// Builds what can be built of `steps`; a step whose name is taken is left out.
fn build(tree: &Tree<'_>, steps: &[Step]) {
    let mut directories = vec![String::new()];
    let mut files: Vec<String> = Vec::new();
    let mut made: Vec<(String, &Step)> = Vec::new();
    for step in steps {
        let parent = &directories[step.parent % directories.len()];
        let path = if parent.is_empty() { step.name.clone() } else { format!("{parent}/{}", step.name) };
        if std::fs::symlink_metadata(tree.0.join(&path)).is_ok() {
            continue;
        }
        match &step.node {
            Node::Directory { opaque } => {
                if *opaque {
                    tree.opaque_dir(&path)
                } else {
                    tree.dir(&path)
                };
                directories.push(path.clone());
            }
            Node::File { contents } => {
                tree.file(&path, contents, 0o600);
                files.push(path.clone());
            }
            Node::Symlink { target } => {
                tree.symlink(&path, target);
            }
            Node::HardLink { of } if !files.is_empty() => {
                tree.hard_link(&path, &files[of % files.len()]);
            }
            Node::HardLink { .. } => continue,
            Node::Whiteout => {
                tree.whiteout(&path);
            }
            Node::Fifo => {
                tree.node(&path, rustix::fs::FileType::Fifo, (0, 0), 0o644);
            }
        }
        made.push((path, step));
    }
    for (path, step) in made.iter().rev() {
        if is_root() {
            tree.owner(path, step.owner, step.owner);
        }
        if !matches!(step.node, Node::Symlink { .. } | Node::Whiteout) {
            // Without root the tree has to stay readable and removable.
            tree.mode(path, if is_root() { step.mode } else { step.mode & 0o777 | 0o700 });
        }
        tree.time(path, step.mtime, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_comes_back_from_its_tar(steps in proptest::collection::vec(step(), 0..14)) {
        let (upper, copy) = (directory(), directory());
        build(&Tree(upper.path()), &steps);
        let (made, tar) = packed(upper.path());
        let back = unpacked(&tar, copy.path()).unwrap();
        prop_assert_eq!(listing(copy.path()), listing(upper.path()));
        prop_assert_eq!((back.size_bytes, back.entries), (made.size_bytes, made.entries));
        prop_assert_eq!(packed(copy.path()).1, tar);
    }
}
