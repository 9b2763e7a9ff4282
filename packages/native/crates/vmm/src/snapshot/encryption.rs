//! Encryption of a snapshot at rest.
//!
//! ```text
//! the caller's key, 32 bytes ──HKDF "stillpoint key id"─────────────▶ key id, in the header
//! the caller's key, the header's salt ─┬─HKDF "stillpoint state"────▶ AES-256-GCM of machine.bin's state
//!                                      └─HKDF "stillpoint chunks"───▶ AES-256-CTR of all chunks
//!
//! counter of a chunk's first block
//! ┌──────────────────────────┬──────────────────┬───────┐
//! │ u32 table: 0 for memory, │ u64 number of    │ u32 0 │  big-endian
//! │ N + 1 for disk N         │ chunk            │       │
//! └──────────────────────────┴──────────────────┴───────┘
//! ```
//! Each snapshot has a salt of its own, 32 random bytes, so no key is used for two of them. A counter
//! belongs to the chunk's place in memory or on the disk: no two chunks have one, equal chunks are
//! stored differently, and nothing shows which are equal.
//!
//! The digests in the tables are of the stored, encrypted bytes, so files can be checked without the
//! key. They prove nothing against someone who can write files, as anyone can compute them. What
//! proves it is the tag of the state: its associated data is everything before it in `machine.bin`,
//! and so the digests of the tables, and so every chunk. The parent of a delta is in the header too.
//!
//! Sources: RFC 5869 (HKDF), NIST SP 800-38A (CTR) and 800-38D (GCM).

use std::fmt;

use aes::Aes256;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, Nonce, Payload};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::random::host_bytes;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The table of memory.
pub(super) const MEMORY_TABLE: u32 = 0;

/// The table of disk number `number`.
pub(super) fn disk_table(number: usize) -> u32 {
    number as u32 + 1
}

type Secret = Zeroizing<[u8; KEY_BYTES]>;

fn derived(key: &[u8; KEY_BYTES], salt: &[u8], label: &str) -> Secret {
    let mut secret = Secret::default();
    // 32 bytes are not too many for HKDF to give.
    let _ = Hkdf::<Sha256>::new(Some(salt), key).expand(label.as_bytes(), &mut *secret);
    secret
}

fn in_hex(bytes: [u8; 32]) -> String {
    blake3::Hash::from_bytes(bytes).to_hex().to_string()
}

/// A key by which snapshots are encrypted. It is not printed, and overwritten when it is dropped.
#[derive(Clone)]
pub struct EncryptionKey {
    bytes: Secret,
    id: String,
}

impl EncryptionKey {
    /// The key of these bytes, of which each key has its own and nobody else knows any.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let bytes = Secret::new(bytes);
        let id = in_hex(*derived(&bytes, &[], "stillpoint key id"));
        Self { bytes, id }
    }

    /// What it is called: derived from it, so that it says nothing of it. 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl PartialEq for EncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.id)
    }
}

/// How a snapshot is encrypted, in its header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionHeader {
    /// Id of the key.
    pub key_id: String,
    /// Random bytes of this snapshot, in hexadecimal digits.
    pub salt: String,
}

impl EncryptionHeader {
    /// For a new snapshot.
    pub(super) fn new(key: &EncryptionKey) -> Self {
        Self { key_id: key.id.clone(), salt: in_hex(host_bytes()) }
    }

    /// Whether both are 64 hexadecimal digits.
    pub(super) fn is_valid(&self) -> bool {
        [&self.key_id, &self.salt].into_iter().all(|text| blake3::Hash::from_hex(text).is_ok())
    }
}

/// A key is not the one that a snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// The snapshot is encrypted, and no key was given.
    #[error("{snapshot} is encrypted: expected the key {expected}, found none")]
    Missing {
        /// The snapshot.
        snapshot: String,
        /// Id of its key.
        expected: String,
    },
    /// The snapshot is encrypted with another key.
    #[error("{snapshot}: expected the key {expected}, found the key {found}")]
    Wrong {
        /// The snapshot.
        snapshot: String,
        /// Id of its key.
        expected: String,
        /// Id of the given key.
        found: String,
    },
    /// A key was given, and the snapshot is not encrypted: anyone can have written it.
    #[error(
        "{snapshot}: expected a snapshot encrypted with the key {expected}, found one that is not \
         encrypted: anyone can have written it; if you trust it, use it without a key"
    )]
    NotEncrypted {
        /// The snapshot.
        snapshot: String,
        /// Id of the given key.
        expected: String,
    },
}

