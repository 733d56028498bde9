//! Several at once on one file: what comes of it is what one after another would do.

use super::acl::follow_mode;
use super::open::node_opens;
use super::walk::Last;
use super::{Machine, READ, WRITE};
use crate::errno::Errno;
use crate::inode::{Body, mode};
use crate::operation::{Access, Answer, Flags, User, race_offset};
use crate::text::Text;

const OWNER_READS_AND_WRITES: u32 = 0o600;
/// As the writers open it.
const READ_WRITE: Flags = Flags::of(Access::ReadWrite);

impl Machine {
    pub(super) fn race(&mut self, user: User, path: &Text, letters: &[u8], bits: Option<u32>) -> Result<Answer, Errno> {
        let (path, seen) = self.existing(user, path, Last::FOLLOWED)?;
        self.may_open(user, &path, &seen, READ_WRITE)?;
        let inode = self.union.inode(seen.top());
        let size_bytes = match &inode.body {
            Body::File(content) => content.len(),
            _ => return node_opens(inode, READ_WRITE).and(Err(Errno::INVAL)),
        };
        let inode = self.copied_up_whole(&path)?;
        for (writer, letter) in letters.iter().enumerate() {
            if let Some(offset) = race_offset(writer, letters.len(), size_bytes) {
                self.remove_privileges(user, inode);
                self.change(inode, |content| content[offset] = *letter);
            }
        }
        if let Some(bits) = bits {
            let meta = &mut self.union.upper_mut(inode).meta;
            meta.mode = bits;
            follow_mode(meta);
        }
        Ok(Answer::Done)
    }

    /// Whether it makes no difference who comes first when others write while the mode becomes `bits`: nobody is refused before
    /// or after, and there are no bits that a write takes away.
    pub(super) fn may_race_with(&self, user: User, path: &Text, bits: u32) -> bool {
        let Ok((_, seen)) = self.existing(user, path, Last::FOLLOWED) else { return true };
        let inode = self.union.inode(seen.top());
        inode.is_file()
            && user.owns(&inode.meta)
            && self.may(user, &seen, READ | WRITE).is_ok()
            && bits & OWNER_READS_AND_WRITES == OWNER_READS_AND_WRITES
            && bits & (mode::SET_UID | mode::SET_GID) == 0
    }
}
