//! Operations on images, on threads of their own; each can be interrupted.

use crate::arrival::{ArrivalFile, ArtifactArrival, elsewhere};
use crate::artifact::{ArtifactFetched, ArtifactManifest, ArtifactPiece, ArtifactPushed};
use crate::event_batch::{integer, seq};
use crate::image::{CachedImage, NativeImage};
use crate::image_request::{ImageRequest, ImageStore};
use napi::Env;
use napi::bindgen_prelude::{Function, Object, ToNapiValue, Uint8Array};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use std::sync::Arc;
use stillpoint_images::error::ImageError;
use stillpoint_images::resolve::{Request, Store};
use stillpoint_images::sources::registry::{Artifact, Piece};
use stillpoint_images::watch::{Progress, Watch};

/// The progress of an image.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct ImageProgress {
    /// `resolving`, `waiting`, `layer` or `writing`.
    pub step: String,
    /// The layer; the lowest is 0.
    pub layer: Option<f64>,
    /// Number of layers.
    pub layers: Option<f64>,
    /// Bytes done.
    pub done_bytes: Option<f64>,
    /// Bytes to do; 0 where that is not known.
    pub total_bytes: Option<f64>,
}

impl From<Progress> for ImageProgress {
    fn from(progress: Progress) -> Self {
        let step = |step: &str| Self {
            step: step.to_owned(),
            layer: None,
            layers: None,
            done_bytes: None,
            total_bytes: None,
        };
        match progress {
            Progress::Resolving => step("resolving"),
            Progress::Waiting => step("waiting"),
            Progress::Layer { index, count, done_bytes, total_bytes } => Self {
                layer: Some(seq(index as u64)),
                layers: Some(seq(count as u64)),
                done_bytes: Some(seq(done_bytes)),
                total_bytes: Some(seq(total_bytes)),
                ..step("layer")
            },
            Progress::Writing { done_bytes, total_bytes } => Self {
                done_bytes: Some(seq(done_bytes)),
                total_bytes: Some(seq(total_bytes)),
                ..step("writing")
            },
        }
    }
}

/// Something that is done with images.
#[napi]
pub struct ImageTask {
    watch: Arc<Watch>,
}

#[napi]
impl ImageTask {
    /// A task that reports to `on_progress`, which does not keep the process alive.
    ///
    /// # Errors
    /// If the callback cannot be handed to other threads.
    #[napi(constructor)]
    pub fn new(on_progress: Function<'_, ImageProgress, ()>) -> napi::Result<Self> {
        let tell =
            on_progress.build_threadsafe_function::<ImageProgress>().weak::<true>().build()?;
        let watch = Watch::new(move |progress| {
            tell.call(progress.into(), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(Self { watch: Arc::new(watch) })
    }

    /// Gives it up: it ends soon, by the name `Cancelled`.
    #[napi]
    pub fn cancel(&self) {
        self.watch.cancel();
    }

    /// The requested image.
    #[napi(ts_return_type = "Promise<Failure | NativeImage>")]
    pub fn resolve<'env>(
        &self,
        env: &'env Env,
        store: ImageStore,
        request: ImageRequest,
    ) -> napi::Result<Object<'env>> {
        self.execute(env, move |watch| {
            let request = Request::try_from(request)?;
            Store::from(store).resolve(&request, watch).map(NativeImage::from)
        })
    }

    /// Puts an artifact into a registry: the pieces that it has not got, and then the manifest.
    #[napi(ts_return_type = "Promise<Failure | ArtifactPushed>")]
    pub fn push_artifact<'env>(
        &self,
        env: &'env Env,
        store: ImageStore,
        reference: String,
        pieces: Vec<ArtifactPiece>,
        manifest: Uint8Array,
        media_type: String,
    ) -> napi::Result<Object<'env>> {
        let manifest = manifest.to_vec();
        self.execute(env, move |watch| {
            let pieces: Vec<Piece> = all_pieces(pieces)?;
            let registries = Store::from(store).registries;
            let artifact = Artifact::new(&registries, &reference, watch)?;
            artifact.push(&pieces, &manifest, &media_type).map(ArtifactPushed::from)
        })
    }

    /// The manifest of an artifact.
    #[napi(ts_return_type = "Promise<Failure | ArtifactManifest>")]
    pub fn artifact_manifest<'env>(
        &self,
        env: &'env Env,
        store: ImageStore,
        reference: String,
    ) -> napi::Result<Object<'env>> {
        self.execute(env, move |watch| {
            let registries = Store::from(store).registries;
            let (digest, bytes) = Artifact::new(&registries, &reference, watch)?.manifest()?;
            Ok(ArtifactManifest { digest: digest.to_string(), bytes: bytes.into() })
        })
    }

    /// Fetches pieces of an artifact and writes them into existing files.
    #[napi(ts_return_type = "Promise<Failure | ArtifactFetched>")]
    pub fn fetch_artifact<'env>(
        &self,
        env: &'env Env,
        store: ImageStore,
        reference: String,
        pieces: Vec<ArtifactPiece>,
    ) -> napi::Result<Object<'env>> {
        self.execute(env, move |watch| {
            let pieces: Vec<Piece> = all_pieces(pieces)?;
            let registries = Store::from(store).registries;
            Artifact::new(&registries, &reference, watch)?.fetch(&pieces)?;
            Ok(ArtifactFetched { pieces: seq(pieces.len() as u64) })
        })
    }

    /// Begins the arrival of files of an artifact.
    #[napi(ts_return_type = "Promise<Failure | ArtifactArrival>")]
    pub fn arrive<'env>(
        &self,
        env: &'env Env,
        store: ImageStore,
        reference: String,
        files: Vec<ArrivalFile>,
    ) -> napi::Result<Object<'env>> {
        self.execute(env, move |_| ArtifactArrival::open(store, &reference, files))
    }

    /// The images in the cache, least recently used first.
    #[napi(ts_return_type = "Promise<Failure | Array<CachedImage>>")]
    pub fn list<'env>(&self, env: &'env Env, store: ImageStore) -> napi::Result<Object<'env>> {
        self.execute(env, move |watch| {
            let listed = Store::from(store).list(watch)?;
            Ok(listed.into_iter().map(CachedImage::from).collect::<Vec<_>>())
        })
    }

    /// Removes unused images until at most the given number of bytes are left; returns them.
    #[napi(ts_return_type = "Promise<Failure | Array<CachedImage>>")]
    pub fn prune<'env>(
        &self,
        env: &'env Env,
        store: ImageStore,
        most_bytes: f64,
    ) -> napi::Result<Object<'env>> {
        self.execute(env, move |watch| {
            let gone = Store::from(store).prune(integer(most_bytes), watch)?;
            Ok(gone.into_iter().map(CachedImage::from).collect::<Vec<_>>())
        })
    }
}

fn all_pieces(pieces: Vec<ArtifactPiece>) -> Result<Vec<Piece>, ImageError> {
    pieces.into_iter().map(Piece::try_from).collect()
}

impl ImageTask {
    fn execute<'env, T: ToNapiValue + Send + 'static>(
        &self,
        env: &'env Env,
        work: impl FnOnce(&Watch) -> Result<T, ImageError> + Send + 'static,
    ) -> napi::Result<Object<'env>> {
        let watch = Arc::clone(&self.watch);
        elsewhere(env, move || work(&watch))
    }
}
