//! Artifacts: registry content that is not an image, in pieces that are named by their digests.
//!
//! ```text
//! push   HEAD /v2/NAME/blobs/DIGEST            is the piece there?
//!        POST /v2/NAME/blobs/uploads/          ──> Location: where it is to be put
//!        PUT  LOCATION?digest=DIGEST
//!        PUT  /v2/NAME/manifests/TAG           last: with it the artifact is there
//! pull   as images: the manifest, then the blobs
//! ```
//!
//! A push after an interrupted one sends only the missing pieces. A pulled piece is held until it is
//! verified, and then written.
//!
//! Source: OCI distribution specification 1.1, "Push".

use super::endpoint::Endpoint;
use super::http::{Answer, Ask, Verb, origin};
use super::{Blob, Registries, RegistrySource, refusal, verify};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::reference::{Reference, Selector};
use crate::watch::{Progress, Watch};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The longest piece: each is in memory once.
pub const MOST_PIECE_BYTES: u64 = 64 << 20;

/// The place of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The piece's first byte in it.
    pub offset: u64,
}

/// A part of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// Its places: at least one.
    pub places: Vec<Place>,
}

/// The result of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Pieces that travelled; the others were there.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
}

/// An artifact of a registry.
pub struct Artifact<'a>(pub(super) RegistrySource<'a>);

impl<'a> Artifact<'a> {
    /// The artifact of a reference.
    ///
    /// # Errors
    /// For references that are not of a registry, and options that cannot be.
    pub fn new(
        registries: &Registries,
        reference: &str,
        watch: &'a Watch,
    ) -> Result<Self, ImageError> {
        let Reference::Registry { registry, name, selector } = reference.parse()? else {
            let found = reference.chars().take(500).collect();
            return Err(ImageError::ReferenceInvalid {
                expected: "docker://REGISTRY/NAME[:TAG][@DIGEST]",
                found,
            });
        };
        RegistrySource::new(registries, &registry, &name, &selector, watch).map(Self)
    }

    /// Pushes it: the missing pieces, and the manifest when all are there.
    ///
    /// # Errors
    /// If any of it fails; the tag is then unchanged.
    pub fn push(
        mut self,
        pieces: &[Piece],
        manifest: &[u8],
        media_type: &str,
    ) -> Result<Pushed, ImageError> {
        let source = &mut self.0;
        let Selector::Tag(tag) = source.selector.clone() else {
            return Err(ImageError::ReferenceInvalid {
                expected: "a tag to push to",
                found: "a digest, which fixes the content".to_owned(),
            });
        };
        source.actions = "pull,push";
        // Mirrors are for those who pull.
        source.pass_over_mirrors();
        let Some(endpoint) = source.endpoints.first() else { return Err(ImageError::Cancelled) };
        let digest = Digest::sha256(manifest);
        let mut pushed = Pushed { digest: digest.clone(), sent: 0, sent_bytes: 0 };
        let mut told = Told::new(pieces);
        for piece in pieces {
            told.tell(source.watch, 0);
            let content = read_piece(piece)?;
            if source.patiently(|| push_piece(source, endpoint, piece, &content))? {
                pushed.sent += 1;
                pushed.sent_bytes += piece.size;
            }
            told.tell(source.watch, piece.size);
        }
        let url = format!("{}/v2/{}/manifests/{tag}", endpoint.base, source.name);
        let put = Verb::Put { content: manifest, media_type };
        let answer = source.ask(endpoint, &Ask::of(&url, put))?;
        if !matches!(answer.status().as_u16(), 200..=204) {
            return Err(refusal(&source.client, answer));
        }
        // The push must not report success for content that others would not get.
        let (found, _) = source.manifest(endpoint, &tag)?;
        let found = Digest::sha256(&found);
        if found != digest {
            return Err(ImageError::RegistryInvalid {
                url,
                expected: format!("the manifest that was just put there, {digest}"),
                found: format!(
                    "{found}: another push has replaced it, or the registry answers with old content"
                ),
            });
        }
        Ok(pushed)
    }

    /// Its manifest: the digest, and the bytes.
    ///
    /// # Errors
    /// If there is none, or it does not match its digest.
    pub fn manifest(&self) -> Result<(Digest, Vec<u8>), ImageError> {
        let found = self.0.first(|endpoint| self.0.selected(endpoint));
        found.map(|(digest, bytes, _)| (digest, bytes))
    }

    /// Fetches pieces and writes each at its places, in existing files.
    ///
    /// # Errors
    /// Of the first that cannot be had or written; those before it stand.
    pub fn fetch(&self, pieces: &[Piece]) -> Result<(), ImageError> {
        let mut told = Told::new(pieces);
        for piece in pieces {
            told.tell(self.0.watch, 0);
            check_size(piece)?;
            let content = self.0.first(|endpoint| fetch_piece(&self.0, endpoint, piece))?;
            for Place { file, offset } in &piece.places {
                let write = open(file, true).and_then(|open| open.write_all_at(&content, *offset));
                write.map_err(|error| ImageError::of_cache(file, &error))?;
            }
            told.tell(self.0.watch, piece.size);
        }
        Ok(())
    }
}

/// The progress of a transfer.
struct Told {
    index: usize,
    count: usize,
    done: u64,
    total: u64,
}

