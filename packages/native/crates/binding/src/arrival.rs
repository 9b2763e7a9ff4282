//! Files of an artifact that are read by machines while they arrive.

use crate::artifact::ArtifactPiece;
use crate::event_batch::{integer, seq};
use crate::image_request::{ImageStore, failure};
use crate::promise::promise;
use crate::vmm::WORKERS;
use napi::Env;
use napi::bindgen_prelude::{Object, ToNapiValue};
use napi_derive::napi;
use std::sync::{Arc, Mutex, PoisonError};
use stillpoint_host::guarded::guarded;
use stillpoint_images::error::ImageError;
use stillpoint_images::resolve::Store;
use stillpoint_images::sources::registry::{Arrival, Arriving, ArrivingFile, Piece};
use stillpoint_vmm::arriving::{Announced, Source, announce_path};

/// A file that arrives.
#[napi(object, object_to_js = false)]
pub struct ArrivalFile {
    /// Its path.
    pub path: String,
    /// Its length.
    pub size: f64,
    /// BLAKE3 of the index at its end, in hexadecimal digits.
    pub index: String,
    /// Its pieces; of the places of each, the first counts.
    pub pieces: Vec<ArtifactPiece>,
}

/// A part of an arriving file.
#[napi(object, object_to_js = false)]
pub struct ArrivalPart {
    /// The file's number.
    pub file: f64,
    /// Its first byte.
    pub from: f64,
    /// The byte behind it.
    pub to: f64,
}

/// How far an arrival is.
#[napi(object, object_from_js = false)]
pub struct ArrivalProgress {
    /// Bytes that are here.
    pub here_bytes: f64,
    /// Bytes of all files.
    pub total_bytes: f64,
    /// Bytes that came from the registry.
    pub fetched_bytes: f64,
}

struct Awaited(Arriving);

impl Source for Awaited {
    fn require(&self, offset: u64, len: u64, goes_on: &dyn Fn() -> bool) -> Result<(), String> {
        self.0.require(offset, len, goes_on).map_err(|error| match error {
            ImageError::Cancelled => {
                "it had not arrived when its pull, or its machine, was closed".to_owned()
            }
            other => other.to_string(),
        })
    }
}

/// Files of an artifact that arrive; machines that read them wait.
#[napi]
pub struct ArtifactArrival {
    arrival: Arc<Arrival>,
    announced: Mutex<Vec<Announced>>,
}

impl ArtifactArrival {
    pub(crate) fn open(
        store: ImageStore,
        reference: &str,
        files: Vec<ArrivalFile>,
    ) -> Result<Self, ImageError> {
        let mut paths = Vec::new();
        let mut asked = Vec::new();
        for ArrivalFile { path, size, index, pieces } in files {
            let pieces = pieces.into_iter().map(|piece| {
                let Piece { digest, size, places } = Piece::try_from(piece)?;
                Ok((places.first().map_or(0, |place| place.offset), size, digest))
            });
            let pieces = pieces.collect::<Result<Vec<_>, ImageError>>()?;
            paths.push(path.clone());
            asked.push(ArrivingFile { path: path.into(), size: integer(size), pieces, index });
        }
        let arrival = Arrival::open(&Store::from(store).registries, reference, asked)?;
        let announced = paths.iter().enumerate().map(|(file, path)| {
            let awaited = Arc::new(Awaited(arrival.file(file)));
            let announced = announce_path(path.as_ref(), awaited);
            announced.map_err(|error| ImageError::of_cache(path.as_ref(), &error))
        });
        let announced = Mutex::new(announced.collect::<Result<_, _>>()?);
        Ok(Self { arrival: Arc::new(arrival), announced })
    }
}

#[napi]
impl ArtifactArrival {
    /// Fetches these parts in the background, in this order.
    #[napi]
    pub fn ahead(&self, parts: Vec<ArrivalPart>) {
        let of =
            |ArrivalPart { file, from, to }| (integer(file) as usize, integer(from)..integer(to));
        self.arrival.ahead(parts.into_iter().map(of));
    }

    /// Fetches everything else in the background.
    #[napi]
    pub fn rest(&self) {
        self.arrival.rest();
    }

    /// How far it is.
    #[napi]
    pub fn progress(&self) -> ArrivalProgress {
        ArrivalProgress::from(&*self.arrival)
    }

    /// Waits until everything that was named for the background is here.
    ///
    /// # Errors
    /// If the promise cannot be made.
    #[napi(ts_return_type = "Promise<Failure | ArrivalProgress>")]
    pub fn settle<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let arrival = Arc::clone(&self.arrival);
        elsewhere(env, move || {
            arrival.settle()?;
            Ok(ArrivalProgress::from(&*arrival))
        })
    }

    /// Ends it; nothing is written any more once the promise is settled.
    ///
    /// # Errors
    /// If the promise cannot be made.
    #[napi(ts_return_type = "Promise<Failure | ArrivalProgress>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let arrival = Arc::clone(&self.arrival);
        elsewhere(env, move || {
            arrival.close();
            Ok(ArrivalProgress::from(&*arrival))
        })
    }
}

impl From<&Arrival> for ArrivalProgress {
    fn from(arrival: &Arrival) -> Self {
        let state = arrival.state();
        Self {
            here_bytes: seq(state.here_bytes),
            total_bytes: seq(state.total_bytes),
            fetched_bytes: seq(state.fetched_bytes),
        }
    }
}

/// Does something that waits on a thread of its own.
pub(crate) fn elsewhere<T: ToNapiValue + Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> napi::Result<Object<'_>> {
    promise(env, |settled| {
        let promise = Arc::new(Mutex::new(Some(settled)));
        let finish = Arc::clone(&promise);
        let answer = move |outcome: Result<T, ImageError>| {
            let promise = finish.lock().unwrap_or_else(PoisonError::into_inner).take();
            match (promise, outcome) {
                (Some(promise), Ok(value)) => promise.value(value),
                (Some(promise), Err(error)) => promise.failure(failure(&error)),
                (None, _) => {}
            }
        };
        let refuse = answer.clone();
        let job = move || {
            let done = guarded(work);
            answer(done.unwrap_or_else(|message| Err(ImageError::Panicked { message })));
        };
        if let Err(refused) = WORKERS.execute(job) {
            refuse(Err(ImageError::Panicked { message: refused.to_string() }));
        }
    })
}
