//! Mends what a check has found, one finding after another, and checks again until nothing is left that can be mended.
//!
//! *Holds*: each remedy is decided on what is on the disk while the store's lock is held: it is looked for again, files of layers included, and
//! what is found then is what is mended; a layer that comes from a registry is unpacked aside and verified before anything changes, and
//! takes the place of the broken one by a rename; what a container or a command uses is left alone; a dockerd that begins meanwhile is kept out as long as it tries. *Never*: a
//! file is touched that no finding names, or a container's own files, but of one that was to go with its end (`--rm`).

use std::collections::BTreeSet;

use super::books::Books;
use super::finding::{About, Fault, Finding, Remedy, Way};
use super::place::Place;
use super::{CheckError, Report, Scope, check, content, fetch, find, mend};
use crate::driver::DriverError;
use crate::image::Digest;
use crate::registry::{PullError, RegistrySettings};
use crate::store::{Lock, StoreError, daemon};

/// More rounds than mending ever needs: a name, then what is below, then what was of nobody.
const ROUNDS_MAX: usize = 8;

/// Why something could not be mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("it could not be pulled: {0}")]
    Pull(#[from] PullError),
    #[error("the registry no longer has this image: {0} leads to another")]
    OtherImage(String),
    #[error("container {0} uses this layer: stop it and try again")]
    InUse(String),
    #[error("another command reads this layer: try again when it is done")]
    Read,
    #[error("something is mounted on {0}: unmount it and try again")]
    Mounted(String),
    #[error("{0}")]
    Recover(String),
    /// What came of another finding about the same layer.
    #[error("{0}")]
    Same(String),
    #[error("it has changed since it was found; check again")]
    Changed,
}

/// How things are mended.
pub struct Means<'a> {
    /// How registries are reached.
    pub registry: &'a RegistrySettings,
    /// Give files whose owners are not mapped here to the caller.
    pub squash_owners: bool,
    /// Opens an engine, which sets containers right whose monitors are gone.
    pub recover: &'a dyn Fn() -> Result<(), String>,
    /// Is told of each finding that it was mended, or why not.
    pub tell: &'a dyn Fn(&Finding, Option<&RepairError>),
}

/// What is wrong with images themselves.
const OF_IMAGES: [Fault; 3] = [Fault::ImageConfig, Fault::DanglingName, Fault::Names];
/// What no image and no container asks for: it is left where it is while one of those is in doubt.
const OF_NOBODY: [Fault; 2] = [Fault::UnusedLayer, Fault::OrphanDirectory];
/// What only shows when the files of a layer are read.
const OF_CONTENT: [Fault; 6] =
    [Fault::AddedFile, Fault::Attributes, Fault::Content, Fault::LayerSize, Fault::LayerRecord, Fault::TarSplit];

/// Mends what can be mended, of all or of some images, and says what is wrong after that.
pub fn repair(place: &Place, names: &[String], means: &Means<'_>) -> Result<Report, CheckError> {
    let _kept_out = daemon::keep_out(&place.data_root).map_err(|error| match error {
        StoreError::Dockerd(data_root) => CheckError::Dockerd(data_root),
        error => error.into(),
    })?;
    let mut given_up: Vec<Finding> = Vec::new();
    let mut is_doubtful = false;
    for _ in 0..ROUNDS_MAX {
        let mut findings = check(place, names)?.findings;
        // What an image has lost may have been the only word for its layers, and be forgotten by the next round.
        is_doubtful |= findings.iter().any(|finding| OF_IMAGES.contains(&finding.fault));
        findings.retain(|finding| !(is_doubtful && OF_NOBODY.contains(&finding.fault)));
        findings.retain(|finding| finding.remedy.is_mending() && !given_up.iter().any(|other| other.is_same(finding)));
        if findings.is_empty() {
            break;
        }
        for (finding, outcome) in mend_all(place, means, &findings)? {
            (means.tell)(&finding, outcome.as_ref().err());
            if outcome.is_err() {
                given_up.push(finding);
            }
        }
    }
    check(place, names)
}

pub(super) type Outcome = (Finding, Result<(), RepairError>);

/// What takes away comes after what adds, and is looked at anew: it may be needed by then.
fn mend_all(place: &Place, means: &Means<'_>, found: &[Finding]) -> Result<Vec<Outcome>, CheckError> {
    let by = |way: Way| found.iter().filter(move |finding| finding.remedy.way() == Some(way)).collect::<Vec<_>>();
    let mut outcomes = mend_here(place, &by(Way::Adding))?;
    outcomes.extend(mend_here(place, &by(Way::Removing))?);
    outcomes.extend(fetch::fetch(place, means, &by(Way::Fetching))?);
    for finding in by(Way::Recovering) {
        outcomes.push((finding.clone(), (means.recover)().map_err(RepairError::Recover)));
    }
    Ok(outcomes)
}

/// Of what is no longer found nothing comes.
fn mend_here(place: &Place, found: &[&Finding]) -> Result<Vec<Outcome>, CheckError> {
    let mut outcomes = Vec::new();
    if found.is_empty() {
        return Ok(outcomes);
    }
    let now = Now::hold(place, found)?;
    for finding in found {
        if let Some(again) = now.again(finding) {
            let is_as_before = again.remedy.way() == finding.remedy.way();
            let outcome = if is_as_before { mend::mend(place, &now.books, again) } else { Err(RepairError::Changed) };
            outcomes.push((again.clone(), outcome));
        }
    }
    Ok(outcomes)
}

/// What is on the disk while nobody else changes it.
pub(super) struct Now {
    pub books: Books,
    found: Vec<Finding>,
    _lock: Lock,
}

impl Now {
    /// Waits for the store's lock, and looks again: at all books, and at the files of the layers that `found` is about.
    pub(super) fn hold(place: &Place, found: &[&Finding]) -> Result<Now, CheckError> {
        let lock = Lock::exclusive(&place.data_root)?;
        let (mut findings, books, _) = find(place, &[])?;
        let mut layers = BTreeSet::new();
        for finding in found.iter().filter(|finding| OF_CONTENT.contains(&finding.fault)) {
            match &finding.about {
                // A whole tree is compared with the one below.
                Some(About::Layer(chain)) if place.has_whole_trees() => layers.extend(books.chain(chain)),
                Some(About::Layer(chain)) => drop(layers.insert(chain.clone())),
                _ => {}
            }
        }
        let scope = Scope { images: Some(BTreeSet::new()), layers: Some(layers) };
        content::check(place, &books, &scope, &mut findings);
        Ok(Now { books, found: findings.all(), _lock: lock })
    }

    /// What was found before, as it is found now.
    pub(super) fn again(&self, finding: &Finding) -> Option<&Finding> {
        self.found.iter().find(|now| now.is_same(finding))
    }

    /// Whether the layer `chain` is still to come again.
    pub(super) fn lacks(&self, chain: &Digest) -> bool {
        self.found.iter().any(|finding| matches!(&finding.remedy, Remedy::FetchLayer(lacking) if lacking == chain))
    }
}
