//! What was deleted is there again when the container starts anew.
//!
//! Origin: WH-11. tursodatabase/agentfs#270, mended in its pull request 271: the set of whiteouts began empty with each mount.

use std::io;

use crate::bug::{Bug, Layers};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.without_whiteouts(|_| true)
    }
}
