//! Records of layers: their files, their chain IDs, what they lie on, and whether anybody needs them.

use std::collections::BTreeSet;
use std::path::Path;

use super::books::{Books, is_cache_id};
use super::finding::{Fault, Findings, Remedy};
use super::place::Place;
use super::text::Text;
use super::{CheckError, Scope, content, directories, users};
use crate::image::Digest;
use crate::layer::chain_id;
use crate::store::{Asked, Hold, Lock};

pub(super) fn check(place: &Place, books: &Books, scope: &Scope, findings: &mut Findings) {
    for chain in books.layers.keys().filter(|chain| scope.has_layer(chain)) {
        let directory = place.chains().join(chain.hex());
        check_cache_id(place, books, chain, &directory, findings);
        check_diff(books, chain, &directory, findings);
        check_parent(books, chain, &directory, findings);
        let (record, parent) = (&books.layers[chain], books.parent(chain));
        let diff_id = record.diff_id.as_ref().filter(|_| !books.known.contains_key(chain));
        if let Some(named) = diff_id.map(|diff_id| chain_id(parent.as_ref(), diff_id)).filter(|named| named != chain) {
            let what =
                format!("the layer {} should be called {named}, by its diff ID and what is below", chain.short());
            let advice =
                Remedy::Advice("no image tells which of them is right: remove the container that uses it".into());
            findings.layer(chain, Fault::ChainId, &directory, what, advice);
        }
    }
    if scope.is_all() {
        check_use(place, books, findings);
    }
}

fn check_cache_id(place: &Place, books: &Books, chain: &Digest, directory: &Path, findings: &mut Findings) {
    let path = directory.join("cache-id");
    let wrong = match Text::fault(&path, is_cache_id) {
        None if books.doubled.contains(chain) => "is that of another layer".to_owned(),
        None => return,
        Some(wrong) => wrong,
    };
    let what = format!("cache-id of the layer {} {wrong}: nothing tells where its files are", chain.short());
    let remedy = match content::home_of(place, books, chain) {
        Some(found) => Remedy::Write { content: found.into_bytes(), mode: 0o644 },
        None => books.fetch_layer(chain),
    };
    findings.layer(chain, Fault::LayerRecord, &path, what, remedy);
}

fn check_diff(books: &Books, chain: &Digest, directory: &Path, findings: &mut Findings) {
    let path = directory.join("diff");
    let known = books.known.get(chain).map(|known| &known.diff_id);
    let is_sound = |text: &str| text.parse::<Digest>().is_ok_and(|found| known.is_none_or(|known| *known == found));
    if let Some(wrong) = Text::fault(&path, is_sound) {
        let what = format!("diff of the layer {} {wrong}, and not which tar it is", chain.short());
        let fault = if books.layers[chain].diff_id.is_some() { Fault::ChainId } else { Fault::LayerRecord };
        findings.layer(chain, fault, &path, what, written(known));
    }
}

fn check_parent(books: &Books, chain: &Digest, directory: &Path, findings: &mut Findings) {
    let path = directory.join("parent");
    let known = books.known.get(chain).map(|known| known.parent.as_ref());
    let (what, remedy) = match (Text::read(&path), known) {
        (Text::Missing, None | Some(None)) => return,
        (Text::Missing, Some(below)) => ("is missing".to_owned(), written(below)),
        (Text::Is(text), Some(None)) => (format!("says {text:?}, and it is a base layer"), Remedy::Remove),
        (Text::Is(text), Some(below)) if text.parse().ok().as_ref() != below => {
            (format!("says {text:?}"), written(below))
        }
        (Text::Is(text), _) => match text.parse::<Digest>() {
            Err(_) => (format!("says {text:?}"), written(None)),
            Ok(below) if !books.layers.contains_key(&below) && !books.known.contains_key(&below) => {
                (format!("says {below}, a layer that is not here"), written(None))
            }
            Ok(_) => return,
        },
        (Text::Unreadable(why), known) => (format!("cannot be read: {why}"), written(known.flatten())),
    };
    let what = format!("parent of the layer {} {what}", chain.short());
    findings.layer(chain, Fault::LayerRecord, &path, what, remedy);
}

fn written(digest: Option<&Digest>) -> Remedy {
    match digest {
        Some(digest) => Remedy::Write { content: digest.to_string().into_bytes(), mode: 0o644 },
        None => Remedy::Advice("no image says what it should be: remove the container that uses the layer".to_owned()),
    }
}

/// Layers that nobody needs. To be read under the store's lock, when no command is between a layer and its image.
fn check_use(place: &Place, books: &Books, findings: &mut Findings) {
    let mut needed: BTreeSet<Digest> = books.known.keys().cloned().collect();
    let users: BTreeSet<&String> = books.mounts.keys().chain(books.containers.keys()).collect();
    for top in users.iter().filter_map(|id| books.top_of_container(id)) {
        needed.extend(books.chain(&top));
    }
    // Without any image it may be that the books are away.
    let is_certain = !books.images.is_empty()
        && books.broken_images.is_empty()
        && !findings.has_any(&[Fault::ImageConfig, Fault::DanglingName, Fault::Names])
        && users.iter().all(|id| books.mounts.get(*id).is_some_and(|mount| mount.mount_id.is_some()))
        && directories::is_every_layer_here(books);
    for chain in books.layers.keys().filter(|chain| !needed.contains(chain)) {
        let path = place.chains().join(chain.hex());
        // Somebody reads it: it goes with its reader.
        if users::is_leased(place, chain) {
            continue;
        }
        let what = format!("no image and no container needs the layer {}", chain.short());
        let remedy = match is_certain {
            true => Remedy::DropLayer(chain.clone()),
            false => Remedy::Advice("mend the images and containers first: one of those may need it".to_owned()),
        };
        findings.layer(chain, Fault::UnusedLayer, &path, what, remedy);
    }
}

/// Keeps the layers that are going to be read.
pub(super) fn lease(place: &Place, books: &Books, scope: &Scope) -> Result<Vec<Lock>, CheckError> {
    let mut locks = Vec::new();
    for chain in books.layers.keys().filter(|chain| scope.has_layer(chain)) {
        if let Asked::Held(lock) = Lock::ask(&place.chains().join(chain.hex()), Hold::Shared)? {
            locks.push(lock);
        }
    }
    Ok(locks)
}
