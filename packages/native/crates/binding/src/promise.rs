//! Promises that are settled from other threads, with a value or with a [`Failure`].

use crate::failure::Failure;
use napi::bindgen_prelude::{Either, Object, ToNapiValue};
use napi::{Env, JsDeferred, Result};

type Outcome<T> = Either<Failure, T>;
type Resolver<T> = Box<dyn FnOnce(Env) -> Result<Outcome<T>> + Send>;

/// The writing end of a promise. Dropped unsettled, it settles the promise with a failure, so
/// that nobody waits for ever.
pub(crate) struct Settle<T: ToNapiValue + Send + 'static> {
    deferred: Option<JsDeferred<Outcome<T>, Resolver<T>>>,
}

impl<T: ToNapiValue + Send + 'static> Settle<T> {
    pub(crate) fn value(self, value: T) {
        self.with(move |_| Ok(Either::B(value)));
    }

    pub(crate) fn failure(self, failure: Failure) {
        self.with(move |_| Ok(Either::A(failure)));
    }

    /// Settles with what `make` makes on the JavaScript thread.
    pub(crate) fn with(mut self, make: impl FnOnce(Env) -> Result<Outcome<T>> + Send + 'static) {
        if let Some(deferred) = self.deferred.take() {
            deferred.resolve(Box::new(make));
        }
    }
}

impl<T: ToNapiValue + Send + 'static> Drop for Settle<T> {
    fn drop(&mut self) {
        if let Some(deferred) = self.deferred.take() {
            let lost = Failure::new("MachineError", "Closed", "the operation was given up");
            deferred.resolve(Box::new(move |_| Ok(Either::A(lost))));
        }
    }
}

/// A promise, and its writing end handed to `start`, which must not block.
pub(crate) fn promise<T: ToNapiValue + Send + 'static>(
    env: &Env,
    start: impl FnOnce(Settle<T>),
) -> Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred::<Outcome<T>, Resolver<T>>()?;
    start(Settle { deferred: Some(deferred) });
    Ok(promise)
}
