//! Access control lists as values: who may do what, in acl(5)'s short text form and in the bytes of the attribute.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::errno::Errno;
use crate::inode::mode;

/// The attribute that holds the list by which access is decided.
pub const ACCESS: &str = "system.posix_acl_access";
/// The attribute of a directory that holds the list for what is made in it.
pub const DEFAULT: &str = "system.posix_acl_default";

/// `POSIX_ACL_XATTR_VERSION` (`include/uapi/linux/posix_acl_xattr.h`).
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
/// `ACL_UNDEFINED_ID`: what stands for an ID where there is none.
const NO_ID: u32 = u32::MAX;
const READ_WRITE_EXECUTE: u16 = 0o7;

/// Whom a line is about; the order is the one they must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// The owner.
    Owner,
    /// This user.
    User(u32),
    /// The file's group.
    Group,
    /// This group.
    InGroup(u32),
    /// The most that any user or group of the lines before gets.
    Mask,
    /// Everybody else.
    Others,
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Whom it is about.
    pub who: Who,
    /// What they may: three bits, as in a mode.
    pub may: u16,
}

/// A list; an empty one stands for none.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Acl(pub Vec<Entry>);

impl Acl {
    /// The value of the attribute (`struct posix_acl_xattr_entry`).
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        for Entry { who, may } in &self.0 {
            let (tag, id): (u16, u32) = match who {
                Who::Owner => (0x01, NO_ID),
                Who::User(id) => (0x02, *id),
                Who::Group => (0x04, NO_ID),
                Who::InGroup(id) => (0x08, *id),
                Who::Mask => (0x10, NO_ID),
                Who::Others => (0x20, NO_ID),
            };
            bytes.extend(tag.to_le_bytes());
            bytes.extend(may.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// What the kernel reads in the value of the attribute (`posix_acl_from_xattr` of `fs/posix_acl.c`).
    pub fn of_bytes(bytes: &[u8]) -> Result<Acl, Errno> {
        if bytes.is_empty() {
            return Ok(Acl::default());
        }
        let (version, entries) = bytes.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
        if *version != VERSION {
            return Err(Errno::OPNOTSUPP);
        }
        let (entries, []) = entries.as_chunks::<8>() else { return Err(Errno::INVAL) };
        let entry = |[tag, tag_high, may, may_high, id @ ..]: &[u8; 8]| {
            let id = u32::from_le_bytes(*id);
            let who = match u16::from_le_bytes([*tag, *tag_high]) {
                0x01 => Who::Owner,
                0x02 => Who::User(id),
                0x04 => Who::Group,
                0x08 => Who::InGroup(id),
                0x10 => Who::Mask,
                0x20 => Who::Others,
                _ => return Err(Errno::INVAL),
            };
            Ok(Entry { who, may: u16::from_le_bytes([*may, *may_high]) })
        };
        entries.iter().map(entry).collect::<Result<_, _>>().map(Acl)
    }

    /// Whether the lines are those that a list must have, in their order (`posix_acl_valid` of `fs/posix_acl.c`).
    pub fn is_valid(&self) -> bool {
        let count = |is: fn(&Who) -> bool| self.0.iter().filter(|entry| is(&entry.who)).count();
        let names_somebody = count(|who| matches!(who, Who::User(_) | Who::InGroup(_))) > 0;
        let masks = count(|who| *who == Who::Mask);
        let rank = |entry: &Entry| match entry.who {
            Who::Owner => 0,
            Who::User(_) => 1,
            Who::Group => 2,
            Who::InGroup(_) => 3,
            Who::Mask => 4,
            Who::Others => 5,
        };
        self.0.is_sorted_by_key(rank)
            && self.0.iter().all(|entry| entry.may <= READ_WRITE_EXECUTE)
            && [Who::Owner, Who::Group, Who::Others]
                .iter()
                .all(|who| self.0.iter().filter(|at| at.who == *who).count() == 1)
            && masks <= 1
            && (masks == 1 || !names_somebody)
    }

    /// Whether a mode says all of it: there are only lines for owner, group and others (`posix_acl_equiv_mode`).
    pub fn is_mode(&self) -> bool {
        self.0.iter().all(|entry| matches!(entry.who, Who::Owner | Who::Group | Who::Others))
    }

    /// The nine bits of a mode that show it: a mask stands for the group (`posix_acl_equiv_mode`).
    pub fn mode(&self) -> u32 {
        let of = |who: Who| self.0.iter().find(|entry| entry.who == who).map(|entry| u32::from(entry.may));
        let group = of(Who::Mask).or(of(Who::Group)).unwrap_or(0);
        of(Who::Owner).unwrap_or(0) << 6 | group << 3 | of(Who::Others).unwrap_or(0)
    }

    /// Lets the lines that a mode shows be changed by what it says there.
    fn with(mut self, bits: u32, change: fn(u16, u16) -> u16) -> Acl {
        let has_mask = self.0.iter().any(|entry| entry.who == Who::Mask);
        for entry in &mut self.0 {
            let shift = match entry.who {
                Who::Owner => 6,
                Who::Mask => 3,
                Who::Group if !has_mask => 3,
                Who::Others => 0,
                _ => continue,
            };
            entry.may = change(entry.may, (bits >> shift) as u16 & READ_WRITE_EXECUTE);
        }
        self
    }

    /// What a chmod to `bits` makes of it (`__posix_acl_chmod_masq` of `fs/posix_acl.c`).
    pub fn changed_to(self, bits: u32) -> Acl {
        self.with(bits, |_, asked| asked)
    }

    /// What something that is made with the mode `bits` gets of a directory's list (`posix_acl_create_masq`).
    pub fn inherited_with(self, bits: u32) -> Acl {
        self.with(bits, |may, asked| may & asked)
    }

    /// Whether a user that is not the file's owner may do all of `wanted` (`posix_acl_permission` of `fs/posix_acl.c`); IDs of user
    /// and group are the same, the file's group is `group`.
    pub fn allows(&self, id: u32, group: u32, wanted: u32) -> bool {
        let is_enough = |may: u16| u32::from(may) & wanted == wanted;
        let mask = self.0.iter().find(|entry| entry.who == Who::Mask).map_or(READ_WRITE_EXECUTE, |mask| mask.may);
        if let Some(named) = self.0.iter().find(|entry| entry.who == Who::User(id)) {
            return is_enough(named.may & mask);
        }
        let is_mine = |who: Who| who == Who::Group && group == id || who == Who::InGroup(id);
        let mut mine = self.0.iter().filter(|entry| is_mine(entry.who)).peekable();
        match mine.peek() {
            Some(_) => mine.any(|entry| is_enough(entry.may)) && is_enough(mask),
            None => self.0.iter().any(|entry| entry.who == Who::Others && is_enough(entry.may)),
        }
    }
}

/// Every bit that a list decides of a mode.
pub const MODE_BITS: u32 = mode::ALL & 0o777;

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Entry { who, may }) in self.0.iter().enumerate() {
            let bit = |bit: u16, letter: char| if may & bit == 0 { '-' } else { letter };
            let comma = if number == 0 { "" } else { "," };
            let who = match who {
                Who::Owner => "u:".to_owned(),
                Who::User(id) => format!("u:{id}"),
                Who::Group => "g:".to_owned(),
                Who::InGroup(id) => format!("g:{id}"),
                Who::Mask => "m:".to_owned(),
                Who::Others => "o:".to_owned(),
            };
            write!(f, "{comma}{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A text that is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAcl(String);

impl fmt::Display for NoAcl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no access control list; one is u::rw-,u:1000:r--,g::r--,m::r--,o::---", self.0)
    }
}

impl std::error::Error for NoAcl {}

impl FromStr for Acl {
    type Err = NoAcl;

