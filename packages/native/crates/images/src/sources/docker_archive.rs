//! Archives of `docker save`: tar archives of images without digests of their own.
//!
//! ```text
//! manifest.json      [{"Config": FILE, "RepoTags": ["name:tag"], "Layers": [FILE, …]}]
//! DIGITS.json        a configuration; since Docker 25 blobs/sha256/DIGITS
//! ID/layer.tar       a layer, uncompressed; since Docker 25 blobs/sha256/DIGITS
//! ```
//!
//! A configuration is verified by its name, and a layer by the configuration's digest of its unpacked
//! bytes.
//!
//! Source: `moby/docker-image-spec`, "Combined Image JSON + Filesystem Changeset Format".

use super::files::{Files, TarFile};
use super::layout::read_small;
use super::listed;
use crate::digest::Digest;
use crate::documents::{Configuration, parse};
use crate::error::ImageError;
use crate::reference::Selector;
use serde::Deserialize;
use std::io::Read;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// One image of such an archive.
pub struct DockerArchive {
    files: TarFile,
    saved: Saved,
}

/// `busybox` means `busybox:latest`, and a name with a host in front also matches without it.
fn is_called(name: &str, wanted: &str) -> bool {
    let has_tag = wanted.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let wanted = if has_tag { wanted.to_owned() } else { format!("{wanted}:latest") };
    name == wanted || name.strip_suffix(wanted.as_str()).is_some_and(|rest| rest.ends_with('/'))
}

impl DockerArchive {
    /// The image of `files` that is meant.
    ///
    /// # Errors
    /// If it is no such archive, or has no such image.
    pub fn new(files: TarFile, selector: &Selector) -> Result<Self, ImageError> {
        let manifest =
            read_small(&files, "manifest.json")?.ok_or_else(|| ImageError::SourceInvalid {
                path: files.place(),
                expected: "an archive of docker save, with manifest.json".to_owned(),
                found: "none; an OCI layout in an archive is named oci-archive:FILE".to_owned(),
            })?;
        let all: Vec<Saved> = parse("manifest.json", &manifest)?;
        let digest_of = |saved: &Saved| config_digest(&saved.config);
        let found = match selector {
            Selector::Only if all.len() == 1 => all.first(),
            Selector::Only => None,
            Selector::Tag(tag) => all
                .iter()
                .find(|saved| saved.repo_tags.iter().flatten().any(|name| is_called(name, tag))),
            Selector::Digest(digest) => {
                all.iter().find(|saved| digest_of(saved).as_ref() == Some(digest))
            }
        };
        let Some(saved) = found.cloned() else {
            let expected = match selector {
                Selector::Only => "without a name to be the only one".to_owned(),
                Selector::Tag(tag) => format!("{tag:?}"),
                Selector::Digest(digest) => digest.to_string(),
            };
            let names = all.iter().map(|saved| match saved.repo_tags.as_deref() {
                Some([name, ..]) => format!("{name:?}"),
                _ => saved.config.clone(),
            });
            return Err(ImageError::ImageUnknown {
                place: files.place(),
                expected,
                found: listed(names),
            });
        };
        Ok(Self { files, saved })
    }

    /// Its configuration, and the digest by which the image is known.
    ///
    /// # Errors
    /// If it is missing, or does not match its name.
    pub fn configuration(&self) -> Result<(Digest, Configuration), ImageError> {
        let name = &self.saved.config;
        let bytes = read_small(&self.files, name)?.ok_or_else(|| self.missing(name))?;
        let found = Digest::sha256(&bytes);
        if let Some(expected) = config_digest(name).filter(|expected| *expected != found) {
            let [expected, found] = [expected, found].map(|digest| digest.to_string());
            return Err(ImageError::BlobDigestWrong { expected, found });
        }
        Ok((found, parse("configuration", &bytes)?))
    }

    /// Number of its layers.
    pub fn layers(&self) -> usize {
        self.saved.layers.len()
    }

    /// A layer, as it lies there.
    ///
    /// # Errors
    /// If it does not.
    pub fn layer(&self, at: usize) -> Result<Box<dyn Read + '_>, ImageError> {
        let name = self.saved.layers.get(at).map_or("", String::as_str);
        self.files.open(name)?.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> ImageError {
        ImageError::BlobMissing { place: self.files.place(), digest: name.to_owned() }
    }
}

/// The digest that a configuration's file is named by.
fn config_digest(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next()?;
    format!("sha256:{}", last.strip_suffix(".json").unwrap_or(last)).parse().ok()
}
