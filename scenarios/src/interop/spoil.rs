//! Faults that a campaign can be told to plant between two turns, to see that it finds them.

use std::fs;
use std::path::{Path, PathBuf};

use super::table::Fault;
use crate::books::{Books, Layer};

/// A file that every image has in its bottom layer.
const FILE: &str = "etc/os-release";

/// One way to spoil a data root behind the backs of both.
pub struct Spoil {
    pub name: &'static str,
    pub about: &'static str,
    plant: fn(&Place) -> std::io::Result<()>,
}

/// Every one.
pub const SPOILS: [&Spoil; 6] = [
    &Spoil {
        name: "changed-file",
        about: "a file of a layer holds something else",
        plant: |place| fs::write(place.tree().join(FILE), "something else\n"),
    },
    &Spoil {
        name: "lost-file",
        about: "a file of a layer is gone",
        plant: |place| fs::remove_file(place.tree().join(FILE)),
    },
    &Spoil {
        name: "lost-tar-split",
        about: "how the tar of a layer was made is forgotten",
        plant: |place| fs::remove_file(place.record().join("tar-split.json.gz")),
    },
    &Spoil {
        name: "wrong-size",
        about: "the record of a layer tells another size",
        plant: |place| fs::write(place.record().join("size"), "12345"),
    },
    &Spoil {
        name: "orphan-directory",
        about: "a layer's directory belongs to no layer",
        plant: |place| fs::create_dir(place.layers().join("0".repeat(64))),
    },
    &Spoil {
        name: "lost-names",
        about: "no image has a name any more",
        plant: |place| fs::write(place.image().join("repositories.json"), "{\"Repositories\":{}}"),
    },
];

/// The one called `name`.
pub fn named(name: &str) -> Result<&'static Spoil, String> {
    let names: Vec<&str> = SPOILS.iter().map(|spoil| spoil.name).collect();
    SPOILS.into_iter().find(|spoil| spoil.name == name).ok_or_else(|| format!("the faults are {}", names.join(", ")))
}

impl Spoil {
    /// Plants it; an image must be there.
    pub fn plant(&self, root: &Path, driver: &str) -> Result<(), Fault> {
        let broken = Fault::io("the fault to be planted");
        let books = Books::read(root).into_iter().next().ok_or_else(|| broken("no books"))?;
        let bottoms = books.layers.into_values().filter(|layer| layer.parent.is_none());
        let mut places = bottoms.map(|bottom| Place { root: root.to_owned(), driver: driver.to_owned(), bottom });
        let place = places.find(|place| place.tree().join(FILE).is_file()).ok_or_else(|| broken("no layer"))?;
        (self.plant)(&place).map_err(Fault::io("the fault to be planted"))
    }
}

/// Where the bottom layer of some image lies.
struct Place {
    root: PathBuf,
    driver: String,
    bottom: Layer,
}

impl Place {
    fn image(&self) -> PathBuf {
        self.root.join("image").join(&self.driver)
    }

    fn record(&self) -> PathBuf {
        self.image().join("layerdb/sha256").join(&self.bottom.chain_id)
    }

    fn layers(&self) -> PathBuf {
        self.root.join(if self.driver == "vfs" { "vfs/dir" } else { &self.driver })
    }

    /// The files of the layer.
    fn tree(&self) -> PathBuf {
        let below = match self.driver.as_str() {
            "overlay2" => "diff",
            "overlay" => "root",
            _ => "",
        };
        self.layers().join(&self.bottom.cache_id).join(below)
    }
}
