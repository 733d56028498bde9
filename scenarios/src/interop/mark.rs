//! Extended attributes that files of a campaign have, and the tars that tell of them.

use super::files::TIMES_END;

/// What a file has beside its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The only one that travels with a commit or an export: all others stay with the container.
    Capability,
    User,
    Trusted,
    AccessList,
}

impl Mark {
    pub const ALL: [Mark; 4] = [Mark::Capability, Mark::User, Mark::Trusted, Mark::AccessList];

    /// The attribute's name, and its bytes.
    pub fn attribute(self) -> (&'static str, &'static [u8]) {
        match self {
            // `cap_net_raw+ep` of revision 2 (linux/capability.h, `struct vfs_cap_data`).
            Mark::Capability => {
                ("security.capability", &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            }
            Mark::User => ("user.layerlab", b"a=b\nc"),
            Mark::Trusted => ("trusted.layerlab", b"\0\xff"),
            // `user::rw-,user:12:r--,group::r--,mask::r--,other::r--`, as mode 0644 has it (linux/posix_acl_xattr.h): version 2, then tag, rights
            // and ID of each.
            Mark::AccessList => (
                "system.posix_acl_access",
                b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x0c\0\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\
                  \x20\0\x04\0\xff\xff\xff\xff",
            ),
        }
    }
}

/// The tar of a file of today's with mode 0644 and these marks.
pub fn tar_of(name: &str, content: &str, marks: &[Mark]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIMES_END);
    let records: Vec<(String, &[u8])> = marks
        .iter()
        .map(|mark| mark.attribute())
        .map(|(name, value)| (format!("SCHILY.xattr.{name}"), value))
        .collect();
    let written = tar
        .append_pax_extensions(records.iter().map(|(name, value)| (name.as_str(), *value)))
        .and_then(|()| tar.append_data(&mut header, name, content.as_bytes()))
        .and_then(|()| tar.into_inner());
    written.unwrap_or_else(|error| panic!("a tar in memory: {error}"))
}

/// A tar with the entries of two; of the first, the two blocks go that end it.
pub fn joined(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    first.truncate(first.len().saturating_sub(1024));
    first.extend(second);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_tar_has_the_entries_of_both_with_their_marks() {
        let tar = joined(tar_of("a", "1", &Mark::ALL), &tar_of("b", "2", &[]));
        let mut archive = tar::Archive::new(tar.as_slice());
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [std::path::Path::new("a"), "b".as_ref()]);
        for (name, value) in Mark::ALL.map(Mark::attribute) {
            let record = [b" SCHILY.xattr.", name.as_bytes(), b"=", value, b"\n"].concat();
            assert_eq!(tar.windows(record.len()).filter(|window| *window == record).count(), 1, "{name}");
        }
    }
}
