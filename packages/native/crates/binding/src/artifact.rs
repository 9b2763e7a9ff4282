//! Registry content that is not an image, in pieces.

use crate::event_batch::{integer, seq};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use stillpoint_images::digest::Digest;
use stillpoint_images::error::ImageError;
use stillpoint_images::sources::registry::{Piece, Place, Pushed};

/// The place of a piece.
#[napi(object, object_to_js = false)]
pub struct ArtifactPlace {
    /// The file.
    pub file: String,
    /// The piece's first byte in it.
    pub offset: f64,
}

/// A part of an artifact.
#[napi(object, object_to_js = false)]
pub struct ArtifactPiece {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its length.
    pub size: f64,
    /// Its places.
    pub places: Vec<ArtifactPlace>,
}

/// The manifest of an artifact.
#[napi(object, object_from_js = false)]
pub struct ArtifactManifest {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// As it is sent.
    pub bytes: Buffer,
}

/// The result of a push.
#[napi(object, object_from_js = false)]
pub struct ArtifactPushed {
    /// Digest of the manifest.
    pub digest: String,
    /// Pieces that travelled.
    pub sent: f64,
    /// Bytes of those.
    pub sent_bytes: f64,
}

/// The result of a fetch.
#[napi(object, object_from_js = false)]
pub struct ArtifactFetched {
    /// Pieces that travelled.
    pub pieces: f64,
}

impl TryFrom<ArtifactPiece> for Piece {
    type Error = ImageError;

    fn try_from(piece: ArtifactPiece) -> Result<Self, ImageError> {
        let digest = piece.digest.parse::<Digest>().map_err(|error| ImageError::OptionInvalid {
            option: "piece".to_owned(),
            expected: "a digest",
            found: error.0,
        })?;
        let place =
            |ArtifactPlace { file, offset }| Place { file: file.into(), offset: integer(offset) };
        let places = piece.places.into_iter().map(place).collect();
        Ok(Self { digest, size: integer(piece.size), places })
    }
}

impl From<Pushed> for ArtifactPushed {
    fn from(Pushed { digest, sent, sent_bytes }: Pushed) -> Self {
        Self { digest: digest.to_string(), sent: seq(sent), sent_bytes: seq(sent_bytes) }
    }
}
