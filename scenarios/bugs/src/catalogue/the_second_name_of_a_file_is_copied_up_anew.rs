//! What was written into a file under one of its names is not there under the other.
//!
//! Origin: HL-04. Linux (xfstests overlay/018, 032 and 033; 042 by 6eaf011144af): each name of a lower file was copied up for itself, where the index
//! would have told that it had been.

use std::path::Path;

use layerlab_properties::subjects::{self, Stack, Subject, SubjectError};

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Mount("overlay-index")
    }

    fn begin(&self, subject: &dyn Subject, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        // The same, but for the index.
        let without = subjects::all().into_iter().find(|other| other.name() == "overlay");
        without.as_deref().unwrap_or(subject).begin(place)
    }
}
