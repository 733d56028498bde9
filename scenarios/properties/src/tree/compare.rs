//! Two trees compared, field by field. A field can be left out, to see that somebody notices ([`super::eyesight`]).

use std::collections::HashMap;
use std::fmt;

use layerlab_model::text::Text;

use super::{Clock, Facts, Marks, Tree, When, shown, texts, word};

macro_rules! fields {
    ($($(#[$what:meta])* $name:ident: $word:literal,)*) => {
        /// What a comparison of two trees reads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Field { $($(#[$what])* $name,)* }

        impl Field {
            /// Every one.
            pub const ALL: &[Field] = &[$(Field::$name),*];

            /// It in words.
            pub const fn word(self) -> &'static str {
                match self { $(Field::$name => $word,)* }
            }
        }
    };
}

fields! {
    /// Whether anything is there.
    Presence: "presence",
    /// What it is.
    Kind: "type",
    /// The twelve bits below the type.
    Mode: "mode",
    /// Whose it is.
    Owner: "owner",
    /// Which group's it is.
    Group: "group",
    /// When the content changed.
    Mtime: "mtime",
    /// A file's content.
    Content: "content",
    /// Where a symbolic link leads to.
    Target: "target",
    /// A device's numbers.
    Device: "device",
    /// How many names it has.
    Links: "number of names",
    /// Which of its names are names of one file.
    Names: "names",
    /// Extended attributes, names and values.
    Xattrs: "xattrs",
    /// Whether nothing shows through.
    Opaque: "opaque mark",
    /// Whether something else shows through.
    Redirect: "redirect",
    /// Whether the content lies elsewhere.
    Metacopy: "metacopy mark",
    /// Attributes that look like overlayfs's, and are none of them.
    Unknown: "unknown private attribute",
    /// The inode's number.
    Inode: "inode",
}

/// Why two trees are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: Text,
    /// In which field.
    pub field: Field,
    /// What.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}: {}", self.path, self.what)
    }
}

/// Whether inode numbers must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inodes {
    /// They must.
    Compared,
    /// Those of files and directories must, others may change.
    OfFilesCompared,
    /// They may change.
    Ignored,
}

/// Whoever compares trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparator {
    without: Option<Field>,
}

/// What of the `actual` tree is not as in `expected`.
pub fn differences(expected: &Tree, actual: &Tree, clock: &mut Clock) -> Vec<Difference> {
    Comparator::WHOLE.differences(expected, actual, clock)
}

/// Which paths of both trees are names of one file in one tree and not in the other.
pub fn link_differences(expected: &Tree, actual: &Tree) -> Vec<Difference> {
    Comparator::WHOLE.link_differences(expected, actual)
}

/// What differs between two readings of one tree, in everything that was read.
pub fn changes(before: &Tree, after: &Tree, inodes: Inodes) -> Vec<Difference> {
    Comparator::WHOLE.changes(before, after, inodes)
}

/// The fields in which two files differ that need nothing else to be compared, and the mtime.
pub fn different_fields(one: &Facts, other: &Facts) -> Vec<Field> {
    let own = own_fields(one, other).into_iter().map(|(field, _)| field);
    own.chain((one.mtime != other.mtime).then_some(Field::Mtime)).collect()
}

impl Comparator {
    /// It leaves nothing out.
    pub const WHOLE: Comparator = Comparator { without: None };

    /// It does not read `field`.
    pub const fn without(field: Field) -> Comparator {
        Comparator { without: Some(field) }
    }

    fn reads(self, field: Field) -> bool {
        self.without != Some(field)
    }

