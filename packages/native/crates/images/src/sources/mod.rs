//! The sources of images. A source provides documents and blobs; their readers verify them.

pub mod docker_archive;
pub mod files;
pub mod layout;
pub mod registry;

use crate::digest::{Digest, Verified};
use crate::documents::{Descriptor, Document, MOST_DOCUMENT_BYTES};
use crate::error::ImageError;
use crate::platform::Platform;
use std::io::Read;

/// A source of one image.
pub trait Source {
    /// Its name in errors.
    fn place(&self) -> String;

    /// The bytes that a descriptor names, as they come: unverified.
    ///
    /// # Errors
    /// If they cannot be had.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, ImageError>;

    /// The root of the resolution.
    ///
    /// # Errors
    /// If there is no such image.
    fn root(&self) -> Result<Root, ImageError>;
}

/// The target of a reference.
pub enum Root {
    /// A descriptor, of an index or a manifest.
    Descriptor(Descriptor),
    /// A document with the digest of its received bytes.
    Document {
        /// Its digest.
        digest: Digest,
        /// Its content.
        document: Document,
    },
}

/// The verified bytes of a document.
///
/// # Errors
/// If they cannot be read, are too large, or do not match the descriptor.
pub fn document(
    source: &dyn Source,
    descriptor: &Descriptor,
    what: &str,
) -> Result<Vec<u8>, ImageError> {
    let too_large = |found: String| ImageError::DocumentTooLarge {
        what: what.to_owned(),
        most: MOST_DOCUMENT_BYTES,
        found,
    };
    if descriptor.size > MOST_DOCUMENT_BYTES {
        return Err(too_large(format!("{} bytes", descriptor.size)));
    }
    let mut bytes = Vec::new();
    let reader = source.open(descriptor)?;
    let mut reader = Verified::new(reader, descriptor.digest.clone(), descriptor.size);
    let read = reader.read_to_end(&mut bytes);
    read.map_err(|error| {
        ImageError::from_io(error, |error| ImageError::SourceUnreadable {
            path: format!("{} {}", source.place(), descriptor.digest),
            reason: error.to_string(),
        })
    })?;
    Ok(bytes)
}

/// The names in an image's index, for the error that one was not found.
pub(crate) fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(21).collect();
    match names.len() {
        0 => "no image".to_owned(),
        21 => {
            names[20] = "…".to_owned();
            names.join(", ")
        }
        _ => names.join(", "),
    }
}

/// Whether an image without a platform in its index fits `wanted`.
///
/// # Errors
/// [`ImageError::PlatformMissing`].
pub fn check_platform(found: &Platform, wanted: &Platform) -> Result<(), ImageError> {
    if found.serves(wanted) {
        return Ok(());
    }
    Err(ImageError::PlatformMissing { expected: wanted.to_string(), found: found.to_string() })
}
