//! Chain IDs: the name of a layer together with everything below it.

use crate::image::Digest;

/// The chain ID of the layer `diff_id` on top of the stack named `parent`; the base layer has no parent.
///
/// Source: OCI image-spec, `config.md`, "Layer ChainID": `ChainID(L₀) = DiffID(L₀)` and
/// `ChainID(L₀|…|Lₙ) = Digest(ChainID(L₀|…|Lₙ₋₁) + " " + DiffID(Lₙ))`.
pub fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

/// The chain IDs of a whole stack, base first: as many as there are diff IDs, in the same order.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let stack = diff_ids.iter().scan(None, |parent, diff_id| {
        let chain = chain_id(parent.as_ref(), diff_id);
        *parent = Some(chain.clone());
        Some(chain)
    });
    stack.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(hex: &str) -> Digest {
        Digest::from_hex(hex).unwrap()
    }

    /// Checklist: ID-01
    #[test]
    fn the_base_layer_is_named_by_its_diff_id() {
        let base = digest("2edcec3590a4ec7f40cf0743c15d78fb39d8326bc029073b41ef9727da6c851f");
        assert_eq!(chain_ids(std::slice::from_ref(&base)), [base]);
    }

    /// Checklist: ID-01
    #[test]
    fn the_second_layer_of_nginx_has_the_name_docker_gives_it() {
        let base = digest("2edcec3590a4ec7f40cf0743c15d78fb39d8326bc029073b41ef9727da6c851f");
        let second = digest("e379e8aedd4d72bb4c529a4ca07a4e4d230b5a1d3f7a61bc80179e8f02421ad8");
        let named = digest("780238f18c540007376dd5e904f583896a69fe620876cabc06977a3af4ba4fb5");
        assert_eq!(chain_ids(&[base.clone(), second]), [base, named]);
    }

    #[test]
    fn a_committed_centos_layer_has_the_name_docker_gives_it() {
        let base = digest("74ddd0ec08fa43d09f32636ba91a0a3053b02cb4627c35051aff89f853606b59");
        let committed = digest("551c3089b186b4027e949910981ff1ba54114610f2aab9359d28694c18b0203b");
        let named = digest("92f7208b1cc0b5cc8fe214a4b0178aa4962b58af8ec535ee7211f335b1e0ed3b");
        assert_eq!(chain_id(Some(&base), &committed), named);
    }

    /// The recorded httpd image of dockerd 20.10.24: five layers, then the committed one.
    /// Checklist: ID-01
    #[test]
    fn a_stack_of_six_has_the_names_that_dockerd_wrote() {
        let diff_ids = [
            "7076f569dc8c4a876f62c30c6034b9ab7c3333151b02c4af3b9e7d7ae5d631be",
            "77c615b2eba6385615b3177eca01ebbf7fb3f863862b2157d861a0f3347e9515",
            "de5ef152519bace4b0d1e6fe8a7328e18314bfd83f24357560bc047fc1d83452",
            "9223df988271aa020a04f82a30acf005c55aeaeeb696e2e4ec007ec9a314b064",
            "0aaf6b81f6315a6c80384532f22c75f87936816f6966ce0285e95b1720126d8d",
            "47305faa3fde276127931b2b356789b805b65ffaa5297d979a1139773231ee42",
        ];
        let chains = chain_ids(&diff_ids.map(digest));
        assert_eq!(chains[4], digest("bbdb3ea9a3f06627a2b5ec303d8e7857684018cd7108e25f73c47fe7e965c207"));
        assert_eq!(chains[5], digest("4c24093cac453d921de8dcd51522c49aebb8fae84621ce80e9aa9018e978ca3e"));
    }

    proptest! {
        #[test]
        fn a_stack_may_be_named_from_any_layer_on(ids in proptest::collection::vec(any::<u64>(), 1..8), cut in 0usize..8) {
            let diff_ids: Vec<Digest> = ids.iter().map(|id| Digest::of(&id.to_be_bytes())).collect();
            let cut = cut % diff_ids.len();
            let whole = chain_ids(&diff_ids);
            let mut rest = diff_ids[cut + 1..].to_vec();
            rest.insert(0, whole[cut].clone());
            prop_assert_eq!(&chain_ids(&rest)[..], &whole[cut..]);
        }
    }
}
