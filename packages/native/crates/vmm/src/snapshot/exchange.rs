//! Putting a snapshot where another one stands, so that no moment sees neither.

use std::io;
use std::path::Path;

/// Lets the directories at two paths of one file system change places in one step; whether that
/// was done. Not where the system or the file system has no such step: nothing is changed then.
///
/// # Errors
/// What the operating system said otherwise: one of them is missing, or may not be moved.
pub fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    match system::exchange(one, other) {
        Ok(()) => Ok(true),
        Err(error) if is_lacking(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_lacking(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::ENOTSUP))
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod system {
    use std::ffi::CString;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
        let one = CString::new(one.as_os_str().as_bytes())?;
        let other = CString::new(other.as_os_str().as_bytes())?;
        // SAFETY: both are strings that end with a zero byte and live until the call returns.
        #[cfg(target_os = "linux")]
        let failed = unsafe {
            libc::syscall(
                libc::SYS_renameat2,
                libc::AT_FDCWD,
                one.as_ptr(),
                libc::AT_FDCWD,
                other.as_ptr(),
                libc::RENAME_EXCHANGE,
            )
        };
        // SAFETY: as above.
        #[cfg(target_os = "macos")]
        let failed = unsafe { libc::renamex_np(one.as_ptr(), other.as_ptr(), libc::RENAME_SWAP) };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod system {
    use std::io;
    use std::path::Path;

    pub(super) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

#[cfg(test)]
mod tests {
    use super::exchange;

    #[test]
    fn two_directories_change_places_or_stay_as_they_are() {
        let root = std::env::temp_dir().join(format!("stillpoint-exchange-{}", std::process::id()));
        let (one, other) = (root.join("one"), root.join("other"));
        for directory in [&one, &other] {
            std::fs::create_dir_all(directory).expect("created");
            std::fs::write(directory.join("name"), directory.as_os_str().as_encoded_bytes())
                .expect("written");
        }
        let is_done = exchange(&one, &other).expect("both are there");
        let holds = std::fs::read(one.join("name")).expect("there");
        let expected = if is_done { &other } else { &one };
        assert_eq!(holds, expected.as_os_str().as_encoded_bytes());
        match exchange(&one, &root.join("none")) {
            Ok(is_done) => assert!(!is_done),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
        assert!(one.exists());
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
