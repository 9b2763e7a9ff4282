//! An OCI image layout.
//!
//! ```text
//! oci-layout                {"imageLayoutVersion": "1.0.0"}
//! index.json                the images, each with its name in an annotation
//! blobs/ALGORITHM/DIGITS    everything else
//! ```
//!
//! Source: OCI image specification, `image-layout.md`.

use super::files::Files;
use super::{Root, Source, listed};
use crate::documents::{Descriptor, Document, Index, MOST_DOCUMENT_BYTES, parse};
use crate::error::ImageError;
use crate::reference::Selector;
use serde::Deserialize;
use std::io::Read;

/// The annotation with an image's name in a layout, and the full name that containerd adds.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

/// A layout, and which of its images is meant.
pub struct Layout<F> {
    files: F,
    selector: Selector,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    image_layout_version: String,
}

/// A small file as a whole.
pub(super) fn read_small(files: &dyn Files, name: &str) -> Result<Option<Vec<u8>>, ImageError> {
    let Some(reader) = files.open(name)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let place = || format!("{}/{name}", files.place());
    reader.take(MOST_DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| {
        ImageError::SourceUnreadable { path: place(), reason: error.to_string() }
    })?;
    if bytes.len() as u64 > MOST_DOCUMENT_BYTES {
        let found = "more".to_owned();
        return Err(ImageError::DocumentTooLarge {
            what: place(),
            most: MOST_DOCUMENT_BYTES,
            found,
        });
    }
    Ok(Some(bytes))
}

impl<F: Files> Layout<F> {
    /// The layout that `files` are.
    ///
    /// # Errors
    /// If they are none.
    pub fn new(files: F, selector: Selector) -> Result<Self, ImageError> {
        let invalid = |found: String| ImageError::SourceInvalid {
            path: files.place(),
            expected: "an OCI layout: oci-layout of version 1.0.0, index.json and blobs".to_owned(),
            found,
        };
        let version =
            read_small(&files, "oci-layout")?.ok_or_else(|| invalid("no oci-layout".to_owned()))?;
        let version: Version = parse("oci-layout", &version)?;
        if !version.image_layout_version.starts_with("1.") {
            return Err(invalid(format!("version {:?}", version.image_layout_version)));
        }
        Ok(Self { files, selector })
    }

    fn index(&self) -> Result<Index, ImageError> {
        let bytes =
            read_small(&self.files, "index.json")?.ok_or_else(|| ImageError::SourceInvalid {
                path: self.files.place(),
                expected: "index.json".to_owned(),
                found: "none".to_owned(),
            })?;
        parse("index.json", &bytes)
    }
}

/// Whether a descriptor has this name: as one of its names, or as the tag at the end of a full one.
fn is_called(descriptor: &Descriptor, tag: &str) -> bool {
    NAMES
        .iter()
        .filter_map(|key| descriptor.annotations.get(*key))
        .any(|name| name == tag || name.strip_suffix(tag).is_some_and(|rest| rest.ends_with(':')))
}

fn name_of(descriptor: &Descriptor) -> String {
    let named = NAMES.iter().find_map(|key| descriptor.annotations.get(*key));
    named.map_or_else(|| descriptor.digest.to_string(), |name| format!("{name:?}"))
}

impl<F: Files> Source for Layout<F> {
    fn place(&self) -> String {
        self.files.place()
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, ImageError> {
        let Descriptor { digest, .. } = descriptor;
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        self.files.open(&name)?.ok_or_else(|| ImageError::BlobMissing {
            place: self.files.place(),
            digest: digest.to_string(),
        })
    }

    fn root(&self) -> Result<Root, ImageError> {
        let index = self.index()?;
        let unknown = |expected: String| ImageError::ImageUnknown {
            place: self.files.place(),
            expected,
            found: listed(index.manifests.iter().map(name_of)),
        };
        let of = |found: Vec<&Descriptor>, asked: String| match found.as_slice() {
            [] => Err(unknown(asked)),
            [one] => Ok(Root::Descriptor((*one).clone())),
            // One name for several platforms, as an index inside would have it.
            several => {
                let manifests = several.iter().map(|descriptor| (*descriptor).clone()).collect();
                let digest = several[0].digest.clone();
                Ok(Root::Document { digest, document: Document::Index(Index { manifests }) })
            }
        };
        let all = index.manifests.iter();
        match &self.selector {
            Selector::Digest(digest) => {
                let found = all.filter(|one| one.digest == *digest).take(1).collect();
                of(found, digest.to_string())
            }
            Selector::Tag(tag) => {
                of(all.filter(|one| is_called(one, tag)).collect(), format!("{tag:?}"))
            }
            Selector::Only => {
                let mut names: Vec<String> = all.clone().map(name_of).collect();
                names.dedup();
                let is_one = all.len() == 1
                    || all.clone().all(|one| one.platform.is_some() && one.annotations.is_empty());
                if names.is_empty() || !is_one {
                    return Err(unknown("without a tag to be the only one".to_owned()));
                }
                of(all.collect(), String::new())
            }
        }
    }
}
