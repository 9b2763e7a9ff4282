//! Registries that lie, hang, break off or lead astray: each is refused by name, in bounded time.

use crate::archive::{Item, archive};
use crate::layout::gzip;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use stillpoint_images::digest::Digest;
use stillpoint_images::error::ImageError;
use stillpoint_images::limits::Limits;
use stillpoint_images::platform::Platform;
use stillpoint_images::resolve::{Request, Resolved, Store};
use stillpoint_images::sources::registry::{Registries, RegistryOptions};
use stillpoint_images::watch::Watch;

/// What the registry of these tests has.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    fn new() -> Self {
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

    /// What an honest registry answers.
    fn honest(&self, asked: &Asked) -> Answer {
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

    fn is_layer(&self, asked: &Asked) -> bool {
        asked.path.ends_with(Digest::sha256(&self.layer).hex())
    }
}

struct Asked {
    path: String,
    from: usize,
    authorization: Option<String>,
}

struct Answer {
    status: u16,
    headers: Vec<String>,
    length: Option<u64>,
    body: Vec<u8>,
    /// After the body nothing comes, and the connection stays.
    hangs: bool,
}

impl Answer {
    fn of(body: Vec<u8>) -> Self {
        let length = Some(body.len() as u64);
        Self { status: 200, headers: Vec::new(), length, body, hangs: false }
    }

    fn status(status: u16) -> Self {
        Self { status, ..Self::of(Vec::new()) }
    }

    fn to(location: &str) -> Self {
        Self { headers: vec![format!("location: {location}")], ..Self::status(307) }
    }
}

type Behaviour = Arc<dyn Fn(&Image, &Asked) -> Answer + Send + Sync>;