impl Told {
    fn new(pieces: &[Piece]) -> Self {
        let total = pieces.iter().fold(0_u64, |total, piece| total.saturating_add(piece.size));
        Self { index: 0, count: pieces.len(), done: 0, total }
    }

    /// After so many bytes of a piece; 0 before them.
    fn tell(&mut self, watch: &Watch, bytes: u64) {
        self.done += bytes;
        let (index, count) = (self.index, self.count);
        let (done_bytes, total_bytes) = (self.done, self.total);
        watch.tell(Progress::Layer { index, count, done_bytes, total_bytes });
        if bytes > 0 {
            self.index += 1;
        }
    }
}

fn check_size(piece: &Piece) -> Result<(), ImageError> {
    if piece.size <= MOST_PIECE_BYTES {
        return Ok(());
    }
    Err(ImageError::DocumentTooLarge {
        what: format!("piece {}", piece.digest),
        most: MOST_PIECE_BYTES,
        found: format!("{} bytes", piece.size),
    })
}

fn open(file: &Path, writes: bool) -> std::io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(!writes).write(writes).custom_flags(flags).open(file)
}

/// The bytes of a piece, which must be unchanged since it was named.
fn read_piece(piece: &Piece) -> Result<Vec<u8>, ImageError> {
    check_size(piece)?;
    let Some(Place { file, offset }) = piece.places.first() else {
        let place = "this host".to_owned();
        return Err(ImageError::BlobMissing { place, digest: piece.digest.to_string() });
    };
    let mut content = vec![0; piece.size as usize];
    let read = open(file, false).and_then(|open| open.read_exact_at(&mut content, *offset));
    read.map_err(|error| ImageError::of_source(file, &error))?;
    verify(&piece.digest, &content)?;
    Ok(content)
}

/// Sends a piece if it is missing; returns whether it was.
fn push_piece(
    source: &RegistrySource<'_>,
    endpoint: &Endpoint,
    piece: &Piece,
    content: &[u8],
) -> Result<bool, ImageError> {
    let url = source.blob_url(endpoint, &piece.digest);
    let there = source.ask_once(endpoint, &Ask::of(&url, Verb::Head))?;
    match there.status().as_u16() {
        200 => return check_there(&there, piece).map(|()| false),
        404 => {}
        _ => return Err(refusal(&source.client, there)),
    }
    let begin = format!("{}/v2/{}/blobs/uploads/", endpoint.base, source.name);
    let begun = source.ask_once(endpoint, &Ask::of(&begin, Verb::Post))?;
    if begun.status().as_u16() != 202 {
        return Err(refusal(&source.client, begun));
    }
    let place = upload_place(endpoint, &begin, &begun)?;
    let joint = if place.contains('?') { '&' } else { '?' };
    let put = format!("{place}{joint}digest={}", piece.digest);
    let verb = Verb::Put { content, media_type: "application/octet-stream" };
    let done = source.ask_once(endpoint, &Ask::of(&put, verb))?;
    if done.status().as_u16() != 201 {
        return Err(refusal(&source.client, done));
    }
    Ok(true)
}

/// A registry that has a piece has all of it.
fn check_there(answer: &Answer, piece: &Piece) -> Result<(), ImageError> {
    let length = answer.header("content-length").and_then(|text| text.parse::<u64>().ok());
    match length.filter(|length| *length != piece.size) {
        None => Ok(()),
        Some(found) => Err(ImageError::BlobSizeWrong {
            digest: piece.digest.to_string(),
            expected: piece.size,
            found: found.to_string(),
        }),
    }
}

/// The location for continuing an upload: on the registry itself, since only it may see the credentials.
fn upload_place(
    endpoint: &Endpoint,
    begun_at: &str,
    answer: &Answer,
) -> Result<String, ImageError> {
    let location = answer.header("location").unwrap_or_default();
    let place = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}{location}", endpoint.base)
    } else {
        location.to_owned()
    };
    if !place.is_empty() && origin(&place)? == origin(begun_at)? {
        return Ok(place);
    }
    Err(ImageError::RegistryInvalid {
        url: begun_at.to_owned(),
        expected: "a place for the upload at the same registry".to_owned(),
        found: if location.is_empty() { "none" } else { location }.chars().take(200).collect(),
    })
}

fn fetch_piece(
    source: &RegistrySource<'_>,
    endpoint: &Endpoint,
    piece: &Piece,
) -> Result<Vec<u8>, ImageError> {
    let Piece { digest, size, .. } = piece;
    let (body, _) = source.open_at(endpoint, digest, *size, &(0..*size))?;
    let blob = Blob::new(source, std::slice::from_ref(endpoint), digest.clone(), *size, body);
    let mut content = Vec::with_capacity(*size as usize);
    // One byte more is too many, and is seen.
    blob.take(size + 1).read_to_end(&mut content).map_err(|error| {
        let url = source.blob_url(endpoint, digest);
        ImageError::from_io(error, |error| ImageError::RegistryUnreachable {
            url,
            reason: error.to_string(),
        })
    })?;
    if content.len() as u64 != *size {
        let [digest, found] = [digest.to_string(), "more".to_owned()];
        return Err(ImageError::BlobSizeWrong { digest, expected: *size, found });
    }
    verify(digest, &content)?;
    Ok(content)
}
