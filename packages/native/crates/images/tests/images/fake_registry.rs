//! A registry for tests, which behaves as instructed.

use crate::archive::{Item, archive};
use crate::layout::gzip;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use stillpoint_images::digest::Digest;
use stillpoint_images::error::ImageError;
use stillpoint_images::limits::Limits;
use stillpoint_images::platform::Platform;
use stillpoint_images::resolve::{Request, Resolved, Store};
use stillpoint_images::sources::registry::Registries;
use stillpoint_images::watch::Watch;

/// An image of the registry.
pub struct Image {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layer: Vec<u8>,
}

impl Image {
    pub fn new() -> Self {
        let noise: Vec<u8> = (0..400_000_u32)
            .flat_map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[..1].to_vec())
            .collect();
        let unpacked = archive(&[Item::file("file", noise)]);
        let layer = gzip(&unpacked);
        let config = format!(
            r#"{{"os":"linux","architecture":"riscv64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::sha256(&unpacked)
        )
        .into_bytes();
        let of = |kind: &str, bytes: &[u8]| {
            format!(
                r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#,
                Digest::sha256(bytes),
                bytes.len()
            )
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            of("application/vnd.oci.image.config.v1+json", &config),
            of("application/vnd.oci.image.layer.v1.tar+gzip", &layer)
        )
        .into_bytes();
        Self { manifest, config, layer }
    }

    /// An honest registry's answer.
    pub fn honest(&self, asked: &Asked) -> Answer {
        let body = if asked.path.contains("/manifests/") {
            self.manifest.clone()
        } else if asked.path.ends_with(Digest::sha256(&self.config).hex()) {
            self.config.clone()
        } else if asked.path.ends_with(Digest::sha256(&self.layer).hex()) {
            self.layer.clone()
        } else {
            return Answer::status(404);
        };
        match asked.from {
            0 => Answer::of(body),
            from => {
                let total = body.len();
                let range = format!("content-range: bytes {from}-{}/{total}", total - 1);
                Answer { status: 206, headers: vec![range], ..Answer::of(body[from..].to_vec()) }
            }
        }
    }

    pub fn is_layer(&self, asked: &Asked) -> bool {
        asked.path.ends_with(Digest::sha256(&self.layer).hex())
    }
}

#[derive(Default)]
pub struct Asked {
    pub path: String,
    pub host: String,
    pub from: usize,
    pub authorization: Option<String>,
    /// The body of the request.
    pub form: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<String>,
    pub length: Option<u64>,
    pub body: Vec<u8>,
    /// After the body nothing comes, and the connection stays.
    pub hangs: bool,
    /// A byte of the body comes now and then.
    pub drips: bool,
}

impl Answer {
    pub fn of(body: Vec<u8>) -> Self {
        let length = Some(body.len() as u64);
        Self { status: 200, headers: Vec::new(), length, body, hangs: false, drips: false }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::of(Vec::new()) }
    }

    pub fn to(location: &str) -> Self {
        Self { headers: vec![format!("location: {location}")], ..Self::status(307) }
    }
}

type Behaviour = Arc<dyn Fn(&Image, &Asked) -> Answer + Send + Sync>;

fn serve(mut stream: TcpStream, image: &Image, behaviour: &Behaviour) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut asked = Asked { path: line.split(' ').nth(1)?.to_owned(), ..Asked::default() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let (name, value) = match header.trim().split_once(':') {
            Some((name, value)) => (name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
        match name.as_str() {
            "range" => {
                asked.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?
            }
            "host" => asked.host = value,
            "authorization" => asked.authorization = Some(value),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    (&mut reader).take(length).read_to_string(&mut asked.form).ok()?;
    let answer = behaviour(image, &asked);
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", answer.status);
    for header in &answer.headers {
        head += &format!("{header}\r\n");
    }
    if let Some(length) = answer.length {
        head += &format!("content-length: {length}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if answer.drips {
        for byte in &answer.body {
            stream.write_all(&[*byte]).ok()?;
            thread::sleep(Duration::from_millis(10));
        }
    } else {
        stream.write_all(&answer.body).ok()?;
    }
    if answer.hangs {
        // Until the other end has enough of it.
        let _ = stream.read(&mut [0]);
    }
    Some(())
}

/// Starts a registry; gives back its host and port.
pub fn registry(behaviour: impl Fn(&Image, &Asked) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let behaviour: Behaviour = Arc::new(behaviour);
    let image = Arc::new(Image::new());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (behaviour, image) = (Arc::clone(&behaviour), Arc::clone(&image));
            thread::spawn(move || serve(stream, &image, &behaviour));
        }
    });
    address
}

pub fn pull_with(
    registry: &str,
    registries: Registries,
    watch: &Watch,
) -> Result<Resolved, ImageError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store { directory: folder.path().join("cache"), most_bytes: 1 << 30, registries };
    let reference = format!("docker://{registry}/some/image:v1").parse().unwrap();
    let pulled = store.resolve(
        &Request { reference, platform: Platform::default(), limits: Limits::default() },
        watch,
    );
    if pulled.is_err() {
        for part in ["images", "building", "keys"] {
            let left = std::fs::read_dir(folder.path().join("cache").join(part)).unwrap().count();
            assert_eq!(left, 0, "{part} after {:?}", pulled.as_ref().err());
        }
    }
    pulled
}

/// Registries that are waited for as long as a busy host may need to let them answer.
pub fn registries() -> Registries {
    let nowhere = std::env::temp_dir().join("stillpoint-no-docker-configuration.json");
    Registries {
        silence: Duration::from_secs(300),
        docker_config: Some(nowhere),
        ..Registries::default()
    }
}

pub fn pull(registry: &str) -> Result<Resolved, ImageError> {
    pull_with(registry, registries(), &Watch::unwatched())
}

/// As [`pull`], from one that will not answer: nothing is waited for long.
pub fn pull_impatiently(registry: &str) -> Result<Resolved, ImageError> {
    let silence = Duration::from_millis(700);
    pull_with(registry, Registries { silence, ..registries() }, &Watch::unwatched())
}

pub fn refusal(
    behaviour: impl Fn(&Image, &Asked) -> Answer + Send + Sync + 'static,
) -> &'static str {
    match pull(&registry(behaviour)) {
        Ok(_) => "accepted",
        Err(error) => error.name(),
    }
}
