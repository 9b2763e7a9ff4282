//! Writes tar archives, right ones and others.

/// One entry of an archive; what is not said is as usual.
#[derive(Clone)]
pub struct Item {
    pub path: Vec<u8>,
    pub kind: u8,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: String,
    pub data: Vec<u8>,
    pub size: Option<u64>,
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
    pub device: (u32, u32),
}

impl Item {
    pub fn new(kind: u8, path: impl AsRef<[u8]>) -> Self {
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        Self {
            path: path.as_ref().to_vec(),
            kind,
            link: Vec::new(),
            mode,
            uid: 0,
            gid: 0,
            mtime: "1700000000".to_owned(),
            data: Vec::new(),
            size: None,
            pax: Vec::new(),
            device: (0, 0),
        }
    }

    pub fn file(path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self { data: data.as_ref().to_vec(), ..Self::new(b'0', path) }
    }

    pub fn directory(path: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', path)
    }

    pub fn link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(b'1', path) }
    }

    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), mode: 0o777, ..Self::new(b'2', path) }
    }

    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.pax.push((format!("SCHILY.xattr.{name}").into_bytes(), value.to_vec()));
        self
    }
}

fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}", width = field.len() - 1);
    let count = digits.len().min(field.len());
    field[..count].copy_from_slice(&digits.as_bytes()[..count]);
}

pub fn header(item: &Item, path: &[u8], link: &[u8], size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    header[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]);
    octal(&mut header[100..108], u64::from(item.mode));
    octal(&mut header[108..116], item.uid.min(0o7_777_777));
    octal(&mut header[116..124], item.gid.min(0o7_777_777));
    octal(&mut header[124..136], size);
    let seconds = item.mtime.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    octal(&mut header[136..148], seconds);
    header[156] = item.kind;
    header[157..157 + link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
    header[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut header[329..337], u64::from(item.device.0));
    octal(&mut header[337..345], u64::from(item.device.1));
    seal(&mut header);
    header
}

/// Writes the checksum.
pub fn seal(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header[148..155], sum);
    header[154] = 0;
}

pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn padded(archive: &mut Vec<u8>, data: &[u8]) {
    archive.extend(data);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// An archive of those entries.
pub fn archive(items: &[Item]) -> Vec<u8> {
    let mut archive = Vec::new();
    for item in items {
        let mut records: Vec<u8> =
            item.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
        if item.path.len() > 100 {
            records.extend(record(b"path", &item.path));
        }
        if item.link.len() > 100 {
            records.extend(record(b"linkpath", &item.link));
        }
        for (key, value) in [("uid", item.uid), ("gid", item.gid)] {
            if value > 0o7_777_777 {
                records.extend(record(key.as_bytes(), value.to_string().as_bytes()));
            }
        }
        if item.mtime.contains(['.', '-']) {
            records.extend(record(b"mtime", item.mtime.as_bytes()));
        }
        if !records.is_empty() {
            let extended = Item::new(b'x', "PaxHeaders/x");
            archive.extend(header(&extended, &extended.path, b"", records.len() as u64));
            padded(&mut archive, &records);
        }
        archive.extend(header(
            item,
            &item.path,
            &item.link,
            item.size.unwrap_or(item.data.len() as u64),
        ));
        padded(&mut archive, &item.data);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
