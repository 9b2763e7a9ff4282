//! One of everything that crosses, for the tests of the other side.

use crate::event_batch::EventBatch;
use crate::failure::Failure;
use crate::image_request;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use stillpoint_host::event_codec;
use stillpoint_host::refusal::examples;
use stillpoint_vmm::control::Decoder;
use stillpoint_vmm::event::{CONTRACT_HASH, Event, EventKind};

/// The names of the kinds of events, in the order of their numbers.
#[napi]
pub fn event_kinds() -> Vec<String> {
    EventKind::ALL.into_iter().map(|kind| kind.name().to_owned()).collect()
}

/// SHA-256 of the contract that the core was built from, in hexadecimal digits.
#[napi]
pub fn contract_hash() -> String {
    CONTRACT_HASH.to_owned()
}

/// One event of every kind, encoded, each with the core's name for it.
#[napi]
pub fn every_event() -> EventBatch {
    let events = event_codec::examples();
    let mut bytes = Vec::new();
    for event in &events {
        event_codec::encode(event, &mut bytes);
    }
    EventBatch { first_seq: 0.0, count: events.len() as u32, bytes: bytes.into(), ended: true }
}

/// The events that the machine decodes from a guest's bytes on its control port.
#[napi]
pub fn control_events(bytes: Uint8Array) -> EventBatch {
    let mut decoder = Decoder::default();
    let bodies = bytes.iter().filter_map(|byte| decoder.push(*byte, 0));
    let events: Vec<_> =
        bodies.zip(0..).map(|(body, seq)| Event { seq, at_nanos: seq, body }).collect();
    let mut encoded = Vec::new();
    for event in &events {
        event_codec::encode(event, &mut encoded);
    }
    EventBatch { first_seq: 0.0, count: events.len() as u32, bytes: encoded.into(), ended: true }
}

/// One of every failure that can cross.
#[napi]
pub fn every_failure() -> Vec<Failure> {
    examples()
        .into_iter()
        .map(|(failed, refusal)| Failure::new(failed, refusal.name, refusal.message))
        .collect()
}

/// One of every failure of images.
#[napi]
pub fn every_image_failure() -> Vec<Failure> {
    stillpoint_images::error::examples().iter().map(image_request::failure).collect()
}