    /// [`differences`]
    pub fn differences(self, expected: &Tree, actual: &Tree, clock: &mut Clock) -> Vec<Difference> {
        let mut found = Vec::new();
        for (path, facts) in expected {
            let mut differ = |field, what| found.push(Difference { path: path.clone(), field, what });
            let Some(real) = actual.get(path) else {
                differ(Field::Presence, format!("should be there ({})", word(facts.kind)));
                continue;
            };
            if facts.kind != real.kind && self.reads(Field::Kind) {
                differ(Field::Kind, kinds(facts, real));
                continue;
            }
            if let When::Time(is) = real.mtime {
                let should = match facts.mtime {
                    When::Time(time) => time,
                    When::Reading(reading) => *clock.entry(reading).or_insert(is),
                    When::Whenever => is,
                };
                if is != should {
                    differ(Field::Mtime, format!("mtime should be {should}, is {is}"));
                }
            }
            own_fields(facts, real).into_iter().for_each(|(field, what)| differ(field, what));
            mark_differences(&facts.marks, &real.marks).into_iter().for_each(|(field, what)| differ(field, what));
        }
        for (path, facts) in actual.iter().filter(|(path, _)| !expected.contains_key(*path)) {
            let what = format!("should not be there ({})", word(facts.kind));
            found.push(Difference { path: path.clone(), field: Field::Presence, what });
        }
        self.read_of(found)
    }

    /// [`link_differences`]
    pub fn link_differences(self, expected: &Tree, actual: &Tree) -> Vec<Difference> {
        let mut there: HashMap<(u64, u64), (u64, u64)> = HashMap::new();
        let mut back: HashMap<(u64, u64), (u64, u64)> = HashMap::new();
        let mut found = Vec::new();
        for (path, facts) in expected.iter().filter(|(_, facts)| facts.kind != 'd' && facts.kind != 'w') {
            let Some(real) = actual.get(path) else { continue };
            let is_same = *there.entry(facts.identity).or_insert(real.identity) == real.identity
                && *back.entry(real.identity).or_insert(facts.identity) == facts.identity;
            if !is_same {
                let what = "is not one file with the names it should be one with, or with others".to_owned();
                found.push(Difference { path: path.clone(), field: Field::Names, what });
            }
        }
        self.read_of(found)
    }

    /// [`changes`]
    pub fn changes(self, before: &Tree, after: &Tree, inodes: Inodes) -> Vec<Difference> {
        let device = |tree: &Tree| tree.get(&Text::default()).map(|root| root.identity.0);
        let (device_before, device_after) = (device(before), device(after));
        let mut found = Vec::new();
        for (path, facts) in before {
            let mut differ = |field, what| found.push(Difference { path: path.clone(), field, what });
            let Some(now) = after.get(path) else {
                differ(Field::Presence, format!("{} is gone", word(facts.kind)));
                continue;
            };
            if facts.kind != now.kind && self.reads(Field::Kind) {
                differ(Field::Kind, kinds(facts, now));
                continue;
            }
            own_fields(facts, now).into_iter().for_each(|(field, what)| differ(field, what));
            if facts.mtime != now.mtime {
                differ(Field::Mtime, format!("mtime was {:?}, is {:?}", facts.mtime, now.mtime));
            }
            for field in other_marks(&facts.marks, &now.marks) {
                differ(field, format!("marks were {:?}, are {:?}", facts.marks, now.marks));
            }
            let is_root_device = (Some(facts.identity.0) == device_before, Some(now.identity.0) == device_after);
            let is_same = facts.identity.1 == now.identity.1 && is_root_device.0 == is_root_device.1;
            let is_compared = match inodes {
                Inodes::Compared => true,
                Inodes::OfFilesCompared => matches!(facts.kind, '-' | 'd'),
                Inodes::Ignored => false,
            };
            if is_compared && !is_same {
                differ(Field::Inode, format!("inode was {:?}, is {:?}", facts.identity, now.identity));
            }
        }
        for (path, facts) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
            let what = format!("{} has come", word(facts.kind));
            found.push(Difference { path: path.clone(), field: Field::Presence, what });
        }
        self.read_of(found)
    }

    /// What is left of `found` for who does not read everything.
    fn read_of(self, mut found: Vec<Difference>) -> Vec<Difference> {
        found.retain(|difference| self.reads(difference.field));
        found
    }
}

