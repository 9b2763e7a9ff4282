//! Built images, by the layers that they were built from.
//!
//! ```text
//! lock                   held while something is published or goes
//! keys/KEY.lock          held by who builds that image
//! building/KEY/          what is being built, of whoever holds that lock; dead without
//! images/KEY/root.erofs  an image: whole, flushed, and put here by one rename
//! images/KEY/root.erofs.blocks   the digests of its blocks
//! images/KEY/image.json  what it is; shared lock: it is in use; its time: the last use
//!
//! An image that was touched since it was put there is digested before it is used again.
//! ```
//!
//! Locks that the kernel releases when a process ends, in any way, identify the owners: names or process
//! numbers never do. So several processes may use one cache, and any may be killed at any moment: the next
//! build finds and removes its leftovers.

mod description;
mod locks;

pub use description::Description;
use description::open;

use crate::error::ImageError;
use crate::watch::{Progress, Watch};
use locks::{Locked, Mode, lock_path};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The file of an image.
pub const ROOT: &str = "root.erofs";
const DESCRIPTION: &str = "image.json";
const GONE: &str = ".gone";

/// A folder of images, bounded in its size.
pub struct Cache {
    directory: PathBuf,
    most_bytes: u64,
}

/// An image that is in use: it stays in the cache while this lives.
#[derive(Debug)]
pub struct Held {
    /// Holds the shared lock.
    _lock: Locked,
    /// The image's file.
    pub file: PathBuf,
    /// Its description.
    pub description: Description,
}

/// An image of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Its key.
    pub key: String,
    /// Its description.
    pub description: Description,
    /// The time of its last use.
    pub last_used: SystemTime,
    /// Whether it is in use.
    pub is_in_use: bool,
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, ImageError> {
    result.map_err(|error| ImageError::of_cache(path, &error))
}

fn make_directory(path: &Path) -> Result<(), ImageError> {
    at(path, DirBuilder::new().recursive(true).mode(0o700).create(path))
}

fn is_key(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Removes a folder and its contents; does nothing if it is missing.
fn remove(path: &Path) -> Result<(), ImageError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ImageError::of_cache(path, &error))
        }
        _ => Ok(()),
    }
}

