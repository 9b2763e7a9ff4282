//! Formats in which other engines keep disks: the bytes of such a file are not those of the disk.
//!
//! Sources: QEMU, `docs/interop/qcow2.rst` and `qed_spec.rst`; VMware, Virtual Disk Format 5.0; Microsoft, [MS-VHDX] and the VHD
//! specification; VirtualBox, `VDICore.h`; Parallels, `docs/interop/parallels.txt` of QEMU.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The offset and the bytes of a format's signature, and its name, which is also `qemu-img`'s.
const FORMATS: [(usize, &[u8], &str); 9] = [
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
];

const HEAD_BYTES: usize = 0x44;

/// The format of a file that is not the bytes of a disk as they are; `None` for any other.
pub(super) fn foreign_format(file: &File) -> io::Result<Option<&'static str>> {
    let mut head = [0; HEAD_BYTES];
    match file.read_exact_at(&mut head, 0) {
        // A shorter one is none of these.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let found = FORMATS.iter().find(|(at, magic, _)| head[*at..].starts_with(magic));
    Ok(found.map(|(_, _, name)| *name))
}
