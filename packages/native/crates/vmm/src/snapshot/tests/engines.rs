//! Engines that fail while they are saved, loaded or forked, and engines of another kind.

use super::*;
use crate::board::{Board, Entry};
use crate::engine::{Engine, Exit};
use crate::machine::ForkError;
use crate::platform::Platform;
use crate::state::StateError;
use crate::time::Nanos;

/// What is odd about an engine.
#[derive(Clone, Copy, PartialEq)]
enum Odd {
    Name,
    Save,
    Load,
    Fork,
}

struct OddEngine {
    odd: Odd,
    inner: Box<dyn Engine>,
}

impl OddEngine {
    fn boxed(odd: Odd) -> Box<dyn Engine> {
        Box::new(Self { odd, inner: Fake::boxed() })
    }

    fn fail_if(&self, odd: Odd) {
        if self.odd == odd {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

impl Engine for OddEngine {
    fn name(&self) -> &'static str {
        if self.odd == Odd::Name { "another" } else { self.inner.name() }
    }

    fn is_deterministic(&self) -> bool {
        self.inner.is_deterministic()
    }

    fn board(&self) -> &'static dyn Board {
        self.inner.board()
    }

    fn reset(&mut self, entry: Entry) {
        self.inner.reset(entry);
    }

    fn run(&mut self, platform: &mut Platform, deadline: Nanos) -> Exit {
        self.inner.run(platform, deadline)
    }

    fn now(&self) -> Nanos {
        self.inner.now()
    }

    fn wait(&mut self, platform: &mut Platform, until: Nanos) {
        self.inner.wait(platform, until);
    }

    fn drop_host_pointers(&mut self) {
        self.inner.drop_host_pointers();
    }

    fn save(&self) -> Vec<u8> {
        self.fail_if(Odd::Save);
        self.inner.save()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.fail_if(Odd::Load);
        self.inner.load(state)
    }

    fn fork(&self) -> Box<dyn Engine> {
        self.fail_if(Odd::Fork);
        self.inner.fork()
    }

    fn registers(&self) -> Vec<(&'static str, u64)> {
        self.inner.registers()
    }

    fn set_register(&mut self, name: &str, value: u64) -> bool {
        self.inner.set_register(name, value)
    }

    fn step(&mut self, platform: &mut Platform) -> Option<Exit> {
        self.inner.step(platform)
    }
}

fn odd_machine(odd: Odd) -> Machine {
    let config = MachineConfig {
        memory_bytes: 1 << 20,
        ..MachineConfig::new(Source::Bytes(op(Op::Wait, 0, 0, 0).into()))
    };
    Machine::new(&config, OddEngine::boxed(odd)).expect("good")
}

#[test]
fn an_engine_that_fails_to_be_saved_or_forked_ends_its_machine_and_nothing_else() {
    let mut machine = odd_machine(Odd::Save);
    let refused =
        |capture: Result<Capture, BeginCaptureError>| capture.map(|_| ()).expect_err("failed");
    assert_eq!(refused(machine.begin_capture(CaptureKind::Full)), BeginCaptureError::EngineFailed);
    let after = refused(machine.begin_capture(CaptureKind::Full));
    assert!(matches!(after, BeginCaptureError::MachineFaulted { .. }), "{after}");

    let mut machine = odd_machine(Odd::Fork);
    assert_eq!(machine.fork().map(|_| ()).expect_err("failed"), ForkError::EngineFailed);
    let after = machine.fork().map(|_| ()).expect_err("faulted");
    assert!(matches!(after, ForkError::MachineFaulted { .. }), "{after}");
}

#[test]
fn a_snapshot_is_not_restored_into_an_engine_that_fails_or_is_another() {
    let directory = Directory::new("engines");
    capture(&mut machine(), CaptureKind::Full, &directory.0);
    let directories = [directory.0.clone()];
    for (odd, name) in [(Odd::Load, "EngineFailed"), (Odd::Name, "EngineMismatch")] {
        let options = RestoreOptions::default();
        let refused =
            Machine::restore(&directories, &Engines::only(move || OddEngine::boxed(odd)), &options);
        assert_eq!(refused.map(|_| ()).expect_err("odd").name(), name);
    }
    restore(&directories).expect("as good as before");
}

#[test]
fn files_that_cannot_be_written_or_read_are_named() {
    let capture = machine().begin_capture(CaptureKind::Full).expect("good");
    // The kernel's own files: whoever asks may not add to them.
    if let Some(kernel) = Some(Path::new("/sys/kernel")).filter(|path| path.is_dir()) {
        let refused = capture.write(kernel).expect_err("not there");
        assert_eq!(refused.name(), "WriteFailed");
        assert!(refused.to_string().contains("object.partial"), "{refused}");
    }
    let directory = Directory::new("unreadable");
    capture.write(&directory.0).expect("written");
    let machine_file = directory.0.join(MACHINE_FILE);
    std::fs::remove_file(&machine_file).expect("there");
    // A link is not followed, wherever it leads.
    std::os::unix::fs::symlink("/dev/zero", &machine_file).expect("linked");
    let refused = restore(std::slice::from_ref(&directory.0)).map(|_| ()).expect_err("a link");
    assert_eq!(refused.name(), "FileInvalid");
    // A directory whose name is as long as one can be: that of no file in it can be said.
    let mut long = directory.0.clone();
    while long.as_os_str().len() < 3_800 {
        long.push("d".repeat(200));
    }
    long.push("d".repeat(4_090 - 1 - long.as_os_str().len()));
    std::fs::create_dir_all(&long).expect("made");
    let refused = restore(&[long]).map(|_| ()).expect_err("no such name");
    assert_eq!(refused.name(), "FileUnreadable");
}
