//! What comes from elsewhere as text or JSON, with characters changed, cut and put in at random: each is taken or refused, never a panic.
//!
//! Checklist: SE-08~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use layerlab_engine::dockerfile;
use layerlab_engine::image::docker_archive::{LegacyNames, ManifestItem};
use layerlab_engine::image::manifest::{Manifest, Platform};
use layerlab_engine::image::{ImageConfig, Reference, oci_layout};
use proptest::prelude::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const DOCKERFILE: &str = "# escape=\\\nARG V=1\nFROM busybox:${V:-2} AS one\nRUN [\"sh\", \"-c\", \"echo \\\"x\\\"\"]\nENV A=b C=\"d e\" F\\=g\n\
    COPY --from=one --chown=1:2 a* \"b c\" /d/\nHEALTHCHECK --interval=1m30s CMD true\nVOLUME [\"/v\"]\nEXPOSE 80/tcp\nLABEL a=\"b\\\n c\"\n\
    ONBUILD ADD x /\nSTOPSIGNAL 9\nSHELL [\"/bin/sh\"]\nUSER a:b\nWORKDIR d\nENTRYPOINT e f\n";

fn manifest() -> String {
    let descriptor =
        |kind: &str| format!(r#"{{"mediaType":"application/vnd.docker.{kind}","size":7,"digest":"{DIGEST}"}}"#);
    let (config, layer) = (descriptor("container.image.v1+json"), descriptor("image.rootfs.diff.tar.gzip"));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{config},"layers":[{layer}]}}"#
    )
}

fn index() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":"{DIGEST}","platform":{{"architecture":"amd64","os":"linux"}},"annotations":{{"io.containerd.image.name":"a:b"}}}}]}}"#
    )
}

fn config() -> String {
    format!(
        r#"{{"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z","config":{{"Env":["A=b"],"Cmd":["sh"],"ExposedPorts":{{"80/tcp":{{}}}},"Healthcheck":{{"Test":["NONE"],"Interval":1}}}},"rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
    )
}

/// A text with some of its characters changed for others that mean something.
fn disturbed(text: String) -> impl Strategy<Value = String> {
    let signs: Vec<char> = "{}[]\",:\\\n $#=/@-.0e9\u{0}é\u{1f980}".chars().collect();
    let change = (any::<prop::sample::Index>(), prop::sample::select(signs), 0u8..3);
    proptest::collection::vec(change, 0..10).prop_map(move |changes| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, sign, kind) in changes {
            let at = at.index(chars.len().max(1)).min(chars.len());
            match kind {
                0 => chars.insert(at, sign),
                1 if at < chars.len() => chars[at] = sign,
                _ => chars.truncate(at.max(1)),
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_disturbed_manifest_is_taken_or_refused(text in prop_oneof![disturbed(manifest()), disturbed(index())]) {
        if let Ok(manifest) = Manifest::parse(text.clone().into_bytes()) {
            // What is taken keeps its very bytes.
            prop_assert_eq!(manifest.raw(), text.as_bytes());
        }
        let _ = oci_layout::entries(text.as_bytes());
        let _ = serde_json::from_str::<Vec<ManifestItem>>(&text);
        let _ = serde_json::from_str::<LegacyNames>(&text);
    }

    #[test]
    fn a_disturbed_configuration_is_taken_or_refused(text in disturbed(config())) {
        if let Ok(config) = ImageConfig::from_raw(text.clone().into_bytes()) {
            prop_assert_eq!(config.raw(), text.as_bytes());
        }
    }

    #[test]
    fn a_disturbed_dockerfile_is_taken_or_refused(text in disturbed(DOCKERFILE.to_owned())) {
        let _ = dockerfile::parse(&text);
    }

    #[test]
    fn a_disturbed_name_is_taken_or_refused(text in disturbed(format!("reg.example.com:5000/a/b_c:tag-1@{DIGEST}")), any in ".*") {
        for text in [text, any] {
            if let Ok(reference) = Reference::parse(&text) {
                // What is taken is written so that it is read again as the same.
                let written = reference.familiar();
                prop_assert_eq!(Reference::parse(&written).unwrap().familiar(), written);
            }
            let _ = Platform::parse(&text);
        }
    }
}
