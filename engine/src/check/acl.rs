//! Access control lists (acl(5)) as a layer's tar has them, and what becomes of them on disk.
//!
//! The value of their xattrs is a version and entries of a tag, permissions and an ID, little-endian (Linux,
//! `include/uapi/linux/posix_acl_xattr.h`).

/// The list of a file.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list that a directory hands down to what is made in it.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const VERSION_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// What one entry grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    tag: u16,
    permissions: u16,
    /// Of a named user or group only: what others have there says nothing.
    id: Option<u32>,
}

/// Whether an xattr is a list.
pub(super) fn is_list(name: &[u8]) -> bool {
    name == ACCESS || name == DEFAULT
}

/// Whether a file that was given the list `wanted`, and then `mode`, has the list `found`. What is no list was not taken.
pub(super) fn is_same(name: &[u8], wanted: &[u8], mode: u32, found: Option<&[u8]>) -> bool {
    let Some(mut wanted) = parse(wanted) else { return true };
    if name == ACCESS {
        obey(&mut wanted, mode);
        // What a mode says is not kept beside it (`posix_acl_equiv_mode`).
        if wanted.iter().all(|grant| [USER_OBJ, GROUP_OBJ, OTHER].contains(&grant.tag)) {
            return found.is_none();
        }
    }
    found.and_then(parse).unwrap_or_default() == wanted
}

fn parse(value: &[u8]) -> Option<Vec<Grant>> {
    let (version, entries) = value.split_at_checked(VERSION_BYTES)?;
    if u32::from_le_bytes(version.try_into().ok()?) != VERSION || entries.len() % ENTRY_BYTES != 0 {
        return None;
    }
    let grant = |entry: &[u8]| {
        let short = |at: usize| Some(u16::from_le_bytes(entry.get(at..at + 2)?.try_into().ok()?));
        let (tag, id) = (short(0)?, u32::from_le_bytes(entry.get(4..)?.try_into().ok()?));
        Some(Grant { tag, permissions: short(2)?, id: [USER, GROUP].contains(&tag).then_some(id) })
    };
    entries.chunks(ENTRY_BYTES).map(grant).collect()
}

/// What chmod(2) makes of a list (`posix_acl_chmod`): where there is a mask, the group's bits are the mask's.
fn obey(grants: &mut [Grant], mode: u32) {
    let of_group = if grants.iter().any(|grant| grant.tag == MASK) { MASK } else { GROUP_OBJ };
    for grant in grants {
        let shift = match grant.tag {
            USER_OBJ => 6,
            OTHER => 0,
            tag if tag == of_group => 3,
            _ => continue,
        };
        grant.permissions = (mode >> shift & 0o7) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(grants: &[(u16, u16, u32)]) -> Vec<u8> {
        let entries = grants.iter().flat_map(|(tag, permissions, id)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        VERSION.to_le_bytes().into_iter().chain(entries).collect()
    }

    fn named(permissions: u16, mask: u16) -> Vec<u8> {
        list(&[(USER_OBJ, 6, u32::MAX), (USER, permissions, 7), (GROUP_OBJ, 4, 0), (MASK, mask, 0), (OTHER, 4, 0)])
    }

    #[test]
    fn a_list_is_another_when_it_grants_otherwise_than_the_mode_and_it_itself_say() {
        let wanted = named(6, 6);
        assert!(is_same(ACCESS, &wanted, 0o664, Some(&wanted)));
        // The mode came last: the mask is what it says.
        assert!(is_same(ACCESS, &wanted, 0o644, Some(&named(6, 4))));
        assert!(!is_same(ACCESS, &wanted, 0o644, Some(&wanted)));
        assert!(!is_same(ACCESS, &wanted, 0o664, Some(&named(4, 6))));
        assert!(!is_same(ACCESS, &wanted, 0o664, None));
        // A directory's mode does not change what it hands down.
        assert!(is_same(DEFAULT, &wanted, 0o700, Some(&wanted)) && !is_same(DEFAULT, &wanted, 0o700, None));
    }

    #[test]
    fn a_list_that_says_what_a_mode_does_is_not_kept() {
        let plain = list(&[(USER_OBJ, 6, 0), (GROUP_OBJ, 4, 0), (OTHER, 4, 0)]);
        assert!(is_same(ACCESS, &plain, 0o644, None));
        assert!(!is_same(ACCESS, &plain, 0o644, Some(&named(6, 6))));
    }

    #[test]
    fn what_is_no_list_was_never_taken() {
        for value in [&b""[..], b"\x02\0\0", b"\x03\0\0\0", b"\x02\0\0\0\x01"] {
            assert!(is_same(ACCESS, value, 0o644, None), "{value:?}");
        }
    }
}
