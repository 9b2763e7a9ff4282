//! The content of a tree of files: names, kinds, modes, owners, times, links, attributes, contents.

use crate::tools::{has, is_forbidden, run};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub size: u64,
    pub device: u64,
    pub links: u64,
    /// The first name of the same inode.
    pub first_name: Vec<u8>,
    pub target: Option<Vec<u8>>,
    /// By their names: how long, and their digests.
    pub xattrs: BTreeMap<String, (usize, blake3::Hash)>,
    pub content: Option<blake3::Hash>,
}

pub type Files = BTreeMap<Vec<u8>, Found>;

pub fn read_attributes(path: &Path) -> BTreeMap<String, (usize, blake3::Hash)> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: both pointers are of live buffers, the second of the given length.
    let count = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let names = &names[..usize::try_from(count).unwrap_or(0)];
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0_u8; 64 << 10];
            let key = CString::new(name).unwrap();
            // SAFETY: as above.
            let count = unsafe {
                libc::lgetxattr(path.as_ptr(), key.as_ptr(), value.as_mut_ptr().cast(), value.len())
            };
            value.truncate(usize::try_from(count).unwrap_or(0));
            (String::from_utf8_lossy(name).into_owned(), (value.len(), blake3::hash(&value)))
        })
        .collect()
}

pub fn read(root: &Path) -> Files {
    let mut files = Files::new();
    let mut first: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut pending = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(path) = pending.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        paths.push(path);
    }
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let is_directory = metadata.is_dir();
        let content = metadata.is_file().then(|| blake3::hash(&fs::read(&path).unwrap()));
        let target = metadata
            .is_symlink()
            .then(|| fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec());
        let found = Found {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            // A directory's length and links are its file system's own.
            size: if is_directory { 0 } else { metadata.size() },
            links: if is_directory { 0 } else { metadata.nlink() },
            device: metadata.rdev(),
            first_name: first.entry(metadata.ino()).or_insert_with(|| name.clone()).clone(),
            target,
            xattrs: read_attributes(&path),
            content,
        };
        files.insert(name, found);
    }
    files
}

/// `umoci`'s result for an image of a layout; prints the reason if it is not available.
pub fn unpacked_by_umoci(reference: &str, folder: &Path) -> Option<Files> {
    // SAFETY: it takes nothing and changes nothing.
    if !has("umoci") || unsafe { libc::geteuid() } != 0 {
        println!(
            "skipped: umoci (scripts/setup/image-tools.sh) and root, to unpack owners and devices"
        );
        return None;
    }
    let bundle = folder.join("bundle");
    let output = run("umoci", &["unpack", "--image", reference, &bundle.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && is_forbidden(&said) {
        println!("skipped: umoci is not let make devices and owners here: {}", said.trim());
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(read(&bundle.join("rootfs")))
}

/// Says where two trees differ.
pub fn assert_same(ours: &Files, theirs: &Files) {
    let names = |files: &Files| {
        files.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(ours), names(theirs));
    for (name, found) in ours {
        assert_eq!(found, &theirs[name], "{}", String::from_utf8_lossy(name));
    }
}
