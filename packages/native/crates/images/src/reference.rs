//! References to images.
//!
//! ```text
//! oci:FOLDER[:TAG | @DIGEST]            an OCI layout
//! oci-archive:FILE[:TAG | @DIGEST]      an OCI layout in a tar archive
//! docker-archive:FILE[:NAME:TAG]        what `docker save` writes
//! docker://REGISTRY/NAME[:TAG][@DIGEST] an image of a registry
//! ```
//!
//! The forms are those of skopeo and podman, so a path has no colon, and a registry is always named: `docker.io` is Docker Hub, whose
//! own images, `docker://docker.io/redis`, need no folder before their names.

use crate::digest::Digest;
use crate::error::ImageError;
use std::path::PathBuf;
use std::str::FromStr;

/// The choice of an image in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The only one.
    Only,
    /// The one of that name.
    Tag(String),
    /// The one of that digest.
    Digest(Digest),
}

/// The source of an image, and its choice there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// An OCI layout.
    Layout {
        /// Its folder.
        path: PathBuf,
        /// The choice of an image.
        selector: Selector,
    },
    /// An OCI layout in a tar archive.
    LayoutArchive {
        /// Its file.
        path: PathBuf,
        /// The choice of an image.
        selector: Selector,
    },
    /// An archive of `docker save`.
    DockerArchive {
        /// Its file.
        path: PathBuf,
        /// The choice of an image.
        selector: Selector,
    },
    /// An image of a registry.
    Registry {
        /// Host and port.
        registry: String,
        /// The repository.
        name: String,
        /// The choice of an image; the default tag is `latest`.
        selector: Selector,
    },
}

const FORMS: &str = "oci:FOLDER[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://REGISTRY/NAME[:TAG][@DIGEST]";

fn invalid(text: &str) -> ImageError {
    ImageError::ReferenceInvalid { expected: FORMS, found: text.chars().take(500).collect() }
}

/// `PATH[:TAG | @DIGEST]`.
fn located(rest: &str) -> Option<(PathBuf, Selector)> {
    let (path, selector) = if let Some((path, digest)) = rest.rsplit_once('@') {
        match digest.parse() {
            Ok(digest) => (path, Selector::Digest(digest)),
            Err(_) => tagged(rest),
        }
    } else {
        tagged(rest)
    };
    let is_named = !matches!(&selector, Selector::Tag(tag) if tag.is_empty());
    (!path.is_empty() && is_named && !rest.contains('\0')).then(|| (PathBuf::from(path), selector))
}

fn tagged(rest: &str) -> (&str, Selector) {
    match rest.split_once(':') {
        Some((path, tag)) => (path, Selector::Tag(tag.to_owned())),
        None => (rest, Selector::Only),
    }
}

/// A repository's name, by the grammar of the distribution specification.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        alphanumeric(bytes.first())
            && alphanumeric(bytes.last())
            && bytes.iter().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(byte)
            })
    };
    name.len() <= 255 && name.split('/').all(is_part)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// `HOST[:PORT]`, an IPv6 address in brackets.
fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_host =
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inner.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn of_registry(rest: &str) -> Option<Reference> {
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().ok()?)),
        None => (rest, None),
    };
    let (registry, rest) = rest.split_once('/')?;
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (rest, None),
    };
    if !is_registry(registry) || !is_name(name) || tag.is_some_and(|tag| !is_tag(tag)) {
        return None;
    }
    let selector = match digest {
        // As everywhere: a digest says more than the tag beside it.
        Some(digest) => Selector::Digest(digest),
        None => Selector::Tag(tag.unwrap_or("latest").to_owned()),
    };
    Some(Reference::Registry { registry: registry.to_owned(), name: name.to_owned(), selector })
}

impl FromStr for Reference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let (transport, rest) = text.split_once(':').ok_or_else(|| invalid(text))?;
        let found = match transport {
            "oci" => located(rest).map(|(path, selector)| Self::Layout { path, selector }),
            "oci-archive" => {
                located(rest).map(|(path, selector)| Self::LayoutArchive { path, selector })
            }
            "docker-archive" => {
                located(rest).map(|(path, selector)| Self::DockerArchive { path, selector })
            }
            "docker" => rest.strip_prefix("//").and_then(of_registry),
            _ => None,
        };
        found.ok_or_else(|| invalid(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| text.parse::<Reference>().map_err(|error| error.name());
        let tag = |tag: &str| Selector::Tag(tag.to_owned());
        assert_eq!(
            read("oci:./a/layout:v1"),
            Ok(Reference::Layout { path: "./a/layout".into(), selector: tag("v1") })
        );
        assert_eq!(
            read("docker-archive:/x.tar:busybox:latest"),
            Ok(Reference::DockerArchive { path: "/x.tar".into(), selector: tag("busybox:latest") })
        );
        let digest = format!("sha256:{}", "0".repeat(64));
        let Ok(Reference::Registry { registry, name, selector }) =
            read(&format!("docker://[::1]:5000/a/b-c:v1@{digest}"))
        else {
            panic!("not read")
        };
        assert_eq!((registry.as_str(), name.as_str()), ("[::1]:5000", "a/b-c"));
        assert_eq!(selector, Selector::Digest(digest.parse().unwrap()));
        assert!(matches!(
            read("docker://h/n"),
            Ok(Reference::Registry { selector: Selector::Tag(tag), .. }) if tag == "latest"
        ));
    }

    #[test]
    fn what_is_of_no_form_is_refused() {
        for text in [
            "",
            "redis",
            "redis:7",
            "oci:",
            "oci::x",
            "oci:x:",
            "docker:redis",
            "docker://redis",
            "docker://h/UPPER",
            "docker://h/a//b",
            "docker://h/../x",
            "docker://h:0/x",
            "docker://h/x:",
            "docker://h/x@sha256:00",
            "docker:///x",
            "docker://u@h/x",
            "oci:a\0b",
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            assert_eq!(error.name(), "ReferenceInvalid", "{text}");
        }
    }
}
