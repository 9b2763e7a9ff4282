//! What a registry or a layout answers: index, manifest, configuration, and how images, parts and platforms are named. Whatever
//! it is, it is read or refused, and what was read names what it chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_images::digest::Digest;
use stillpoint_images::documents::{Configuration, Document, parse, read_document};
use stillpoint_images::platform::Platform;
use stillpoint_images::reference::Reference;

const SAID: [Option<&str>; 5] = [
    None,
    Some("application/json"),
    Some("application/vnd.oci.image.index.v1+json"),
    Some("application/vnd.oci.image.manifest.v1+json"),
    Some("application/vnd.docker.distribution.manifest.v2+json"),
];

// The first byte says with which media type the document is announced.
fuzz_target!(|data: &[u8]| {
    let Some((said, bytes)) = data.split_first() else { return };
    match read_document("it", SAID[usize::from(*said) % SAID.len()], bytes) {
        Ok(Document::Index(index)) => {
            if let Ok(chosen) = index.choose(&Platform::default()) {
                assert!(index.manifests.contains(chosen));
            }
        }
        Ok(Document::Manifest(manifest)) => {
            if let Ok(kinds) = manifest.layer_kinds() {
                assert_eq!(kinds.len(), manifest.layers.len());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = parse::<Configuration>("it", bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Reference>();
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), text);
        }
    }
});
