//! The documents of an image: index, manifest, configuration.
//!
//! ```text
//! index ──platform──> manifest ──┬─> configuration   how it is run, what its layers unpack to
//!                                └─> layers, lowest first
//! ```
//!
//! Source: OCI image specification 1.1; Docker image manifest version 2, schema 2, which differs in
//! the names of media types only.

mod configuration;
mod media_type;

pub use configuration::{Configuration, Execution};
pub use media_type::{Compression, LayerKind};

use crate::digest::Digest;
use crate::error::ImageError;
use crate::platform::Platform;
use media_type::{
    IMAGE_TYPES, INDEX_TYPES, LAYER_TYPES, MANIFEST_TYPES, SCHEMA_ONE_TYPES, layer_kind,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The longest document that is read.
pub const MOST_DOCUMENT_BYTES: u64 = 8 << 20;

/// The media types that registries are told we accept.
pub fn accepted_types() -> String {
    [MANIFEST_TYPES, INDEX_TYPES].concat().join(", ")
}

/// Whether that is the kind of a manifest or an index.
pub fn is_manifest(media_type: &str) -> bool {
    MANIFEST_TYPES.contains(&media_type) || INDEX_TYPES.contains(&media_type)
}

/// Names a part of an image: its kind, digest and length.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its kind.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// Its platform, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Among others the name that a layout gives it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Writers in Go say `null` for a list or map without anything in it.
fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Several images, each for its platform.
#[derive(Debug, Clone, Deserialize)]
pub struct Index {
    /// The images, or further indexes.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
}

/// The document of a descriptor or tag.
#[derive(Debug, Clone)]
pub enum Document {
    /// Several images.
    Index(Index),
    /// One.
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// The JSON of `what`.
///
/// # Errors
/// [`ImageError::DocumentInvalid`], with the place that is wrong.
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::DocumentInvalid {
        what: what.to_owned(),
        expected: "a document of the OCI image specification".to_owned(),
        found: error.to_string(),
    })
}

/// Reads an index or a manifest. `said` is its media type from a descriptor or a registry; if there is
/// none, or a general one, the document itself must have it.
///
/// # Errors
/// The problem.
pub fn read_document(what: &str, said: Option<&str>, bytes: &[u8]) -> Result<Document, ImageError> {
    let kind: Kind = parse(what, bytes)?;
    let is_known = |name: &&str| {
        [MANIFEST_TYPES, INDEX_TYPES, SCHEMA_ONE_TYPES].iter().any(|list| list.contains(name))
    };
    let said = said.filter(|said| {
        !matches!(*said, "" | "application/json" | "text/plain" | "application/octet-stream")
    });
    if let (Some(said), Some(own)) = (said, kind.media_type.as_deref())
        && said != own
    {
        // A document that one reader takes for an index and another for an image is an attack on the one
        // that checks it.
        return Err(ImageError::DocumentInvalid {
            what: what.to_owned(),
            expected: format!("the media type {said} that it is announced with"),
            found: format!("{own} in the document"),
        });
    }
    let named = said.or(kind.media_type.as_deref());
    if named.is_some_and(|named| SCHEMA_ONE_TYPES.contains(&named))
        || kind.schema_version == Some(1)
        || (kind.fs_layers.is_some() && kind.layers.is_none())
    {
        return Err(ImageError::SchemaOne { what: what.to_owned() });
    }
    if let Some(found) = named.filter(|named| !is_known(named)) {
        return Err(ImageError::MediaTypeUnknown {
            what: what.to_owned(),
            expected: IMAGE_TYPES,
            found: found.to_owned(),
        });
    }
    let invalid = |expected: &str, found: &str| ImageError::DocumentInvalid {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    if kind.schema_version.is_some_and(|version| version != 2) {
        return Err(invalid("schemaVersion 2", "another"));
    }
    match (kind.manifests.is_some(), kind.layers.is_some()) {
        (true, true) => Err(invalid("manifests or layers", "both")),
        (false, false) => Err(invalid("manifests or layers", "neither")),
        (is_index, _) => {
            if named.is_some_and(|named| INDEX_TYPES.contains(&named) != is_index) {
                return Err(invalid(named.unwrap_or_default(), "a document of the other kind"));
            }
            if is_index {
                Ok(Document::Index(parse(what, bytes)?))
            } else {
                Ok(Document::Manifest(parse(what, bytes)?))
            }
        }
    }
}

impl Manifest {
    /// The kinds of its layers.
    ///
    /// # Errors
    /// Of the first that is foreign or unknown.
    pub fn layer_kinds(&self) -> Result<Vec<LayerKind>, ImageError> {
        self.layers
            .iter()
            .map(|layer| {
                layer_kind(&layer.media_type).ok_or_else(|| {
                    let digest = layer.digest.to_string();
                    let found = layer.media_type.clone();
                    if media_type::is_foreign(&found) {
                        ImageError::ForeignLayer { digest, media_type: found }
                    } else {
                        let what = format!("layer {digest}");
                        ImageError::MediaTypeUnknown { what, expected: LAYER_TYPES, found }
                    }
                })
            })
            .collect()
    }
}

impl Index {
    /// The image for `wanted`; `what` is the index's name in messages.
    ///
    /// # Errors
    /// [`ImageError::PlatformMissing`] with those that there are.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, ImageError> {
        let known = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().is_some_and(|platform| platform.serves(wanted))
        };
        if let Some(found) = self.manifests.iter().find(known) {
            return Ok(found);
        }
        // If an index lists one image without a platform, even several times, that image is meant; its
        // configuration has the platform.
        if let [only, more @ ..] = self.manifests.as_slice()
            && only.platform.is_none()
            && more.iter().all(|other| other.platform.is_none() && other.digest == only.digest)
        {
            return Ok(only);
        }
        let mut names: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref())
            // Indexes list attestations beside images, for `unknown/unknown`.
            .filter(|platform| platform.os != "unknown")
            .map(Platform::to_string)
            .collect();
        names.dedup();
        let found = if names.is_empty() { "no platform".to_owned() } else { names.join(", ") };
        Err(ImageError::PlatformMissing { expected: wanted.to_string(), found })
    }
}

#[cfg(test)]
mod tests;