impl Cache {
    /// The cache in `directory`, which is created if it is missing.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn open(directory: &Path, most_bytes: u64) -> Result<Self, ImageError> {
        for part in ["keys", "building", "images"] {
            make_directory(&directory.join(part))?;
        }
        Ok(Self { directory: directory.to_owned(), most_bytes })
    }

    fn image(&self, key: &str) -> PathBuf {
        self.directory.join("images").join(key)
    }

    fn building(&self, key: &str) -> PathBuf {
        self.directory.join("building").join(key)
    }

    fn key_lock(&self, key: &str) -> PathBuf {
        self.directory.join("keys").join(format!("{key}.lock"))
    }

    /// Waits for a lock; cancelled, it ends.
    fn wait(&self, path: &Path, watch: &Watch) -> Result<Locked, ImageError> {
        loop {
            watch.check()?;
            if let Some(lock) = at(path, lock_path(path))? {
                return Ok(lock);
            }
            watch.tell(Progress::Waiting);
            watch.pause(Duration::from_millis(20))?;
        }
    }

    /// The image of that key, in use from now on; `None` if it is not here.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn find(&self, key: &str) -> Result<Option<Held>, ImageError> {
        let path = self.image(key).join(DESCRIPTION);
        let file = loop {
            let file = match open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => at(&path, file)?,
            };
            // An exclusive holder removes it, or only checks whether it is in use, for a moment.
            if let Ok(file) = at(&path, Locked::try_new(file, Mode::Shared))?
                && at(&path, locks::is_at(&file, &path))?
            {
                break file;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let root = self.image(key).join(ROOT);
        let Some(description) =
            Description::read(&file).filter(|known| known.is_of(&root).unwrap_or(false))
        else {
            // The file was changed.
            drop(file);
            let _all = self.wait(&self.directory.join("lock"), &Watch::unwatched())?;
            self.take_away(key)?;
            return Ok(None);
        };
        // The time of the last use only orders removals: failing to set it does no harm.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(Held { _lock: file, file: root, description }))
    }

    /// The image of that key: the cached one, or the one that `build` writes into the given folder, under the
    /// name [`ROOT`]. If another process is building it, waits for that.
    ///
    /// # Errors
    /// The errors of `build`, or if there is no room.
    pub fn find_or_build(
        &self,
        key: &str,
        watch: &Watch,
        build: impl FnOnce(&Path) -> Result<Description, ImageError>,
    ) -> Result<Held, ImageError> {
        if let Some(found) = self.find(key)? {
            return Ok(found);
        }
        let lock_path = self.key_lock(key);
        let lock = self.wait(&lock_path, watch)?;
        let built = self.build(key, watch, build);
        // Under the lock, so that a process that waits for this file finds it gone and creates another.
        let _ = fs::remove_file(&lock_path);
        drop(lock);
        built
    }

    fn build(
        &self,
        key: &str,
        watch: &Watch,
        build: impl FnOnce(&Path) -> Result<Description, ImageError>,
    ) -> Result<Held, ImageError> {
        if let Some(found) = self.find(key)? {
            return Ok(found);
        }
        self.sweep(key)?;
        let building = self.building(key);
        // The lock is ours, so the content is from a dead process.
        remove(&building)?;
        make_directory(&building)?;
        let built = build(&building).and_then(|description| {
            let sealed = at(&building, description.sealed(&building.join(ROOT)))?;
            sealed.write(&building.join(DESCRIPTION))?;
            at(&building, File::open(&building).and_then(|folder| folder.sync_all()))?;
            self.publish(key, &sealed, watch)
        });
        if built.is_err() {
            // The error that there was is worth more than one of clearing up; a later build clears up, too.
            let _ = remove(&building);
        }
        built
    }

    fn publish(
        &self,
        key: &str,
        description: &Description,
        watch: &Watch,
    ) -> Result<Held, ImageError> {
        let all = self.wait(&self.directory.join("lock"), watch)?;
        self.make_room(description.stored_bytes())?;
        let target = self.image(key);
        // An image here was not found to be complete, or it would have been used.
        self.take_away(key)?;
        at(&target, fs::rename(self.building(key), &target))?;
        let images = self.directory.join("images");
        at(&images, File::open(&images).and_then(|folder| folder.sync_all()))?;
        let held = self.find(key)?;
        drop(all);
        held.ok_or_else(|| ImageError::CacheUnusable {
            path: target.display().to_string(),
            reason: "it was changed while it was put there".to_owned(),
        })
    }

    /// The images in the cache, least recently used first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn list(&self, watch: &Watch) -> Result<Vec<Cached>, ImageError> {
        let _all = self.wait(&self.directory.join("lock"), watch)?;
        self.listed()
    }

    /// As [`Self::list`]. The lock of all is held: to see whether an image is in use is to have it for a moment.
    fn listed(&self) -> Result<Vec<Cached>, ImageError> {
        let images = self.directory.join("images");
        let mut found = Vec::new();
        for entry in at(&images, fs::read_dir(&images))? {
            let name = at(&images, entry)?.file_name();
            let Some(key) = name.to_str().filter(|name| is_key(name)) else { continue };
            let Ok(file) = open(&self.image(key).join(DESCRIPTION)) else { continue };
            let Some(description) = Description::read(&file) else { continue };
            let last_used = file.metadata().and_then(|metadata| metadata.modified());
            let is_in_use = !matches!(Locked::try_new(file, Mode::Exclusive), Ok(Ok(_)));
            found.push(Cached {
                key: key.to_owned(),
                description,
                last_used: last_used.unwrap_or(SystemTime::UNIX_EPOCH),
                is_in_use,
            });
        }
        found.sort_by(|one, other| (one.last_used, &one.key).cmp(&(other.last_used, &other.key)));
        Ok(found)
    }

    /// Removes unused images, least recently used first, until at most `most_bytes` are left, and leftovers
    /// of killed processes. Returns the removed images.
    ///
    /// # Errors
    /// If the cache cannot be changed.
    pub fn prune(&self, most_bytes: u64, watch: &Watch) -> Result<Vec<Cached>, ImageError> {
        let _all = self.wait(&self.directory.join("lock"), watch)?;
        self.sweep("")?;
        self.take_away_unknown()?;
        let mut bytes: u64 =
            self.listed()?.iter().map(|cached| cached.description.stored_bytes()).sum();
        let mut gone = Vec::new();
        for cached in self.listed()? {
            if bytes <= most_bytes {
                break;
            }
            if self.take_away(&cached.key)? {
                bytes -= cached.description.stored_bytes();
                gone.push(cached);
            }
        }
        Ok(gone)
    }

    /// Removes entries that are not recognised as images, since no count includes them. The caller holds the
    /// lock of all.
    fn take_away_unknown(&self) -> Result<(), ImageError> {
        let known: Vec<String> = self.listed()?.into_iter().map(|cached| cached.key).collect();
        let images = self.directory.join("images");
        for entry in at(&images, fs::read_dir(&images))? {
            let name = at(&images, entry)?.file_name();
            let Some(key) = name.to_str().filter(|name| is_key(name)) else { continue };
            if !known.iter().any(|known| known == key) {
                self.take_away(key)?;
            }
        }
        Ok(())
    }

    /// Room for so many bytes. The lock of all is held.
    fn make_room(&self, needed: u64) -> Result<(), ImageError> {
        self.take_away_unknown()?;
        let mut listed = self.listed()?.into_iter();
        let mut bytes: u64 =
            self.listed()?.iter().map(|cached| cached.description.stored_bytes()).sum();
        while bytes + needed > self.most_bytes {
            let Some(oldest) = listed.next() else {
                return Err(ImageError::CacheFull { most: self.most_bytes, needed, held: bytes });
            };
            if self.take_away(&oldest.key)? {
                bytes -= oldest.description.stored_bytes();
            }
        }
        Ok(())
    }

    /// Whether there can be room for an image of that length, before it is written.
    ///
    /// # Errors
    /// [`ImageError::CacheFull`].
    pub fn expect_room(&self, size_bytes: u64, watch: &Watch) -> Result<(), ImageError> {
        let _all = self.wait(&self.directory.join("lock"), watch)?;
        let in_use = self.listed()?.into_iter().filter(|cached| cached.is_in_use);
        let held: u64 = in_use.map(|cached| cached.description.stored_bytes()).sum();
        let needed = Description::stored_bytes_of(size_bytes);
        if held + needed <= self.most_bytes {
            return Ok(());
        }
        Err(ImageError::CacheFull { most: self.most_bytes, needed, held })
    }

    /// Takes an image away unless it is in use; whether it went. The lock of all is held.
    fn take_away(&self, key: &str) -> Result<bool, ImageError> {
        let image = self.image(key);
        let description = image.join(DESCRIPTION);
        let lock = match open(&description) {
            Ok(file) => match at(&description, Locked::try_new(file, Mode::Exclusive))? {
                Ok(file) => Some(file),
                Err(_) => return Ok(false),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(ImageError::of_cache(&description, &error)),
        };
        let gone = self.building(&format!("{key}{GONE}"));
        remove(&gone)?;
        match fs::rename(&image, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            renamed => at(&image, renamed)?,
        }
        remove(&gone)?;
        drop(lock);
        Ok(true)
    }

    /// Removes what dead processes left; `own` is being built by the caller.
    fn sweep(&self, own: &str) -> Result<(), ImageError> {
        let building = self.directory.join("building");
        for entry in at(&building, fs::read_dir(&building))? {
            let name = at(&building, entry)?.file_name();
            let Some(name) = name.to_str().filter(|name| *name != own) else { continue };
            if let Some(key) = name.strip_suffix(GONE).filter(|key| is_key(key)) {
                // The process that removes it may still be at work, under the lock of all.
                if own.is_empty() {
                    remove(&self.building(&format!("{key}{GONE}")))?;
                }
            } else if is_key(name) {
                let path = self.key_lock(name);
                if let Some(lock) = at(&path, lock_path(&path))? {
                    remove(&self.building(name))?;
                    let _ = fs::remove_file(&path);
                    drop(lock);
                }
            }
        }
        Ok(())
    }
}