    fn from_str(text: &str) -> Result<Acl, NoAcl> {
        let entry = |line: &str| {
            let [kind, id, may] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
            let who = match (kind, id) {
                ("u", "") => Who::Owner,
                ("u", id) => Who::User(id.parse().ok()?),
                ("g", "") => Who::Group,
                ("g", id) => Who::InGroup(id.parse().ok()?),
                ("m", "") => Who::Mask,
                ("o", "") => Who::Others,
                _ => return None,
            };
            let bit = |letter: char, bit: u16| if may.contains(letter) { bit } else { 0 };
            let entry = Entry { who, may: bit('r', 4) | bit('w', 2) | bit('x', 1) };
            may.chars().all(|letter| "rwx-".contains(letter)).then_some(entry)
        };
        let lines = text.split(',').filter(|line| !line.is_empty());
        lines.map(entry).collect::<Option<_>>().map(Acl).ok_or_else(|| NoAcl(text.to_owned()))
    }
}

impl Serialize for Acl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Acl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Acl, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive_being_written_as_text_and_as_bytes() {
        for text in ["", "u::rwx,g::r-x,o::---", "u::rw-,u:1000:r--,g::---,g:7:-wx,m::r--,o::---"] {
            let acl: Acl = text.parse().unwrap();
            assert_eq!(acl.to_string(), text);
            assert_eq!(Acl::of_bytes(&acl.bytes()), Ok(acl));
        }
        assert!("u::rwz".parse::<Acl>().is_err() && "x::r".parse::<Acl>().is_err() && "u:r".parse::<Acl>().is_err());
    }

    #[test]
    fn lists_need_their_lines_in_order_and_a_mask_for_whoever_is_named() {
        let is_valid = |text: &str| text.parse::<Acl>().unwrap().is_valid();
        assert!(is_valid("u::rwx,g::r-x,o::---") && is_valid("u::rwx,g::r-x,m::r--,o::---"));
        assert!(is_valid("u::rwx,u:0:r--,u:0:r--,g::r-x,g:1:r--,m::r--,o::---"));
        assert!(!is_valid("u::rwx,u:0:r--,g::r-x,o::---"));
        assert!(!is_valid("g::r-x,u::rwx,o::---") && !is_valid("u::rwx,g::r-x") && !is_valid(""));
    }

    #[test]
    fn a_mask_limits_everybody_but_owner_and_others() {
        let acl: Acl = "u::rwx,u:5:rw-,g::rwx,g:6:-w-,m::r--,o::rwx".parse().unwrap();
        assert!(acl.allows(5, 0, 4) && !acl.allows(5, 0, 2));
        assert!(acl.allows(7, 7, 4) && !acl.allows(7, 7, 2));
        assert!(!acl.allows(6, 0, 4) && !acl.allows(6, 0, 2));
        assert!(acl.allows(8, 0, 7));
        assert_eq!(acl.mode(), 0o747);
    }
}
