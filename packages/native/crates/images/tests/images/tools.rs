//! Other people's tools and the kernel, where they are there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

pub fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub fn run_well(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Has `fsck.erofs` read all of the image.
pub fn check(file: &Path) {
    if !has("fsck.erofs") {
        println!("skipped: fsck.erofs is not installed (scripts/setup/image-tools.sh)");
        return;
    }
    let output = run("fsck.erofs", &["--extract", &file.display().to_string()]);
    let said = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(output.status.success(), "{said}");
}

/// The image, mounted by the kernel until this is dropped.
pub struct Mounted {
    pub at: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l", &self.at.display().to_string()]);
    }
}

/// Whether a tool was not let do something, rather than failed at it.
pub fn is_forbidden(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["permission denied", "not permitted", "superuser", "unknown filesystem type"]
        .iter()
        .any(|why| said.contains(why))
}

/// Mounts the image; says why not, where that is not to be had.
pub fn mount(file: &Path) -> Option<Mounted> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // SAFETY: it takes nothing and changes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || !known.contains("erofs") {
        println!("skipped: mounting EROFS takes root and a kernel that has it; fsck.erofs read it");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    let mounted = run(
        "mount",
        &["-t", "erofs", "-o", "loop,ro", &file.display().to_string(), &at.display().to_string()],
    );
    if !mounted.status.success() {
        let said = String::from_utf8_lossy(&mounted.stderr);
        // A container that forbids mounting says nothing about the image.
        assert!(is_forbidden(&said) || said.contains("loop"), "{said}");
        println!("skipped: mounting is not to be had here: {}", said.trim());
        return None;
    }
    Some(Mounted { at, _folder: folder })
}