fn serve(mut stream: TcpStream, image: &Image, behaviour: &Behaviour) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut asked =
        Asked { path: line.split(' ').nth(1)?.to_owned(), from: 0, authorization: None };
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
            "authorization" => asked.authorization = Some(value),
            _ => {}
        }
    }
    let answer = behaviour(image, &asked);
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", answer.status);
    for header in &answer.headers {
        head += &format!("{header}\r\n");
    }
    if let Some(length) = answer.length {
        head += &format!("content-length: {length}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(&answer.body).ok()?;
    if answer.hangs {
        // Until the other end has enough of it.
        let _ = stream.read(&mut [0]);
    }
    Some(())
}

/// Starts a registry; gives back its host and port.
fn registry(behaviour: impl Fn(&Image, &Asked) -> Answer + Send + Sync + 'static) -> String {
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

fn pull_with(
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

fn registries() -> Registries {
    let nowhere = std::env::temp_dir().join("stillpoint-no-docker-configuration.json");
    Registries {
        silence: Duration::from_millis(700),
        docker_config: Some(nowhere),
        ..Registries::default()
    }
}

fn pull(registry: &str) -> Result<Resolved, ImageError> {
    pull_with(registry, registries(), &Watch::unwatched())
}

fn refusal(behaviour: impl Fn(&Image, &Asked) -> Answer + Send + Sync + 'static) -> &'static str {
    match pull(&registry(behaviour)) {
        Ok(_) => "accepted",
        Err(error) => error.name(),
    }
}

#[test]
fn an_honest_one_is_pulled_from() {
    assert!(!pull(&registry(Image::honest)).unwrap().was_cached);
}

#[test]
fn lies_about_lengths_and_digests_are_refused() {
    assert_eq!(
        refusal(|image, asked| Answer { length: Some(1 << 40), ..image.honest(asked) }),
        "DocumentTooLarge"
    );
    assert_eq!(
        refusal(|image, asked| match image.is_layer(asked) {
            true => Answer { length: Some(image.layer.len() as u64 + 1), ..image.honest(asked) },
            false => image.honest(asked),
        }),
        "BlobSizeWrong"
    );
    assert_eq!(
        refusal(|image, asked| {
            let mut answer = image.honest(asked);
            if image.is_layer(asked) {
                answer.body[1000] ^= 1;
            }
            answer
        }),
        "BlobDigestWrong"
    );
    assert_eq!(
        refusal(|image, asked| {
            let mut answer = image.honest(asked);
            if image.is_layer(asked) {
                answer.length = None;
                answer.body.extend([0; 100]);
            }
            answer
        }),
        "BlobSizeWrong"
    );
    assert_eq!(
        refusal(|image, asked| {
            let header = format!("docker-content-digest: sha256:{}", "0".repeat(64));
            Answer { headers: vec![header], ..image.honest(asked) }
        }),
        "BlobDigestWrong"
    );
}

#[test]
fn what_is_huge_is_not_read_to_its_end() {
    assert_eq!(
        refusal(|_, _| Answer { length: None, ..Answer::of(vec![b' '; 20 << 20]) }),
        "DocumentTooLarge"
    );
    assert_eq!(refusal(|_, _| Answer::of(b"[]".to_vec())), "DocumentInvalid");
    assert_eq!(
        refusal(|_, _| Answer::of(br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec())),
        "SchemaOne"
    );
    let html = vec!["content-type: text/html; charset=utf-8".to_owned()];
    assert_eq!(
        refusal(move |image, asked| Answer { headers: html.clone(), ..image.honest(asked) }),
        "MediaTypeUnknown"
    );
}

#[test]
fn one_that_hangs_is_given_up() {
    assert_eq!(
        refusal(|_, _| Answer { hangs: true, length: Some(100), ..Answer::of(b"{".to_vec()) }),
        "TimedOut"
    );
    assert_eq!(
        refusal(|image, asked| {
            let mut answer = image.honest(asked);
            if image.is_layer(asked) {
                answer.body.truncate(100_000);
                answer.hangs = true;
            }
            answer
        }),
        "TimedOut"
    );
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(pull(&silent.local_addr().unwrap().to_string()).unwrap_err().name(), "TimedOut");
}

#[test]
fn a_blob_that_breaks_off_is_taken_up_where_it_was() {
    let breaks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&breaks);
    let pulled = pull(&registry(move |image, asked| {
        let mut answer = image.honest(asked);
        if image.is_layer(asked) && counted.fetch_add(1, Ordering::SeqCst) < 2 {
            answer.body.truncate(answer.body.len() / 2);
        }
        answer
    }));
    assert!(pulled.is_ok(), "{:?}", pulled.err());
    assert_eq!(breaks.load(Ordering::SeqCst), 3);
    assert!(matches!(
        refusal(|image, asked| {
            let mut answer = image.honest(asked);
            if image.is_layer(asked) {
                answer.body.truncate(10);
            }
            answer
        }),
        "RegistryUnreachable" | "RegistryInvalid" | "BlobSizeWrong"
    ));
}

#[test]
fn where_it_leads_is_bounded_and_gets_no_secrets() {
    assert_eq!(refusal(|_, asked| Answer::to(&asked.path)), "RegistryInvalid");
    assert_eq!(refusal(|_, _| Answer::to("http://192.0.2.1/x")), "Insecure");
    assert_eq!(refusal(|_, _| Answer::to("ftp://192.0.2.1/x")), "RegistryInvalid");
    assert_eq!(refusal(|_, _| Answer::to("file:///etc/passwd")), "RegistryInvalid");
    let nowhere = pull("192.0.2.1:5000/x").unwrap_err().name();
    assert!(matches!(nowhere, "TimedOut" | "RegistryUnreachable"), "{nowhere}");

    let storage = registry(|image, asked| match asked.authorization {
        None => image.honest(asked),
        Some(_) => Answer::status(400),
    });
    let pulled = pull_with(
        &registry(move |image, asked| match &asked.authorization {
            None => Answer {
                headers: vec!["www-authenticate: Basic realm=\"x\"".to_owned()],
                ..Answer::status(401)
            },
            Some(_) if image.is_layer(asked) => {
                Answer::to(&format!("http://{storage}{}", asked.path))
            }
            Some(_) => image.honest(asked),
        }),
        Registries { docker_config: Some(configuration("*")), ..registries() },
        &Watch::unwatched(),
    );
    // The configuration names another registry: nothing is shown.
    assert_eq!(pulled.unwrap_err().name(), "Unauthorized");
}

/// Docker's configuration with a name and password for one registry.
fn configuration(registry: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!(
        "stillpoint-docker-{}-{}.json",
        std::process::id(),
        registry.len()
    ));
    let text = format!(r#"{{"auths":{{"{registry}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_token_is_had_for_the_password_and_secrets_stay_where_they_belong() {
    let storage = registry(|image, asked| match asked.authorization {
        None => image.honest(asked),
        Some(_) => Answer::status(400),
    });
    let tokens = registry(|_, asked| match asked.authorization.as_deref() {
        Some("Basic bWU6c2VjcmV0")
            if asked.path.contains("scope=repository%3Asome%2Fimage%3Apull") =>
        {
            Answer::of(br#"{"token":"let-me-in"}"#.to_vec())
        }
        _ => Answer::status(401),
    });
    let honest = registry(move |image, asked| match asked.authorization.as_deref() {
        Some("Bearer let-me-in") if image.is_layer(asked) => {
            Answer::to(&format!("http://{storage}{}", asked.path))
        }
        Some("Bearer let-me-in") => image.honest(asked),
        _ => {
            let challenge =
                format!(r#"www-authenticate: Bearer realm="http://{tokens}/token",service="test""#);
            Answer { headers: vec![challenge], ..Answer::status(401) }
        }
    });
    let with = |config| {
        pull_with(
            &honest,
            Registries { docker_config: Some(config), ..registries() },
            &Watch::unwatched(),
        )
    };
    let config = configuration(&honest);
    let pulled = with(config.clone());
    assert!(pulled.is_ok(), "{:?}", pulled.err());
    std::fs::write(&config, "{").unwrap();
    assert_eq!(with(config.clone()).unwrap_err().name(), "CredentialsUnusable");
    std::fs::remove_file(&config).unwrap();
    assert_eq!(with(config).unwrap_err().name(), "Unauthorized");
}

#[test]
fn mirrors_are_asked_first_and_passed_over_when_they_have_not_got_it() {
    let origin = registry(Image::honest);
    let empty = registry(|_, _| Answer::status(404));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let mirror = registry(move |image, asked| {
        counted.fetch_add(1, Ordering::SeqCst);
        image.honest(asked)
    });
    let mirrors = vec![format!("http://{empty}"), format!("http://{mirror}/")];
    let options = RegistryOptions { mirrors, ..RegistryOptions::default() };
    let by_host = [(origin.clone(), options)].into();
    let pulled = pull_with(&origin, Registries { by_host, ..registries() }, &Watch::unwatched());
    assert!(pulled.is_ok(), "{:?}", pulled.err());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let mirrors = vec!["http://192.0.2.1".to_owned()];
    let options = RegistryOptions { mirrors, ..RegistryOptions::default() };
    let by_host = [(origin.clone(), options)].into();
    let pulled = pull_with(&origin, Registries { by_host, ..registries() }, &Watch::unwatched());
    assert_eq!(pulled.unwrap_err().name(), "Insecure");
}

#[test]
fn what_fails_for_a_moment_is_asked_again_and_given_up_is_given_up() {
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let pulled =
        pull(&registry(move |image, asked| match counted.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Answer::status(503),
            _ => image.honest(asked),
        }));
    assert!(pulled.is_ok(), "{:?}", pulled.err());
    assert_eq!(refusal(|_, _| Answer::status(403)), "RegistryRefused");
    assert_eq!(refusal(|_, _| Answer::status(404)), "ImageUnknown");

    // Waiting for a registry without a bound that could be waited for, it ends when it is given up.
    let watch = Arc::new(Watch::unwatched());
    let hand = Arc::clone(&watch);
    let hanging = registry(move |_, _| {
        hand.cancel();
        Answer { hangs: true, length: Some(100), ..Answer::of(b"{".to_vec()) }
    });
    let patient = Registries { silence: Duration::from_secs(3600), ..registries() };
    assert_eq!(pull_with(&hanging, patient, &watch).unwrap_err(), ImageError::Cancelled);
}
