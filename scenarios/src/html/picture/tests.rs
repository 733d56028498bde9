//! The picture of a hand-made data root.

use std::fs;
use std::path::Path;

use super::*;
use crate::books::Books;

/// Two images of which one rests on the other, and a container: `base` has 2 layers, `more` those and 1 of its own.
fn data_root(root: &Path) -> (Vec<String>, String) {
    let diffs = ["a", "b", "c"].map(|digit| digit.repeat(64));
    let image = root.join("image/overlay2");
    let mut chain: Vec<String> = Vec::new();
    for (at, diff) in diffs.iter().enumerate() {
        let chain_id = match chain.last() {
            None => diff.clone(),
            Some(below) => {
                use sha2::Digest;
                hex::encode(sha2::Sha256::digest(format!("sha256:{below} sha256:{diff}")))
            }
        };
        let record = image.join("layerdb/sha256").join(&chain_id);
        fs::create_dir_all(&record).unwrap();
        fs::write(record.join("diff"), format!("sha256:{diff}")).unwrap();
        fs::write(record.join("cache-id"), format!("{at}").repeat(64)).unwrap();
        fs::write(record.join("size"), "1234567").unwrap();
        if let Some(below) = chain.last() {
            fs::write(record.join("parent"), format!("sha256:{below}")).unwrap();
        }
        chain.push(chain_id);
    }
    let content = image.join("imagedb/content/sha256");
    fs::create_dir_all(&content).unwrap();
    let (base, more) = ("d".repeat(64), "e".repeat(64));
    for (id, layers) in [(&base, 2), (&more, 3)] {
        let ids: Vec<String> = diffs[..layers].iter().map(|diff| format!("\"sha256:{diff}\"")).collect();
        fs::write(content.join(id), format!(r#"{{"rootfs":{{"diff_ids":[{}]}}}}"#, ids.join(","))).unwrap();
    }
    let names =
        format!(r#"{{"Repositories":{{"b":{{"base:1":"sha256:{base}"}},"m":{{"<more>:1":"sha256:{more}"}}}}}}"#);
    fs::write(image.join("repositories.json"), names).unwrap();
    let container = "f".repeat(64);
    let mount = image.join("layerdb/mounts").join(&container);
    fs::create_dir_all(&mount).unwrap();
    for (name, text) in [("mount-id", "8".repeat(64)), ("init-id", format!("{}-init", "8".repeat(64)))] {
        fs::write(mount.join(name), text).unwrap();
    }
    fs::write(mount.join("parent"), format!("sha256:{}", chain[1])).unwrap();
    fs::create_dir_all(root.join("containers").join(&container)).unwrap();
    let config = r#"{"Name":"/web","Config":{"Image":"base:1"},"State":{"Running":true,"StartedAt":"2020"}}"#;
    fs::write(root.join("containers").join(&container).join("config.v2.json"), config).unwrap();
    (chain, container)
}

#[test]
fn each_layer_is_drawn_once_however_many_images_share_it() {
    let root = tempfile::tempdir().unwrap();
    let (chain, container) = data_root(root.path());
    let books = Books::read(root.path()).remove(0);
    let touched = Touched { new: [chain[2].clone()].into(), changed: ["8".repeat(64)].into() };
    let svg = picture(&books, &touched, &Ids::default());
    let count = |what: &str| svg.matches(what).count();
    assert_eq!(count("<g class=\"layer"), 3, "{svg}");
    assert_eq!((count("<g class=\"image"), count("<g class=\"init"), count("<g class=\"writable changed")), (2, 1, 1));
    assert_eq!((count("<g class=\"layer new\""), count("<g class=\"container running\"")), (1, 1));
    assert!(svg.contains("&lt;more&gt;:1") && !svg.contains("<more>"), "{svg}");
    assert!(svg.contains(&format!("chain ID {}", chain[1])) && svg.contains(&container), "{svg}");
    assert!(svg.contains("1.23MB") && svg.contains("aria-label=\"3 layers, 2 images and 1 container in overlay2\""));
}

#[test]
fn a_shared_layer_is_as_broad_as_all_that_rests_on_it_and_nothing_overlaps() {
    let root = tempfile::tempdir().unwrap();
    let (chain, _) = data_root(root.path());
    let books = Books::read(root.path()).remove(0);
    let layout = Layout::of(&books);
    let layer = |chain_id: &str| {
        let is_meant =
            |block: &&Block<'_>| matches!(&block.what, What::Layer { layer, .. } if layer.chain_id == chain_id);
        layout.blocks.iter().find(is_meant).unwrap()
    };
    // On the second layer stand the image base, the container, and the third layer.
    assert_eq!(layer(&chain[1]).width, layout.width);
    assert!(layer(&chain[2]).width < layer(&chain[1]).width / 2);
    assert!(layer(&chain[0]).y > layer(&chain[1]).y, "what lies below is drawn below");
    for (at, a) in layout.blocks.iter().enumerate() {
        for b in &layout.blocks[at + 1..] {
            let apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
            assert!(apart, "{a:?} and {b:?} overlap");
        }
        assert!(a.x + a.width <= layout.width && a.y + a.height <= layout.height, "{a:?} is outside");
    }
}

#[test]
fn a_tall_stack_has_a_block_for_every_layer_and_a_dot_for_a_nameless_image_within() {
    let mut books = Books { driver: "overlay2".into(), ..Books::default() };
    let chain: Vec<String> = (0..90).map(|at| format!("{at:064x}")).collect();
    for (at, chain_id) in chain.iter().enumerate() {
        let parent = at.checked_sub(1).map(|below| chain[below].clone());
        let layer = Layer { chain_id: chain_id.clone(), parent, ..Layer::default() };
        books.layers.insert(chain_id.clone(), layer);
    }
    books.images.push(Image { names: vec!["tall:1".into()], chain: chain.clone(), ..Image::default() });
    let nameless = Image { id: "e".repeat(64), chain: chain[..50].to_vec(), ..Image::default() };
    books.images.push(nameless.clone());
    let svg = picture(&books, &Touched::default(), &Ids::default());
    assert_eq!(svg.matches("<g class=\"layer").count(), 90);
    assert_eq!((svg.matches("<g class=\"image").count(), svg.matches("class=\"nameless\"").count()), (1, 1));
    assert!(svg.contains(&format!("its top: the nameless image {}", nameless.id)));
    assert_eq!(Layout::of(&books).width, layout::COLUMN - layout::GAP, "a nameless image within needs no column");
}
