//! Whoever has a file open to read does not see what another writes into it.
//!
//! Origin: CU-02. Linux before 4.19 (xfstests overlay/016); google/gvisor#1006; DragonOS#2005: the descriptor stayed on the lower file.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Access, Answer, Operation, Step};
use layerlab_model::text::Text;

use crate::bug::{Bug, Layers, Mounted, Notes};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let key = |slot: u8| Text(vec![slot, b' ']);
        let old = |notes: &mut Notes, slot: u8| {
            let found = notes.iter().find(|note| note.as_bytes().starts_with(key(slot).as_bytes())).cloned();
            found.map(|note| (note.as_bytes()[2..].to_vec(), note))
        };
        match &step.operation {
            Operation::Read { slot, offset, length } => {
                let read = mounted.pass(step)?;
                let Some((content, _)) = old(mounted.notes, *slot) else { return Ok(read) };
                let part = content.into_iter().skip(*offset as usize).take(*length as usize);
                return Ok(Answer::Bytes(part.collect()));
            }
            Operation::Open { slot, .. } | Operation::OpenUnnamed { slot, .. } | Operation::Close { slot } => {
                if let Some((_, note)) = old(mounted.notes, *slot) {
                    mounted.notes.remove(&note);
                }
            }
            _ => {}
        }
        let done = mounted.pass(step)?;
        if let Operation::Open { slot, path, flags, .. } = &step.operation
            && flags.access == Access::Read
            && !flags.path_only
            && mounted.in_upper(path).is_none()
            && let Ok(Answer::Bytes(content)) =
                mounted.also(Operation::Read { slot: *slot, offset: 0, length: 1 << 20 })
        {
            mounted.notes.insert(Text([key(*slot).as_bytes(), &content[..]].concat()));
        }
        Ok(done)
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.notes.clear();
        Ok(())
    }
}