impl KeyRefused {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "KeyMissing",
            Self::Wrong { .. } => "KeyWrong",
            Self::NotEncrypted { .. } => "NotEncrypted",
        }
    }

    /// Compares the key that a snapshot needs, by its id, with the given one.
    pub(super) fn check(
        snapshot: impl FnOnce() -> String,
        needed: Option<&str>,
        given: Option<&EncryptionKey>,
    ) -> Result<(), Self> {
        match (needed, given) {
            (None, None) => Ok(()),
            (Some(needed), Some(given)) if needed == given.id => Ok(()),
            (Some(expected), None) => {
                Err(Self::Missing { snapshot: snapshot(), expected: expected.to_owned() })
            }
            (Some(expected), Some(given)) => Err(Self::Wrong {
                snapshot: snapshot(),
                expected: expected.to_owned(),
                found: given.id.clone(),
            }),
            (None, Some(given)) => {
                Err(Self::NotEncrypted { snapshot: snapshot(), expected: given.id.clone() })
            }
        }
    }
}

/// What one snapshot is encrypted with.
pub(super) struct SnapshotCipher {
    state: Aes256Gcm,
    chunks: Aes256,
}

impl SnapshotCipher {
    pub(super) fn new(key: &EncryptionKey, header: &EncryptionHeader) -> Self {
        // A checked header's salt is one.
        let salt = blake3::Hash::from_hex(&header.salt).map_or([0; 32], Into::into);
        let derived = |label| derived(&key.bytes, &salt, label);
        Self {
            state: Aes256Gcm::new((&*derived("stillpoint state")).into()),
            chunks: Aes256::new((&*derived("stillpoint chunks")).into()),
        }
    }

    /// The encrypted state, with its tag, of a file that begins with `before`. Used once: the nonce is
    /// always the same one.
    pub(super) fn sealed(&self, before: &[u8], state: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload { msg: state, aad: before };
        self.state.encrypt(&Nonce::<Aes256Gcm>::default(), payload).ok()
    }

    /// The state; `None` if not both it and `before` are as they were sealed.
    pub(super) fn opened(&self, before: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let payload = Payload { msg: sealed, aad: before };
        self.state.decrypt(&Nonce::<Aes256Gcm>::default(), payload).ok().map(Zeroizing::new)
    }

    /// For the chunks of one table.
    pub(super) fn of_table(&self, table: u32) -> ChunkCipher {
        ChunkCipher { cipher: self.chunks.clone(), table }
    }
}

/// What the chunks of one table are encrypted with.
#[derive(Clone)]
pub(super) struct ChunkCipher {
    cipher: Aes256,
    table: u32,
}

impl ChunkCipher {
    /// Encrypts a chunk, or decrypts it: both are the same.
    pub(super) fn apply(&self, chunk: usize, bytes: &mut [u8]) {
        let mut counter = [0; 16];
        counter[..4].copy_from_slice(&self.table.to_be_bytes());
        counter[4..12].copy_from_slice(&(chunk as u64).to_be_bytes());
        let core = CtrCore::<_, Ctr128BE>::inner_iv_init(self.cipher.clone(), &counter.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One chunk's keystream.
    fn stream(cipher: &ChunkCipher, chunk: usize) -> Vec<u8> {
        let mut bytes = vec![0; crate::snapshot::CHUNK_BYTES];
        cipher.apply(chunk, &mut bytes);
        bytes
    }

    #[test]
    fn no_two_blocks_have_the_same_keystream() {
        let key = EncryptionKey::new([7; 32]);
        let ciphers = [EncryptionHeader::new(&key), EncryptionHeader::new(&key)]
            .map(|header| SnapshotCipher::new(&key, &header));
        let mut blocks = std::collections::HashSet::new();
        for cipher in &ciphers {
            for table in [MEMORY_TABLE, disk_table(0), disk_table(1)] {
                for chunk in [0, 1, 255, 256] {
                    for block in stream(&cipher.of_table(table), chunk).chunks(16) {
                        assert!(blocks.insert(block.to_vec()), "table {table}, chunk {chunk}");
                    }
                }
            }
        }
        assert_eq!(blocks.len(), 2 * 3 * 4 * crate::snapshot::CHUNK_BYTES / 16);
    }

    #[test]
    fn keys_and_their_ids_are_derived_as_other_implementations_derive_them() {
        // From Node's crypto: hkdfSync("sha256", key, salt, label, 32), and its aes-256-ecb.
        let key = EncryptionKey::new([7; 32]);
        assert_eq!(key.id(), "6718a6a3235b21c243bf84ec07cbaa0a02df1348f9eed2592a399dbe15a66fbf");
        let header = EncryptionHeader { key_id: key.id().to_owned(), salt: "ab".repeat(32) };
        let cipher = SnapshotCipher::new(&key, &header).of_table(disk_table(1));
        assert_eq!(
            blake3::Hash::from_slice(&stream(&cipher, 3)[16..48])
                .expect("32 bytes")
                .to_hex()
                .as_str(),
            "d6fa4ebfa2b4bfdaed8c3efe55def437219663f433f2d7738255baa65c8d2b70"
        );
        assert_eq!(format!("{key:?}"), format!("EncryptionKey({})", key.id()));
    }
}
