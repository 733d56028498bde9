//! Whether a comparison of trees sees every field: pairs of trees that differ in one field alone, for each kind of file.
//!
//! *Why*: a comparison that forgets the group passes every case, and nobody learns of the driver that does. *Holds*: a field without a pair
//! cannot be added. *Never*: a disk; whether a field is read from there is asked by `tests/comparator.rs`. *Proved by*: that test, for a
//! comparator without each field; and `layerlab-laws` and the hunt for seeded bugs ask it before they begin.

use anyhow::bail;
use layerlab_model::inode::Time;
use layerlab_model::text::Text;

use super::{Attributes, Clock, Comparator, Difference, Facts, Field, Inodes, Marks, Tree, When, word};

/// Every kind of file that trees have.
const KINDS: &str = "-dlpscbw";

/// Two trees that differ in one field.
#[derive(Debug, Clone)]
pub struct Seeded {
    /// In which.
    pub field: Field,
    /// A file of which kind is another, and how.
    pub what: String,
    /// The one.
    pub tree: Tree,
    /// The other.
    pub other: Tree,
}

/// A way to compare two trees, and what it is not about.
type Comparison = (&'static str, fn(Comparator, &Tree, &Tree) -> Vec<Difference>, &'static [Field]);

/// Every one. What has no names in the model cannot be wrong there.
const COMPARISONS: [Comparison; 3] = [
    ("a comparison with the model", with_the_model, &[Field::Inode]),
    (
        "a comparison with the model, turned round",
        |who, one, other| with_the_model(who, other, one),
        &[Field::Inode, Field::Unknown],
    ),
    ("a comparison of two readings", |who, one, other| who.changes(one, other, Inodes::Compared), &[Field::Names]),
];

fn with_the_model(who: Comparator, expected: &Tree, actual: &Tree) -> Vec<Difference> {
    let mut found = who.differences(expected, actual, &mut Clock::new());
    found.extend(who.link_differences(expected, actual));
    found
}

/// The pairs that `comparator` does not see, or takes for something else, and by which comparison.
pub fn unseen(comparator: Comparator) -> Vec<(Seeded, &'static str)> {
    let mut unseen = Vec::new();
    for pair in seeded() {
        for (name, compare, others_affair) in COMPARISONS {
            let found = compare(comparator, &pair.tree, &pair.other);
            let is_seen = !found.is_empty() && found.iter().all(|difference| difference.field == pair.field);
            if !is_seen && !others_affair.contains(&pair.field) {
                unseen.push((pair.clone(), name));
            }
        }
    }
    unseen
}

/// Fails if the comparison of trees leaves something out; asked before a campaign, of which nothing would be worth anything.
pub fn see_everything() -> anyhow::Result<()> {
    match unseen(Comparator::WHOLE).first() {
        None => Ok(()),
        Some((pair, by)) => bail!("{by} does not see another {}: {}", pair.field.word(), pair.what),
    }
}

/// Pairs for every field and kind of file.
pub fn seeded() -> Vec<Seeded> {
    let mut pairs = Vec::new();
    for kind in KINDS.chars() {
        let tree = tree_of(kind);
        for field in Field::ALL {
            for (how, change) in ways(*field, kind) {
                let mut other = tree.clone();
                change(&mut other);
                let what = format!("{}, {how}", word(kind));
                pairs.push(Seeded { field: *field, what, tree: tree.clone(), other });
            }
        }
    }
    pairs
}

const FILE: &str = "file";
const SAME: &str = "same";

/// A directory with a file of this kind, and another name of it.
fn tree_of(kind: char) -> Tree {
    let facts = |kind: char, number| Facts {
        kind,
        mode: 0o644,
        owner: (1, 2),
        mtime: When::Time(Time { seconds: 3, nanoseconds: 4 }),
        content: if matches!(kind, '-' | 'l') { b"content".to_vec() } else { Vec::new() },
        device: if matches!(kind, 'b' | 'c') { (5, 6) } else { (0, 0) },
        links: if kind == 'd' { 0 } else { 2 },
        identity: (7, number),
        xattrs: Attributes::from([("user.a".into(), b"value".to_vec()), ("user.b".into(), Vec::new())]),
        marks: Marks::default(),
        private: Attributes::new(),
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    };
    let mut tree = Tree::from([(Text::default(), facts('d', 8)), (FILE.into(), facts(kind, 9))]);
    if kind != 'd' {
        tree.insert(SAME.into(), facts(kind, 9));
    }
    tree
}