fn kinds(should: &Facts, is: &Facts) -> String {
    format!("should be {}, is {}", word(should.kind), word(is.kind))
}

/// What differs in the facts that need nothing else to be compared. Whoever adds a fact says here who reads it.
fn own_fields(should: &Facts, is: &Facts) -> Vec<(Field, String)> {
    let Facts {
        kind,
        mode,
        owner,
        content,
        device,
        links,
        xattrs,
        // The comparisons do.
        mtime: _,
        identity: _,
        marks: _,
        // `crate::private` does.
        private: _,
        // `readdir-says-what-lookup-says` and `inode-numbers-are-as-promised` do.
        is_listed_as_what_it_is: _,
        is_listed_with_its_inode: _,
    } = should;
    let mut found = Vec::new();
    let mut compare = |field: Field, is_same: bool, said: &dyn Fn() -> (String, String)| {
        if !is_same {
            let (should, is) = said();
            found.push((field, format!("{} should be {should}, is {is}", field.word())));
        }
    };
    let of_bytes = if *kind == 'l' { Field::Target } else { Field::Content };
    compare(Field::Kind, *kind == is.kind, &|| (word(*kind).to_owned(), word(is.kind).to_owned()));
    compare(Field::Mode, *mode == is.mode, &|| (format!("{mode:04o}"), format!("{:04o}", is.mode)));
    compare(Field::Owner, owner.0 == is.owner.0, &|| (owner.0.to_string(), is.owner.0.to_string()));
    compare(Field::Group, owner.1 == is.owner.1, &|| (owner.1.to_string(), is.owner.1.to_string()));
    compare(Field::Device, *device == is.device, &|| (format!("{device:?}"), format!("{:?}", is.device)));
    compare(Field::Links, *links == is.links, &|| (links.to_string(), is.links.to_string()));
    compare(of_bytes, *content == is.content, &|| (shown(content), shown(&is.content)));
    compare(Field::Xattrs, *xattrs == is.xattrs, &|| {
        (format!("{:?}", texts(xattrs)), format!("{:?}", texts(&is.xattrs)))
    });
    found
}

/// What overlayfs's marks should and should not say.
pub(crate) fn mark_differences(expected: &Marks, actual: &Marks) -> Vec<(Field, String)> {
    let mut found = Vec::new();
    let mut differ = |field, what: String| found.push((field, what));
    if expected.opaque != actual.opaque && !(expected.opaque_is_free && actual.opaque) {
        differ(Field::Opaque, format!("should {}be marked opaque", if expected.opaque { "" } else { "not " }));
    }
    if expected.redirect != actual.redirect && !(expected.redirect_is_free && actual.redirect) {
        differ(Field::Redirect, format!("should {}have a redirect", if expected.redirect { "" } else { "not " }));
    }
    if expected.metacopy != actual.metacopy {
        let word = if expected.metacopy { "" } else { "not " };
        differ(Field::Metacopy, format!("should {word}be without content of its own"));
    }
    actual.unknown.iter().for_each(|name| differ(Field::Unknown, format!("has the attribute {name}")));
    found
}

/// In which marks two readings differ. Whoever adds a mark says so here.
fn other_marks(before: &Marks, after: &Marks) -> impl Iterator<Item = Field> {
    // What the model leaves free is read from no disk.
    let Marks { opaque, redirect, metacopy, opaque_is_free: _, redirect_is_free: _, unknown } = before;
    let all = [
        (Field::Opaque, *opaque == after.opaque),
        (Field::Redirect, *redirect == after.redirect),
        (Field::Metacopy, *metacopy == after.metacopy),
        (Field::Unknown, *unknown == after.unknown),
    ];
    all.into_iter().filter(|(_, is_same)| !is_same).map(|(field, _)| field)
}
