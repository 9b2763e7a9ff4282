//! One machine.

use crate::captured_files::CapturedFiles;
use crate::disk_spec::DiskSpec;
use crate::egress_policy::{EgressPolicy, TrafficLimits};
use crate::encryption_key::key_of;
use crate::engine_choice::EngineChoice;
use crate::event_batch::{EventBatch, batch, integer, seq};
use crate::exec_request::{ExecRequest, cells};
use crate::failure::Failure;
use crate::guest_activity::{GuestActivity, activity};
use crate::identity::Identity;
use crate::live::{LiveOptions, LiveState};
use crate::machine_stop::MachineStop;
use crate::machine_until::MachineUntil;
use crate::promise::{Settle, promise};
use crate::published_port::PublishedPort;
use crate::renewal::Renewal;
use napi::Env;
use napi::bindgen_prelude::{
    BigInt, Either, Float64Array, Function, Null, Object, ToNapiValue, Uint8Array,
};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use std::path::{Path, PathBuf};
use stillpoint_host::hosted::Hosted;
use stillpoint_host::refusal::Refusal;
use stillpoint_net::Egress;
use stillpoint_vmm::control::HostFrame;
use stillpoint_vmm::machine::{InputError, InspectError, Machine};
use stillpoint_vmm::snapshot::{BeginCaptureError, CaptureKind, SnapshotId};

/// A machine: nothing executes until it is run. Collected without being closed, it is closed.
#[napi]
pub struct NativeMachine {
    hosted: Hosted,
}

pub(crate) fn native(hosted: Hosted) -> NativeMachine {
    NativeMachine { hosted }
}

/// Settles with what became of an operation whose error type is called `failed`.
pub(crate) fn settle<R, T: ToNapiValue + Send + 'static>(
    promise: Settle<T>,
    failed: &'static str,
    outcome: Result<R, Refusal>,
    make: impl FnOnce(R) -> T,
) {
    match outcome {
        Ok(value) => promise.value(make(value)),
        Err(refusal) => promise.failure(Failure::new(failed, refusal.name, refusal.message)),
    }
}

/// The result of an operation that does not wait.
fn outcome<T>(failed: &'static str, outcome: Result<T, Refusal>) -> Either<Failure, T> {
    match outcome {
        Ok(value) => Either::B(value),
        Err(refusal) => Either::A(Failure::new(failed, refusal.name, refusal.message)),
    }
}

#[napi]
impl NativeMachine {
    /// The engine's name.
    #[napi(getter)]
    pub fn engine(&self) -> &str {
        &self.hosted.facts().engine
    }

    /// Why it is that one; `null` if that was not recorded.
    #[napi(getter)]
    pub fn engine_choice(&self) -> Either<EngineChoice, Null> {
        let choice = self.hosted.facts().engine_choice.clone();
        choice.map_or(Either::B(Null), |choice| Either::A(choice.into()))
    }

    /// Guest memory in MiB.
    #[napi(getter)]
    pub fn memory_mib(&self) -> u32 {
        self.hosted.facts().memory_mib
    }

    /// Whether equal inputs give equal runs.
    #[napi(getter)]
    pub fn is_deterministic(&self) -> bool {
        self.hosted.facts().is_deterministic
    }

    /// The guest's activity when the machine was made, before the first event of its
    /// log.
    #[napi(getter)]
    pub fn beginning(&self) -> GuestActivity {
        let facts = self.hosted.facts();
        activity(facts.first_seq, facts.begins_at_nanos, facts.begins_with.clone())
    }

    /// Guest time, a few milliseconds old at most while the machine runs.
    #[napi]
    pub fn now_nanos(&self) -> f64 {
        seq(self.hosted.now_nanos())
    }

    /// Sequence number that the next event will have.
    #[napi]
    pub fn next_seq(&self) -> f64 {
        seq(self.hosted.log().next_seq())
    }

    /// Sequence number of the oldest event that the log holds.
    #[napi]
    pub fn oldest_seq(&self) -> f64 {
        seq(self.hosted.log().oldest_seq())
    }

