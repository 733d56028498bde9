//! In what a subject shows itself otherwise than a file system without layers, by its own word: the promises that it does not make.
//!
//! *Why*: who uses a tree wants to know what it does not do before it surprises him; a law that holds with fewer promises says less. *Holds*: each is told with its source, which
//! stands where the promise is defined (`layerlab_model::promises`).

use layerlab_model::promises::Promises;
use serde_json::Value;

/// Promises about how layers are kept, and what the machine is set to: nobody who uses a tree sees a difference.
const NOT_SHOWN: [&str; 7] = [
    "layers",
    "layers_max",
    "lower_layers_max",
    "removed_is_copied_up",
    "content_stays_below",
    "first_namespace",
    "protected",
];

/// The names of all promises.
pub fn names() -> Vec<String> {
    by_name(&Promises::COMMON).map(|(name, _)| name).collect()
}

/// Whether this is the name of a promise.
pub fn is_promise(name: &str) -> bool {
    names().iter().any(|promise| promise == name)
}

/// The names of those by which a tree differs from a file system without layers.
pub fn of(promises: &Promises) -> Vec<String> {
    let mut promises = *promises;
    if !promises.layers {
        // Nothing lies below that could be copied up or moved.
        promises.lower_directories_move = true;
        promises.hard_links_survive_copy_up = true;
    }
    let pairs = by_name(&Promises::WITHOUT_LAYERS).zip(by_name(&promises));
    let others = pairs.filter(|((_, expected), (_, made))| expected != made).map(|((name, _), _)| name);
    others.filter(|name| !NOT_SHOWN.contains(&name.as_str())).collect()
}

fn by_name(promises: &Promises) -> impl Iterator<Item = (String, Value)> + use<> {
    let all = serde_json::to_value(promises).unwrap_or_default();
    let all = if let Value::Object(all) = all { all } else { <_>::default() };
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use layerlab_model::promises::about;

    use super::*;

    #[test]
    fn every_promise_says_what_it_is_about() {
        for name in names() {
            assert!(name == "protected" || about(&name).contains(['.', ':']), "{name}: {}", about(&name));
        }
        assert!(names().len() > 40);
        assert!(NOT_SHOWN.iter().all(|name| names().iter().any(|other| other == name)));
        assert_eq!(about("no_such_promise"), "");
    }

    #[test]
    fn a_tree_of_layers_deviates_from_one_without() {
        let overlay = of(&Promises::COMMON);
        assert_eq!(overlay, ["lower_directories_move", "hard_links_survive_copy_up", "whiteouts_are_refused"]);
        let plain = Promises { layers: false, whiteouts_are_refused: false, ..Promises::COMMON };
        assert!(of(&plain).is_empty(), "{:?}", of(&plain));
    }
}
