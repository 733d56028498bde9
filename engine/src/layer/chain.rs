//! Chain IDs: the name of a layer together with all layers below it (OCI image-spec, `config.md`, "Layer ChainID").

use crate::image::Digest;

/// The chain ID of the layer with `diff_id` on top of `parent`: the diff ID itself for a base layer, else the digest of
/// `parent`, a blank and the diff ID.
pub fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

/// The chain IDs of all layers of an image, from the base up.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(chain_id(chain.last(), diff_id));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(hex: &str) -> Digest {
        Digest::from_hex(hex).unwrap()
    }

    /// The middle layer of an nginx image and the top of a committed centos, from a published walkthrough.
    #[test]
    fn the_chain_ids_of_a_published_walkthrough_come_out() {
        let examples = [
            (
                "2edcec3590a4ec7f40cf0743c15d78fb39d8326bc029073b41ef9727da6c851f",
                "e379e8aedd4d72bb4c529a4ca07a4e4d230b5a1d3f7a61bc80179e8f02421ad8",
                "780238f18c540007376dd5e904f583896a69fe620876cabc06977a3af4ba4fb5",
            ),
            (
                "74ddd0ec08fa43d09f32636ba91a0a3053b02cb4627c35051aff89f853606b59",
                "551c3089b186b4027e949910981ff1ba54114610f2aab9359d28694c18b0203b",
                "92f7208b1cc0b5cc8fe214a4b0178aa4962b58af8ec535ee7211f335b1e0ed3b",
            ),
        ];
        for (parent, diff_id, chain) in examples {
            assert_eq!(chain_id(Some(&digest(parent)), &digest(diff_id)), digest(chain));
        }
    }

    /// Five layers as dockerd 20.10 registered them.
    #[test]
    fn the_chain_ids_that_dockerd_wrote_come_out() {
        let diff_ids = [
            "7076f569dc8c4a876f62c30c6034b9ab7c3333151b02c4af3b9e7d7ae5d631be",
            "77c615b2eba6385615b3177eca01ebbf7fb3f863862b2157d861a0f3347e9515",
            "de5ef152519bace4b0d1e6fe8a7328e18314bfd83f24357560bc047fc1d83452",
            "9223df988271aa020a04f82a30acf005c55aeaeeb696e2e4ec007ec9a314b064",
            "0aaf6b81f6315a6c80384532f22c75f87936816f6966ce0285e95b1720126d8d",
        ];
        let chain = [
            "7076f569dc8c4a876f62c30c6034b9ab7c3333151b02c4af3b9e7d7ae5d631be",
            "68e068181be85c476c96b362a7c2292aa5cd46d19216ab47bef582a4b0725992",
            "4e47372239bcf855a36cfe3d30c742aa39dfe29e6a269a9d096c59efa17a3c6f",
            "8d7cf8f222892dc92cac8c0121062112099b8618412cf18784261660adb52836",
            "bbdb3ea9a3f06627a2b5ec303d8e7857684018cd7108e25f73c47fe7e965c207",
        ];
        assert_eq!(chain_ids(&diff_ids.map(digest)), chain.map(digest));
    }

    /// The example of the image-spec: `ChainID(A|B|C) = Digest(ChainID(A|B) + " " + DiffID(C))`, `ChainID(A) = DiffID(A)`.
    #[test]
    fn the_definition_of_the_image_spec_holds_letter_by_letter() {
        let [a, b, c] = [b"A", b"B", b"C"].map(|name| Digest::of(name));
        let ab = Digest::of(format!("{a} {b}").as_bytes());
        let abc = Digest::of(format!("{ab} {c}").as_bytes());
        assert_eq!(chain_ids(&[a.clone(), b, c]), [a, ab, abc]);
    }

    proptest! {
        #[test]
        fn a_chain_on_a_chain_is_one_chain(names in prop::collection::vec(any::<u64>(), 1..9), split in 0_usize..9) {
            let diff_ids: Vec<Digest> = names.iter().map(|name| Digest::of(&name.to_be_bytes())).collect();
            let (below, above) = diff_ids.split_at(split.min(diff_ids.len()));
            let base = chain_ids(below).pop();
            let joined = above.iter().fold(base, |parent, diff_id| Some(chain_id(parent.as_ref(), diff_id)));
            prop_assert_eq!(chain_ids(&diff_ids).pop(), joined);
        }
    }
}
