//! Registries that lie, hang, break off or lead astray: each is refused by name, in bounded time.

use crate::fake_registry::{
    Answer, Asked, Image, pull, pull_impatiently, pull_with, refusal, registries, registry,
};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillpoint_images::error::ImageError;
use stillpoint_images::sources::registry::{Registries, RegistryOptions};
use stillpoint_images::watch::Watch;

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
    let whole =
        registry(|_, _| Answer { hangs: true, length: Some(100), ..Answer::of(b"{".to_vec()) });
    let midway = registry(|image, asked| {
        let mut answer = image.honest(asked);
        if image.is_layer(asked) {
            answer.body.truncate(100_000);
            answer.hangs = true;
        }
        answer
    });
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [whole, midway, silent.local_addr().unwrap().to_string()] {
        assert_eq!(pull_impatiently(&address).unwrap_err().name(), "TimedOut");
    }
}

#[test]
fn one_of_which_hardly_anything_comes_is_given_up() {
    let drips = |answer: Answer| Answer { drips: true, ..answer };
    let manifest = registry(move |image, asked| match asked.path.contains("/manifests/") {
        true => drips(Answer::of(vec![b' '; 100_000])),
        false => image.honest(asked),
    });
    let blob = registry(move |image, asked| match image.is_layer(asked) {
        true => drips(image.honest(asked)),
        false => image.honest(asked),
    });
    let token = registry(move |_, asked| match asked.path.starts_with("/token") {
        true => drips(Answer::of(vec![b' '; 100_000])),
        false => {
            let realm = format!("http://{}/token", asked.host);
            let header = format!("www-authenticate: Bearer realm=\"{realm}\"");
            Answer { headers: vec![header], ..Answer::status(401) }
        }
    });
    for address in [manifest, blob, token] {
        assert_eq!(pull_impatiently(&address).unwrap_err().name(), "TimedOut");
    }
    let refused =
        registry(move |_, _| drips(Answer { status: 403, ..Answer::of(vec![b'x'; 9000]) }));
    assert_eq!(pull_impatiently(&refused).unwrap_err().name(), "RegistryRefused");
}

#[test]
fn a_blob_that_breaks_off_is_taken_up_where_it_was() {
    for knows_ranges in [true, false] {
        let breaks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&breaks);
        let pulled = pull(&registry(move |image, asked| {
            let from = if knows_ranges { asked.from } else { 0 };
            let mut answer =
                image.honest(&Asked { path: asked.path.clone(), from, ..Asked::default() });
            if image.is_layer(asked) && counted.fetch_add(1, Ordering::SeqCst) < 2 {
                answer.body.truncate(answer.body.len() / 2);
            }
            answer
        }));
        assert!(pulled.is_ok(), "{knows_ranges}: {:?}", pulled.err());
        assert_eq!(breaks.load(Ordering::SeqCst), 3);
    }
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

/// Pulls an image whose mirror behaves so; from which bytes on the registry behind it was asked for the layer.
fn layer_asked_behind(
    silence: Duration,
    mirror: impl Fn(&Image, &Asked) -> Answer + Send + Sync + 'static,
) -> Vec<usize> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let origin = registry(move |image, asked| {
        if image.is_layer(asked) {
            noted.lock().unwrap().push(asked.from);
        }
        image.honest(asked)
    });
    let mirrors = vec![format!("http://{}", registry(mirror))];
    let options = RegistryOptions { mirrors, ..RegistryOptions::default() };
    let by_host = [(origin.clone(), options)].into();
    let all = Registries { by_host, silence, ..registries() };
    let pulled = pull_with(&origin, all, &Watch::unwatched());
    assert!(pulled.is_ok(), "{:?}", pulled.err());
    let asked = asked.lock().unwrap();
    asked.clone()
}

#[test]
fn what_a_mirror_does_not_hand_out_to_its_end_is_had_of_the_registry_behind_it() {
    let patient = registries().silence;
    let dies = |image: &Image, asked: &Asked| {
        let mut answer = image.honest(asked);
        if image.is_layer(asked) {
            answer.body.truncate(if asked.from == 0 { 100_000 } else { 0 });
        }
        answer
    };
    assert_eq!(layer_asked_behind(patient, dies), [100_000]);
    // One that is gone once it has broken off.
    let gone = move |image: &Image, asked: &Asked| match asked.from {
        0 => dies(image, asked),
        _ => Answer::status(404),
    };
    assert_eq!(layer_asked_behind(patient, gone), [100_000]);
    let hangs = |image: &Image, asked: &Asked| {
        let mut answer = image.honest(asked);
        if image.is_layer(asked) {
            answer.body.truncate(100_000);
            answer.hangs = true;
        }
        answer
    };
    assert_eq!(layer_asked_behind(Duration::from_millis(700), hangs), [100_000]);
    // A build from a lie is not continued.
    let lies = |image: &Image, asked: &Asked| {
        let mut answer = image.honest(asked);
        if image.is_layer(asked) {
            answer.body[1000] ^= 1;
        }
        answer
    };
    assert_eq!(layer_asked_behind(patient, lies), [0]);
}

#[test]
fn where_it_leads_is_bounded() {
    assert_eq!(refusal(|_, asked| Answer::to(&asked.path)), "RegistryInvalid");
    assert_eq!(refusal(|_, _| Answer::to("http://192.0.2.1/x")), "Insecure");
    assert_eq!(refusal(|_, _| Answer::to("ftp://192.0.2.1/x")), "RegistryInvalid");
    assert_eq!(refusal(|_, _| Answer::to("file:///etc/passwd")), "RegistryInvalid");
    let nowhere = pull_impatiently("192.0.2.1:5000/x").unwrap_err().name();
    assert!(matches!(nowhere, "TimedOut" | "RegistryUnreachable"), "{nowhere}");
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
    let endless = Registries { silence: Duration::from_secs(3600), ..registries() };
    assert_eq!(pull_with(&hanging, endless, &watch).unwrap_err(), ImageError::Cancelled);
}
