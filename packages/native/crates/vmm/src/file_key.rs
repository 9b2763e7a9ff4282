//! Telling the files of the host, and their contents at two times, apart without reading them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

/// More than the step of any file system's clock.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// A file, by device and inode.
pub(crate) type FileId = (u64, u64);

/// The identity of a file on the host, and its last change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// `None` for a file that may be given other names.
    changed: Option<(i64, i64)>,
    /// Number of the arrival of a file that is not all there yet, which each arriving byte modifies.
    arrival: Option<u64>,
}

impl FileKey {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: Some((metadata.ctime(), metadata.ctime_nsec())),
            arrival: None,
        }
    }

    /// Of a file that may be linked meanwhile: that is a change of it, and none of its content. It may
    /// be in the arrival of that number.
    pub(crate) fn of_linked(metadata: &Metadata, arrival: Option<u64>) -> Self {
        let key = Self { changed: None, arrival, ..Self::of(metadata) };
        if arrival.is_some() { Self { modified: (0, 0), ..key } } else { key }
    }

    pub(crate) fn file(&self) -> FileId {
        (self.device, self.inode)
    }

    /// Whether the last modification is so old that a further one has another time, and so another
    /// key.
    pub(crate) fn is_settled(&self) -> bool {
        if self.arrival.is_some() {
            return false;
        }
        let (seconds, nanos) = self.modified;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        since
            .and_then(|(seconds, nanos)| UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)))
            .and_then(|modified| modified.elapsed().ok())
            .is_some_and(|elapsed| elapsed >= SETTLED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_file_that_is_linked_is_the_same_and_one_that_is_modified_is_another() {
        let folder = std::env::temp_dir().join(format!("stillpoint-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("room");
        let (path, link) = (folder.join("file"), folder.join("link"));
        std::fs::write(&path, "content").expect("room");
        let file = std::fs::File::options().write(true).open(&path).expect("there");
        let times = |modified| file.set_modified(modified).expect("ours");
        times(SystemTime::UNIX_EPOCH);
        let metadata = || file.metadata().expect("open");
        let before = metadata();
        std::fs::hard_link(&path, &link).expect("room");
        // Whatever step its clock has.
        while metadata().ctime_nsec() == before.ctime_nsec() {
            std::fs::remove_file(&link).expect("there");
            std::fs::hard_link(&path, &link).expect("room");
        }
        assert_eq!(FileKey::of_linked(&before, None), FileKey::of_linked(&metadata(), None));
        assert_ne!(FileKey::of(&before), FileKey::of(&metadata()));
        assert!(FileKey::of_linked(&before, None).is_settled());
        let arriving = |metadata: &Metadata| FileKey::of_linked(metadata, Some(1));
        assert!(!arriving(&before).is_settled());
        times(SystemTime::now());
        assert_eq!(arriving(&before), arriving(&metadata()));
        assert_ne!(FileKey::of_linked(&before, None), FileKey::of_linked(&metadata(), None));
        assert!(!FileKey::of_linked(&metadata(), None).is_settled());
        std::fs::remove_dir_all(&folder).expect("there");
    }
}