    /// The events from `from_seq` on, at most about `max_bytes` of them.
    #[napi(ts_return_type = "Failure | EventBatch")]
    pub fn read_events(&self, from_seq: f64, max_bytes: u32) -> Either<Failure, EventBatch> {
        batch(self.hosted.log().read(integer(from_seq), max_bytes as usize))
    }

    /// Has `wake` called when there is more to read than the last read to the end found. Does not
    /// keep the process alive.
    ///
    /// # Errors
    /// If the callback cannot be handed to other threads.
    #[napi]
    pub fn on_events(&self, wake: Function<'_, (), ()>) -> napi::Result<()> {
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        self.hosted.log().set_wake(move || {
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(())
    }

    /// Follows the log from `seq` on, under the number that is returned: the guest waits where it
    /// would say much more than has been read.
    #[napi]
    pub fn follow(&self, seq: f64) -> u32 {
        self.hosted.log().follow(integer(seq))
    }

    /// A follower has read everything before `seq`.
    #[napi]
    pub fn followed(&self, follower: u32, seq: f64) {
        self.hosted.log().followed(follower, integer(seq));
    }

    /// A follower follows no longer.
    #[napi]
    pub fn unfollow(&self, follower: u32) {
        self.hosted.log().unfollow(follower);
    }

    /// Runs the machine.
    #[napi(ts_return_type = "Promise<Failure | MachineStop>")]
    pub fn run<'env>(&self, env: &'env Env, until: MachineUntil) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            self.hosted.run(until.into(), move |ended| {
                settle(settled, "MachineError", ended, MachineStop::from);
            });
        })
    }

    /// Has the machine run in the background, its time following the host's, until its guest has ended
    /// or it is paused.
    #[napi(ts_return_type = "Promise<Failure | MachineStop>")]
    pub fn live<'env>(&self, env: &'env Env, options: LiveOptions) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            self.hosted.live(options.into(), move |ended| {
                settle(settled, "MachineError", ended, MachineStop::from);
            });
        })
    }

    /// Its live state; `null` if it is not live.
    #[napi(ts_return_type = "LiveState | null")]
    pub fn live_state(&self) -> Either<LiveState, Null> {
        self.hosted.live_facts().map_or(Either::B(Null), |facts| Either::A(facts.into()))
    }

    /// Ends a run in progress; nothing without one.
    #[napi]
    pub fn pause(&self) {
        self.hosted.pause();
    }

    /// Lets a held workload go.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn go<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::Go)
    }

    /// Has the agent start a command.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn exec<'env>(&self, env: &'env Env, request: ExecRequest) -> napi::Result<Object<'env>> {
        let is_secret = request.is_secret;
        self.send_one(env, request.into(), is_secret)
    }

    /// Gives a command more standard input.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn exec_stdin<'env>(
        &self,
        env: &'env Env,
        id: u32,
        data: Uint8Array,
        close: bool,
        is_secret: bool,
    ) -> napi::Result<Object<'env>> {
        self.send_one(env, HostFrame::ExecStdin { id, data: data.to_vec(), close }, is_secret)
    }

    /// Lets a command say more output.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn exec_window<'env>(
        &self,
        env: &'env Env,
        id: u32,
        bytes: f64,
    ) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::ExecWindow { id, bytes: integer(bytes) })
    }

    /// Gives a command's terminal another size.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn exec_resize<'env>(
        &self,
        env: &'env Env,
        id: u32,
        columns: u32,
        rows: u32,
    ) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::ExecResize { id, columns: cells(columns), rows: cells(rows) })
    }

    /// Sends a signal to a command.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn exec_kill<'env>(
        &self,
        env: &'env Env,
        id: u32,
        signal: i32,
    ) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::ExecKill { id, signal })
    }

    /// Asks the agent to freeze the workload.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn freeze<'env>(&self, env: &'env Env, token: u32) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::Freeze { token })
    }

    /// Asks the agent to thaw the workload.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn thaw<'env>(&self, env: &'env Env, token: u32) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::Thaw { token })
    }

    /// Gives the agent a new identity.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn apply_identity<'env>(
        &self,
        env: &'env Env,
        identity: Identity,
    ) -> napi::Result<Object<'env>> {
        let is_secret = identity.is_secret;
        self.send_one(env, identity.into(), is_secret)
    }

    /// Has the agent set the guest's wall clock, in nanoseconds since 1970.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn set_clock<'env>(
        &self,
        env: &'env Env,
        realtime_nanos: BigInt,
    ) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::SetClock { realtime_nanos: realtime_nanos.get_u64().1 })
    }

    /// Has the agent start the workload of a guest that has none; `settings` are `key=value`, and
    /// recorded without their content if they hold a secret.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn start_workload<'env>(
        &self,
        env: &'env Env,
        token: u32,
        settings: Vec<String>,
        is_secret: bool,
    ) -> napi::Result<Object<'env>> {
        self.send_one(env, HostFrame::StartWorkload { token, settings }, is_secret)
    }

    /// Asks the agent to switch the guest off.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn power_off<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.send(env, HostFrame::PowerOff)
    }

    /// Makes the machine another one than those that it was forked or restored with: new randomness
    /// in its devices, another generation for its kernel to see, the right time on its hardware
    /// clock.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn renew<'env>(&self, env: &'env Env, renewal: Renewal) -> napi::Result<Object<'env>> {
        let renewal = renewal.try_into();
        self.input(env, move |machine| machine.renew(&renewal?))
    }

    /// Types on a serial port; a secret is recorded without its content.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn send_serial<'env>(
        &self,
        env: &'env Env,
        port: u32,
        data: Uint8Array,
        is_secret: bool,
    ) -> napi::Result<Object<'env>> {
        let data = data.to_vec();
        self.input(env, move |machine| {
            if is_secret {
                machine.send_serial_secret(port, &data)
            } else {
                machine.send_serial(port, &data)
            }
        })
    }

    /// Has a port of the host's lead to one of the guest's.
    #[napi(ts_return_type = "Failure | PublishedPort")]
    pub fn publish(
        &self,
        protocol: String,
        guest_port: u32,
        host: String,
        host_port: u32,
        limits: TrafficLimits,
    ) -> Either<Failure, PublishedPort> {
        let place = (host.as_str(), host_port);
        let limits = (limits.connections, limits.bytes_per_second);
        let published = self
            .hosted
            .network()
            .and_then(|network| Ok(network.publish_at(&protocol, guest_port, place, limits)?));
        outcome("MachineError", published.map(PublishedPort::from))
    }

    /// Closes a published port; its connections continue.
    #[napi]
    pub fn unpublish(&self, id: f64) {
        if let Ok(network) = self.hosted.network() {
            network.unpublish(integer(id));
        }
    }

    /// Says whom the guest may reach from now on.
    #[napi(ts_return_type = "Failure | null")]
    pub fn set_egress(&self, policy: EgressPolicy) -> Either<Failure, Null> {
        let set = self.hosted.network().and_then(|network| {
            network.set_egress(Egress::parse(&policy.into())?);
            Ok(Null)
        });
        outcome("MachineError", set)
    }

    /// Connections of the guest's that are open now, in both directions.
    #[napi]
    pub fn connections(&self) -> f64 {
        self.hosted.network().map_or(0.0, |network| seq(network.connections()))
    }

    /// Writes memory and state into an existing empty directory, flushed; `parent` is the
    /// identity of a snapshot that only what changed since then is written against, and `shared` a
    /// folder of objects, whose chunks are linked and not written. With `encryption_key`, 32 bytes, the
    /// snapshot is encrypted.
    #[napi(ts_return_type = "Promise<Failure | CapturedFiles>")]
    pub fn capture<'env>(
        &self,
        env: &'env Env,
        directory: String,
        parent: Option<String>,
        shared: Option<String>,
        encryption_key: Option<Uint8Array>,
    ) -> napi::Result<Object<'env>> {
        let encryption_key = encryption_key.as_deref().map(key_of).transpose()?;
        promise(env, |settled| {
            let kind = match parent.as_deref().map(str::parse::<SnapshotId>) {
                None => CaptureKind::Full,
                Some(Ok(parent)) => CaptureKind::Delta { parent },
                Some(Err(error)) => {
                    let unknown = BeginCaptureError::ParentUnknown {
                        expected: error.found,
                        found: "none of that form".to_owned(),
                    };
                    let refused = Failure::new("CaptureError", unknown.name(), &unknown);
                    return settled.failure(refused);
                }
            };
            let facts = self.hosted.facts().clone();
            let shared = shared.map(PathBuf::from);
            self.hosted.capture(
                Path::new(&directory),
                kind,
                shared,
                encryption_key,
                move |captured| {
                    settle(settled, "CaptureError", captured, |captured| {
                        CapturedFiles::new(captured, facts)
                    });
                },
            );
        })
    }

    /// Attaches a disk to an empty slot, the first if null, and notifies the guest's kernel.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn attach_disk<'env>(
        &self,
        env: &'env Env,
        slot: Option<u32>,
        disk: DiskSpec,
    ) -> napi::Result<Object<'env>> {
        let spec = disk.try_into();
        let slot = slot.map(|slot| slot as usize);
        promise(env, |settled| {
            self.hosted.give(
                move |machine| machine.attach_disk(slot, &spec?),
                move |attached| settle(settled, "AttachError", attached, |()| Null),
            );
        })
    }

    /// An independent machine in the same state.
    #[napi(ts_return_type = "Promise<Failure | NativeMachine>")]
    pub fn fork<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            self.hosted.fork(move |forked| settle(settled, "ForkError", forked, native));
        })
    }

    /// Digest of the whole machine state, in hexadecimal digits.
    #[napi(ts_return_type = "Promise<Failure | string>")]
    pub fn digest<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            self.hosted.execute(Machine::digest, move |digest| {
                settle(settled, "MachineError", digest, |digest| SnapshotId(digest).to_string());
            });
        })
    }

    /// The guest's present activity.
    #[napi(ts_return_type = "Promise<Failure | GuestActivity>")]
    pub fn activity<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            let look = |machine: &mut Machine| {
                Ok::<_, InspectError>((machine.next_seq(), machine.now(), machine.activity()))
            };
            self.hosted.execute(look, move |found| {
                settle(settled, "MachineError", found, |(next, at, found)| {
                    activity(next, at, found)
                });
            });
        })
    }

    /// Bytes of host memory that closing this machine alone would give back.
    #[napi(ts_return_type = "Promise<Failure | number>")]
    pub fn own_bytes<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            let own = |machine: &mut Machine| Ok::<_, InspectError>(machine.own_bytes());
            self.hosted.execute(own, move |bytes| settle(settled, "MachineError", bytes, seq));
        })
    }

    /// Guest-physical addresses of pages touched since the machine was restored or forked, or
    /// since the last call.
    #[napi(ts_return_type = "Promise<Failure | Float64Array>")]
    pub fn take_touched_pages<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            let take = |machine: &mut Machine| {
                let pages = machine.take_touched_pages();
                machine.record_touched_pages();
                Ok::<_, InspectError>(pages)
            };
            self.hosted.execute(take, move |pages| {
                settle(settled, "MachineError", pages, |pages| {
                    Float64Array::new(pages.into_iter().map(seq).collect())
                });
            });
        })
    }

    /// Ends a run in progress, refuses what waits, frees the machine. Any number of times; the
    /// events so far stay readable.
    #[napi(ts_return_type = "Promise<Failure | null>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        promise(env, |settled: Settle<Null>| self.hosted.close(move || settled.value(Null)))
    }

    fn send<'env>(&self, env: &'env Env, frame: HostFrame) -> napi::Result<Object<'env>> {
        self.send_one(env, frame, false)
    }

    fn send_one<'env>(
        &self,
        env: &'env Env,
        frame: HostFrame,
        is_secret: bool,
    ) -> napi::Result<Object<'env>> {
        self.input(env, move |machine| {
            if is_secret { machine.send_secret(&frame) } else { machine.send_control(&frame) }
        })
    }

    fn input<'env>(
        &self,
        env: &'env Env,
        give: impl FnOnce(&mut Machine) -> Result<u64, InputError> + Send + 'static,
    ) -> napi::Result<Object<'env>> {
        promise(env, |settled| {
            self.hosted.give(give, move |given| {
                settle(settled, "MachineError", given, |_| Null);
            });
        })
    }
}