type Change = Box<dyn Fn(&mut Tree)>;
type Ways = Vec<(String, Change)>;

/// How a file of this kind can differ in `field` alone.
fn ways(field: Field, kind: char) -> Ways {
    let is_directory = kind == 'd';
    match field {
        Field::Presence => vec![
            ("gone".to_owned(), Box::new(|tree| drop(tree.remove(&FILE.into())))),
            ("come".to_owned(), Box::new(move |tree| drop(tree.insert("more".into(), tree[&FILE.into()].clone())))),
        ],
        Field::Kind => {
            let others = KINDS.chars().filter(|other| *other != kind);
            others.map(|other| way(word(other), move |facts| facts.kind = other)).collect()
        }
        Field::Mode => (0..12).map(|bit| way(&format!("bit {bit}"), move |facts| facts.mode ^= 1 << bit)).collect(),
        Field::Owner => bits(|facts, bit| facts.owner.0 ^= bit),
        Field::Group => bits(|facts, bit| facts.owner.1 ^= bit),
        Field::Mtime => [(1, 0), (-1, 0), (1 << 32, 0), (0, 1), (0, 999_999_000)]
            .map(|(seconds, nanoseconds)| {
                let time = Time { seconds: 3 + seconds, nanoseconds: 4 + nanoseconds };
                way(&format!("at {time}"), move |facts| facts.mtime = When::Time(time))
            })
            .into(),
        Field::Content if kind == '-' => contents(),
        Field::Target if kind == 'l' => contents(),
        Field::Device if matches!(kind, 'b' | 'c') => {
            let others = [(6, 6), (5, 7), (6, 5), (5 + 256, 6), (5, 6 + 256)];
            others.map(|device| way(&format!("of {device:?}"), move |facts| facts.device = device)).into()
        }
        Field::Links if !is_directory => vec![way("one more", |facts| facts.links += 1)],
        Field::Names if !is_directory && kind != 'w' => {
            vec![way("a file of its own", |facts| facts.identity.1 += 1)]
        }
        Field::Inode => vec![
            ("another number".to_owned(), of_all(|facts| facts.identity.1 += 1)),
            ("another device".to_owned(), of_all(|facts| facts.identity.0 += 1)),
        ],
        Field::Xattrs => vec![
            way("one less", |facts| drop(facts.xattrs.remove(&"user.a".into()))),
            way("the empty one less", |facts| drop(facts.xattrs.remove(&"user.b".into()))),
            way("an empty one more", |facts| drop(facts.xattrs.insert("user.c".into(), Vec::new()))),
            way("another value", |facts| drop(facts.xattrs.insert("user.a".into(), b"valuf".to_vec()))),
            way("an emptied value", |facts| drop(facts.xattrs.insert("user.a".into(), Vec::new()))),
        ],
        Field::Opaque if is_directory => vec![way("marked", |facts| facts.marks.opaque = true)],
        Field::Redirect if is_directory || kind == '-' => vec![way("marked", |facts| facts.marks.redirect = true)],
        Field::Metacopy if kind == '-' => vec![way("marked", |facts| facts.marks.metacopy = true)],
        Field::Unknown => vec![way("marked", |facts| facts.marks.unknown.push("trusted.overlay.other".into()))],
        // Files of this kind have none.
        Field::Content
        | Field::Target
        | Field::Device
        | Field::Links
        | Field::Names
        | Field::Opaque
        | Field::Redirect
        | Field::Metacopy => Vec::new(),
    }
}

fn way(how: &str, change: impl Fn(&mut Facts) + 'static) -> (String, Change) {
    (how.to_owned(), Box::new(move |tree| tree.get_mut(&Text::from(FILE)).into_iter().for_each(&change)))
}

/// Everything but the root is changed.
fn of_all(change: impl Fn(&mut Facts) + 'static) -> Change {
    Box::new(move |tree| tree.iter_mut().filter(|(path, _)| !path.0.is_empty()).for_each(|(_, facts)| change(facts)))
}

/// Some of 32 bits.
fn bits(flip: fn(&mut Facts, u32)) -> Ways {
    [0, 7, 8, 15, 16, 21, 31].map(|bit| way(&format!("bit {bit}"), move |facts| flip(facts, 1 << bit))).into()
}

fn contents() -> Ways {
    let others: [&[u8]; 6] = [b"Content", b"contenT", b"conXent", b"conten", b"content\0", b""];
    others.map(|other| way(&Text(other.to_vec()).to_string(), move |facts| facts.content = other.to_vec())).into()
}
