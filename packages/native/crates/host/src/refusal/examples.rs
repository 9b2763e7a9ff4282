//! One refusal of every kind, for tests of the code that transports them.

use super::Refusal;
use crate::session::SessionError;
use stillpoint_net::NetworkError;
use stillpoint_vmm::control::EncodeError;
use stillpoint_vmm::devices::RenewalInvalid;
use stillpoint_vmm::disks::{DiskError, DiskFault};
use stillpoint_vmm::engine::StateError;
use stillpoint_vmm::engines::EngineRefused;
use stillpoint_vmm::event::{DiskFailure, EventsLost};
use stillpoint_vmm::loaders::LoadError;
use stillpoint_vmm::machine::{
    AttachError, CreateError, DescriptionInvalid, ForkError, InputError, InspectError,
};
use stillpoint_vmm::memory::MemoryError;
use stillpoint_vmm::network::FramesInvalid;
use stillpoint_vmm::snapshot::{BeginCaptureError, KeyRefused, RestoreError, WriteError};

/// An example for each variant. Does not compile when a variant has none.
macro_rules! one_of_each {
    ($error:ident { $($variant:pat => $example:expr),* $(,)? }) => {{
        fn complete(error: &$error) {
            match error {
                $($variant => (),)*
            }
        }
        let examples: Vec<$error> = vec![$($example),*];
        examples.iter().for_each(complete);
        examples
    }};
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn memory() -> Vec<MemoryError> {
    one_of_each!(MemoryError {
        MemoryError::OutOfRange { .. } => MemoryError::OutOfRange { gpa: 0, len: 8, base: 1 << 31, end: 1 << 32 },
        MemoryError::CorruptChunk { .. } => MemoryError::CorruptChunk { file: text("memory.bin"), chunk: 1, offset: 16384, len: 16384, expected: text("00"), found: text("ff") },
        MemoryError::UnreadableChunk { .. } => MemoryError::UnreadableChunk { file: text("memory.bin"), chunk: 1, offset: 16384, len: 16384, reason: text("input/output error") },
        MemoryError::Exhausted { .. } => MemoryError::Exhausted { limit_bytes: 1 << 30 },
    })
}

fn encode() -> Vec<EncodeError> {
    one_of_each!(EncodeError {
        EncodeError::FrameTooLarge { .. } => EncodeError::FrameTooLarge { frame: "Exec", expected: 65536, found: 70000 },
        EncodeError::TooLittleEntropy { .. } => EncodeError::TooLittleEntropy { expected: 32, found: 1 },
    })
}

fn session() -> Vec<SessionError> {
    one_of_each!(SessionError {
        SessionError::Closed => SessionError::Closed,
        SessionError::AlreadyRunning => SessionError::AlreadyRunning,
        SessionError::Panicked { .. } => SessionError::Panicked { message: text("index out of bounds") },
        SessionError::NoThread { .. } => SessionError::NoThread { message: text("resource temporarily unavailable") },
    })
}

fn load() -> Vec<LoadError> {
    let others = one_of_each!(LoadError {
        LoadError::KernelUnreadable { .. } => LoadError::KernelUnreadable { path: text("vmlinux"), reason: text("not found") },
        LoadError::KernelUnknown { .. } => LoadError::KernelUnknown { expected: text("an Image"), found: text("text") },
        LoadError::EngineUnfit { .. } => LoadError::EngineUnfit { engine: "kvm", expected: text("all instructions"), found: text("some"), remedy: text("use another") },
        LoadError::KernelDamaged { .. } => LoadError::KernelDamaged { what: "length", expected: text("9"), found: text("8") },
        LoadError::KernelTooLarge { .. } => LoadError::KernelTooLarge { expected: 1, found: 2 },
        LoadError::KernelOutsideMemory { .. } => LoadError::KernelOutsideMemory { what: "segment", address: 0, base: 1, end: 2 },
        LoadError::InitramfsUnreadable { .. } => LoadError::InitramfsUnreadable { path: text("initramfs"), reason: text("not found") },
        LoadError::InitramfsTooLarge { .. } => LoadError::InitramfsTooLarge { expected: 1, found: 2, is_memory_full: true },
        LoadError::RootTooLarge { .. } => LoadError::RootTooLarge { expected: 2, found: 1, bytes: 2 << 20, files: 1 },
        LoadError::MemoryTooSmall { .. } => LoadError::MemoryTooSmall { expected: 2, found: 1 },
        LoadError::CommandLineInvalid { .. } => LoadError::CommandLineInvalid { expected: text("one line"), found: text("two") },
        LoadError::DeviceTree { .. } => LoadError::DeviceTree { reason: text("too large") },
        LoadError::Memory(_) => LoadError::Memory(MemoryError::Exhausted { limit_bytes: 1 }),
    });
    others.into_iter().chain(memory().into_iter().map(LoadError::Memory)).collect()
}

fn disk() -> Vec<DiskError> {
    one_of_each!(DiskError {
        DiskError::DiskInvalid { .. } => DiskError::DiskInvalid { name: text("data"), problems: vec![text("source: expected none of a scratch disk")] },
        DiskError::DiskNameTaken { .. } => DiskError::DiskNameTaken { name: text("data") },
        DiskError::DiskUnreadable { .. } => DiskError::DiskUnreadable { name: text("data"), path: text("data.img"), reason: text("not found") },
        DiskError::DiskSizeWrong { .. } => DiskError::DiskSizeWrong { name: text("data"), path: text("data.img"), expected: text("the 512 bytes of sizeBytes"), found: 1 },
        DiskError::DiskInUse { .. } => DiskError::DiskInUse { name: text("data"), path: text("data.img"), expected: "a file that is not in use as a disk", found: text("another process") },
        DiskError::TooManyDisks { .. } => DiskError::TooManyDisks { expected: 24, found: 25 },
    })
}

fn fault() -> Vec<DiskFault> {
    let others = one_of_each!(DiskFault {
        DiskFault::DiskUnreadable { .. } => DiskFault::DiskUnreadable { path: text("data.img"), offset: 0, len: 512, reason: text("input/output error"), failure: DiskFailure::Refused, errno: Some(5) },
        DiskFault::DiskChanged { .. } => DiskFault::DiskChanged { path: text("data.img"), offset: 0, len: 16384, expected: text("00"), found: text("ff") },
        DiskFault::Memory(_) => DiskFault::Memory(MemoryError::Exhausted { limit_bytes: 1 }),
    });
    others.into_iter().chain(memory().into_iter().map(DiskFault::Memory)).collect()
}

fn attach() -> Vec<AttachError> {
    let others = one_of_each!(AttachError {
        AttachError::Disk(_) => AttachError::Disk(DiskError::DiskNameTaken { name: text("data") }),
        AttachError::SlotUnknown { .. } => AttachError::SlotUnknown { expected: 1, found: text("7") },
        AttachError::SlotTaken { .. } => AttachError::SlotTaken { found: 0, holder: text("data") },
        AttachError::MachineEnded { .. } => AttachError::MachineEnded { reason: text("halted, reason 0") },
    });
    let disks = disk().into_iter().filter(|disk| disk.name() != "TooManyDisks");
    others.into_iter().chain(disks.map(AttachError::Disk)).collect()
}

fn create() -> Vec<CreateError> {
    let others = one_of_each!(CreateError {
        CreateError::MemorySizeInvalid { .. } => CreateError::MemorySizeInvalid { least: 1, most: 2, found: 3 },
        CreateError::SampleStepInvalid { .. } => CreateError::SampleStepInvalid { least: 2, found: 1 },
        CreateError::Engine(_) => CreateError::Engine(EngineRefused::EngineUnknown { expected: text("auto, soft"), found: text("sofd") }),
        CreateError::MachineInvalid(_) => CreateError::MachineInvalid(DescriptionInvalid { problems: vec![text("processors: expected 1, found 2")] }),
        CreateError::Disk(_) => CreateError::Disk(DiskError::DiskNameTaken { name: text("data") }),
        CreateError::Load(_) => CreateError::Load(LoadError::MemoryTooSmall { expected: 2, found: 1 }),
    });
    let others = others.into_iter().chain(disk().into_iter().map(CreateError::Disk));
    let engines = one_of_each!(EngineRefused {
        EngineRefused::EngineUnknown { .. } => EngineRefused::EngineUnknown { expected: text("auto, soft"), found: text("sofd") },
        EngineRefused::EngineUnusable { .. } => EngineRefused::EngineUnusable { engine: text("kvm"), wanted: text("asked for by name"), found: text("no /dev/kvm"), remedy: text("use another") },
    });
    let others = others.chain(engines.into_iter().map(CreateError::Engine));
    others.chain(load().into_iter().map(CreateError::Load)).collect()
}

fn input() -> Vec<InputError> {
    let others = one_of_each!(InputError {
        InputError::Frame(_) => InputError::Frame(EncodeError::TooLittleEntropy { expected: 32, found: 1 }),
        InputError::FrameInvalid { .. } => InputError::FrameInvalid { found: text("nothing") },
        InputError::RenewalInvalid(_) => InputError::RenewalInvalid(RenewalInvalid { expected: text("32 bytes"), found: text("1") }),
        InputError::PortUnknown { .. } => InputError::PortUnknown { found: 7 },
        InputError::InputFull { .. } => InputError::InputFull { expected: 1, found: 2 },
        InputError::FramesInvalid(_) => InputError::FramesInvalid(FramesInvalid { found: text("none") }),
        InputError::InterfaceMissing => InputError::InterfaceMissing,
        InputError::MachineEnded { .. } => InputError::MachineEnded { reason: text("halted, reason 0") },
    });
    others.into_iter().chain(encode().into_iter().map(InputError::Frame)).collect()
}

fn inspect() -> Vec<InspectError> {
    let others = one_of_each!(InspectError {
        InspectError::Memory(_) => InspectError::Memory(MemoryError::Exhausted { limit_bytes: 1 }),
        InspectError::RegisterUnknown { .. } => InspectError::RegisterUnknown { found: text("x99") },
    });
    others.into_iter().chain(memory().into_iter().map(InspectError::Memory)).collect()
}

fn begin_capture() -> Vec<BeginCaptureError> {
    one_of_each!(BeginCaptureError {
        BeginCaptureError::MachineFaulted { .. } => BeginCaptureError::MachineFaulted { message: text("fetch outside memory") },
        BeginCaptureError::EngineFailed => BeginCaptureError::EngineFailed,
        BeginCaptureError::ParentUnknown { .. } => BeginCaptureError::ParentUnknown { expected: text("00"), found: text("none") },
    })
}

fn key() -> Vec<KeyRefused> {
    one_of_each!(KeyRefused {
        KeyRefused::Missing { .. } => KeyRefused::Missing { snapshot: text("snapshot"), expected: text("00") },
        KeyRefused::Wrong { .. } => KeyRefused::Wrong { snapshot: text("snapshot"), expected: text("00"), found: text("ff") },
        KeyRefused::NotEncrypted { .. } => KeyRefused::NotEncrypted { snapshot: text("snapshot"), expected: text("00") },
    })
}

fn write() -> Vec<WriteError> {
    let others = one_of_each!(WriteError {
        WriteError::DirectoryUnusable { .. } => WriteError::DirectoryUnusable { path: text("out"), reason: text("not found") },
        WriteError::FileExists { .. } => WriteError::FileExists { file: text("memory.bin") },
        WriteError::DiskFull { .. } => WriteError::DiskFull { file: text("memory.bin"), expected: 1, reason: text("no space left") },
        WriteError::WriteFailed { .. } => WriteError::WriteFailed { file: text("memory.bin"), reason: text("input/output error") },
        WriteError::Memory(_) => WriteError::Memory(MemoryError::Exhausted { limit_bytes: 1 }),
        WriteError::Disk(_) => WriteError::Disk(DiskFault::Memory(MemoryError::Exhausted { limit_bytes: 1 })),
        WriteError::Key(_) => WriteError::Key(KeyRefused::Missing { snapshot: text("snapshot"), expected: text("00") }),
    });
    let others = others.into_iter().chain(key().into_iter().map(WriteError::Key));
    let others = others.into_iter().chain(fault().into_iter().map(WriteError::Disk));
    others.chain(memory().into_iter().map(WriteError::Memory)).collect()
}

fn restore() -> Vec<RestoreError> {
    let state = StateError { expected: text("a hart"), found: text("nothing") };
    let others = one_of_each!(RestoreError {
        RestoreError::SnapshotMissing { .. } => RestoreError::SnapshotMissing { path: text("snapshot"), found: text("nothing") },
        RestoreError::FileMissing { .. } => RestoreError::FileMissing { file: text("machine.bin") },
        RestoreError::FileUnreadable { .. } => RestoreError::FileUnreadable { file: text("machine.bin"), reason: text("permission denied") },
        RestoreError::FileSizeWrong { .. } => RestoreError::FileSizeWrong { file: text("memory.bin"), expected: 2, found: 1 },
        RestoreError::NotASnapshot { .. } => RestoreError::NotASnapshot { file: text("machine.bin") },
        RestoreError::VersionUnsupported { .. } => RestoreError::VersionUnsupported { file: text("machine.bin"), expected: 1, found: 9 },
        RestoreError::FileCorrupt { .. } => RestoreError::FileCorrupt { file: text("machine.bin"), expected: text("00"), found: text("ff") },
        RestoreError::FileInvalid { .. } => RestoreError::FileInvalid { file: text("machine.bin"), expected: text("a header"), found: text("nothing") },
        RestoreError::IdMismatch { .. } => RestoreError::IdMismatch { path: text("snapshot"), expected: text("00"), found: text("ff") },
        RestoreError::EngineMismatch { .. } => RestoreError::EngineMismatch { path: text("snapshot"), expected: text("soft"), found: text("kvm") },
        RestoreError::ParentMissing { .. } => RestoreError::ParentMissing { path: text("snapshot"), expected: text("00") },
        RestoreError::ParentMismatch { .. } => RestoreError::ParentMismatch { path: text("snapshot"), expected: text("00"), found: text("ff") },
        RestoreError::MachineInvalid(_) => RestoreError::MachineInvalid(DescriptionInvalid { problems: vec![text("processors: expected 1, found 2")] }),
        RestoreError::StateInvalid(_) => RestoreError::StateInvalid(state),
        RestoreError::EngineFailed => RestoreError::EngineFailed,
        RestoreError::DiskUnknown { .. } => RestoreError::DiskUnknown { expected: text("\"root\""), found: text("data") },
        RestoreError::DiskIsCopy { .. } => RestoreError::DiskIsCopy { name: text("data"), access: "volume", found: text("data.img") },
        RestoreError::DiskSource { .. } => RestoreError::DiskSource { problem: DiskError::DiskUnreadable { name: text("data"), path: text("data.img"), reason: text("not found") }, expected: text("00") },
        RestoreError::Key(_) => RestoreError::Key(KeyRefused::Missing { snapshot: text("snapshot"), expected: text("00") }),
        RestoreError::FileForged { .. } => RestoreError::FileForged { file: text("machine.bin"), expected: text("00") },
        RestoreError::Memory(_) => RestoreError::Memory(MemoryError::Exhausted { limit_bytes: 1 }),
    });
    let others = others.into_iter().chain(key().into_iter().map(RestoreError::Key));
    let found = disk()
        .into_iter()
        .filter(|disk| matches!(disk.name(), "DiskUnreadable" | "DiskSizeWrong" | "DiskInUse"));
    let others = others
        .into_iter()
        .chain(found.map(|problem| RestoreError::DiskSource { problem, expected: text("00") }));
    others.chain(memory().into_iter().map(RestoreError::Memory)).collect()
}

fn fork() -> Vec<ForkError> {
    one_of_each!(ForkError {
        ForkError::MachineFaulted { .. } => ForkError::MachineFaulted { message: text("fetch outside memory") },
        ForkError::EngineFailed => ForkError::EngineFailed,
    })
}

fn network() -> Vec<NetworkError> {
    let address = || text("127.0.0.1:80");
    one_of_each!(NetworkError {
        NetworkError::InterfaceMissing => NetworkError::InterfaceMissing,
        NetworkError::Invalid { .. } => NetworkError::Invalid { problems: vec![text("port: expected 1 to 65535, found 0")] },
        NetworkError::PortInUse { .. } => NetworkError::PortInUse { address: address() },
        NetworkError::PortPrivileged { .. } => NetworkError::PortPrivileged { address: address() },
        NetworkError::AddressUnknown { .. } => NetworkError::AddressUnknown { address: address() },
        NetworkError::TooManyPorts { .. } => NetworkError::TooManyPorts { most: 64 },
        NetworkError::HostRefused { .. } => NetworkError::HostRefused { address: address(), reason: text("no descriptor is left") },
        NetworkError::Closed => NetworkError::Closed,
    })
}

/// One refusal of every variant, with the operations that it can come from, as the binding names
/// their errors.
pub fn examples() -> Vec<(&'static str, Refusal)> {
    fn of<E: Into<Refusal>>(
        operation: &'static str,
        errors: Vec<E>,
    ) -> impl Iterator<Item = (&'static str, Refusal)> {
        errors.into_iter().map(move |error| (operation, error.into()))
    }
    let lost = EventsLost { asked: 0, oldest: 9 };
    of("BootError", create())
        .chain(of("MachineError", session()))
        .chain(of("MachineError", vec![lost]))
        .chain(of("MachineError", input()))
        .chain(of("MachineError", inspect()))
        .chain(of("MachineError", network()))
        .chain(of("CaptureError", begin_capture()))
        .chain(of("CaptureError", write()))
        .chain(of("RestoreError", restore()))
        .chain(of("ForkError", fork()))
        .chain(of("AttachError", attach()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::examples;

    #[test]
    fn every_refusal_says_something_under_a_name_of_its_own() {
        for (operation, refusal) in examples() {
            assert!(operation.ends_with("Error"));
            assert!(refusal.name.chars().all(char::is_alphanumeric), "{refusal:?}");
            assert!(refusal.message.len() > 10, "{refusal:?}");
        }
    }
}
