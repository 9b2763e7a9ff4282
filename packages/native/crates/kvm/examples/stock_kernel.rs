//! A distribution's unmodified kernel, booted once under KVM, and forks of it for every case.
//!
//! ```text
//! stock_kernel KERNEL INITRAMFS FOLDER      all cases: one line each, "ok NAME" or "not ok NAME: why"
//! stock_kernel restore FOLDER…              restores a snapshot (of a delta, its parents behind it) in this process
//! ```
//! The initial RAM file system says `guest: ready` on its console and executes the lines that it reads there, without
//! an echo. `scripts/kvm` runs this where KVM is emulated; it runs as well on a host whose KVM is real.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cases {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use stillpoint_kvm::Kvm;
    use stillpoint_vmm::devices::Renewal;
    use stillpoint_vmm::engines::Engines;
    use stillpoint_vmm::event::{EventBody, EventKind, KindSet};
    use stillpoint_vmm::loaders::Source;
    use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil, Stop};
    use stillpoint_vmm::snapshot::{CaptureKind, RestoreOptions};

    const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet cryptomgr.notests nokaslr";
    const MEMORY_BYTES: u64 = 128 << 20;
    /// Guest time in which it boots, or answers.
    const PATIENCE_NANOS: u64 = 600_000_000_000;
    /// Guest time in which it must end after the request.
    const ENDING_NANOS: u64 = 60_000_000_000;
    /// How long a machine rests between its capture and its restore, and the tolerance for its clock.
    const STANDS: Duration = Duration::from_secs(4);
    const CLOCK_TOLERANCE_SECONDS: f64 = 2.0;

    type Case<T = ()> = Result<T, String>;

    fn said(error: impl std::fmt::Display) -> String {
        error.to_string()
    }

    /// Runs until the console has a line with this beginning; returns the rest of the line.
    fn until_line(machine: &mut Machine, begins: &str) -> Case<String> {
        let end = machine.now() + PATIENCE_NANOS;
        let kinds = KindSet::EMPTY.with(EventKind::SerialLine);
        loop {
            let until = RunUntil { kinds, at_nanos: Some(end), ..RunUntil::default() };
            match machine.run(&until) {
                Stop::Event { seq } => {
                    let event = machine.events(seq, 1).map_err(said)?.pop().ok_or("no event")?;
                    let EventBody::SerialLine { port: 0, text } = event.body else { continue };
                    if let Some((_, rest)) = text.split_once(begins) {
                        return Ok(rest.trim().to_owned());
                    }
                    println!("  guest at {} ms: {text}", event.at_nanos / 1_000_000);
                }
                other => return Err(format!("waited for {begins:?}: {other:?}")),
            }
        }
    }

    /// A command's output, on one line.
    fn ask(machine: &mut Machine, command: &str) -> Case<String> {
        let line = format!("echo \"answer: $({command})\"\n");
        machine.send_serial(0, line.as_bytes()).map_err(said)?;
        until_line(machine, "answer:")
    }

    /// Tells it to do what ends it.
    fn ended(machine: &mut Machine, command: &str) -> Case<Stop> {
        machine.send_serial(0, format!("{command}\n").as_bytes()).map_err(said)?;
        let until = RunUntil { budget_nanos: Some(ENDING_NANOS), ..RunUntil::default() };
        Ok(machine.run(&until))
    }

    fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Case {
        if found == expected {
            return Ok(());
        }
        Err(format!("{what}: expected {expected:?}, found {found:?}"))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn digest(machine: &mut Machine) -> Case<String> {
        machine.digest().map(|digest| hex(&digest)).map_err(said)
    }

    fn fork(machine: &mut Machine) -> Case<Machine> {
        machine.fork().map_err(|error| format!("fork: {error}"))
    }

    fn config(kernel: &str, initramfs: &str) -> MachineConfig {
        MachineConfig {
            initramfs: Some(Source::Path(initramfs.into())),
            memory_bytes: MEMORY_BYTES,
            command_line: Some(COMMAND_LINE.to_owned()),
            // Looking at the pages that were written costs where page tables are emulated.
            sample_step_nanos: 0,
            ..MachineConfig::new(Source::Path(kernel.into()))
        }
    }

    fn restored(folders: &[PathBuf]) -> Case<Machine> {
        let engines = Engines::only(|| Box::new(Kvm::new()));
        Machine::restore(folders, &engines, &RestoreOptions::default()).map_err(said)
    }

    /// In a process of its own: prints the machine's digest and its answers.
    pub fn restore(folders: &[String]) -> Case {
        let folders: Vec<PathBuf> = folders.iter().map(Into::into).collect();
        let began = Instant::now();
        let mut machine = restored(&folders)?;
        println!("restored: {:?}", began.elapsed());
        println!("digest: {}", digest(&mut machine)?);
        println!("now: {}", machine.now());
        println!("mark: {}", ask(&mut machine, "cat /tmp/mark")?);
        println!("uptime: {}", ask(&mut machine, "cut -d' ' -f1 /proc/uptime")?);
        println!("later: {}", machine.now());
        Ok(())
    }

    /// Restores it in another process; returns that process's output, by name.
    fn restored_elsewhere(folders: &[&Path]) -> Case<impl Fn(&str) -> Case<String>> {
        let program = std::env::current_exe().map_err(said)?;
        let output = Command::new(program).arg("restore").args(folders).output().map_err(said)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("{}: {said} {complained}", output.status));
        }
        Ok(move |name: &str| {
            let begins = format!("{name}: ");
            let found = said.lines().find_map(|line| line.strip_prefix(&begins));
            found.map(str::to_owned).ok_or_else(|| format!("no {name} in {said}"))
        })
    }

    /// The booted machine, and its measurements.
    struct Suite {
        machine: Machine,
        folder: PathBuf,
    }

    impl Suite {
        fn devices(&mut self) -> Case {
            let guest = &mut fork(&mut self.machine)?;
            let clock = "cat /sys/devices/system/clocksource/clocksource0/current_clocksource";
            expect("clock", &ask(guest, clock)?, &"kvm-clock".to_owned())?;
            let random = ask(guest, "cat /sys/class/misc/hw_random/rng_current")?;
            expect("entropy device", &random, &"virtio_rng.0".to_owned())?;
            let lines = ask(guest, "grep -c -E 'ttyS0|virtio0|ACPI:Ged' /proc/interrupts")?;
            expect("lines of devices", &lines, &"3".to_owned())
        }

        fn forks(&mut self) -> Case {
            let one = &mut fork(&mut self.machine)?;
            ask(one, "echo one > /tmp/which")?;
            let other = &mut fork(&mut self.machine)?;
            let of_fork = &mut fork(one)?;
            expect("a fork of a fork", &ask(of_fork, "cat /tmp/which")?, &"one".to_owned())?;
            let which = "cat /tmp/which || echo none";
            expect("another fork", &ask(other, which)?, &"none".to_owned())?;
            expect("its parent", &ask(&mut self.machine, which)?, &"none".to_owned())
        }

        fn captures(&mut self) -> Case {
            let machine = &mut fork(&mut self.machine)?;
            ask(machine, "echo full > /tmp/mark")?;
            let uptime = "cut -d' ' -f1 /proc/uptime";
            let uptime: f64 = ask(machine, uptime)?.parse().map_err(said)?;
            let at = machine.now();
            let capture = machine.begin_capture(CaptureKind::Full).map_err(said)?;
            let captured = digest(machine)?;
            let (full, delta) = (self.folder.join("full"), self.folder.join("delta"));
            for folder in [&full, &delta] {
                std::fs::create_dir_all(folder).map_err(said)?;
            }
            let parent = capture.write(&full).map_err(said)?.id;
            ask(machine, "echo delta > /tmp/mark")?;
            let capture = machine.begin_capture(CaptureKind::Delta { parent }).map_err(said)?;
            let changed = digest(machine)?;
            capture.write(&delta).map_err(said)?;
            std::thread::sleep(STANDS);
            for (folders, mark, digest) in
                [(&[&*full][..], "full", captured), (&[&*delta, &*full], "delta", changed)]
            {
                let found = restored_elsewhere(folders)?;
                expect("the whole state", &found("digest")?, &digest)?;
                expect("mark", &found("mark")?, &mark.to_owned())?;
                let number = |name| found(name)?.parse::<f64>().map_err(said);
                let passed = (number("later")? - at as f64) / 1e9;
                let seen = number("uptime")? - uptime;
                println!(
                    "  {mark}: {} · {passed:.2} s of guest time, {seen:.2} s seen",
                    found("restored")?
                );
                if (passed - seen).abs() > CLOCK_TOLERANCE_SECONDS {
                    return Err(format!("clocks: {passed} s of guest time, {seen} s seen"));
                }
            }
            Ok(())
        }

        fn renewed(&mut self) -> Case {
            let guest = &mut fork(&mut self.machine)?;
            let renewal = Renewal::new(&[7; 64], &[9; 16], 0).map_err(said)?;
            guest.renew(&renewal).map_err(said)?;
            let told = "sleep 1; dmesg | grep -c 'crng reseeded due to virtual machine fork'";
            expect("told of its generation", &ask(guest, told)?, &"1".to_owned())
        }

        fn ends(&mut self) -> Case {
            let off = ended(&mut fork(&mut self.machine)?, "poweroff -f")?;
            expect("poweroff", &off, &Stop::Halted { reason: 0 })?;
            let reset = ended(&mut fork(&mut self.machine)?, "reboot -f")?;
            expect("reboot", &reset, &Stop::Reset { reason: 0 })?;
            let panic = ended(&mut fork(&mut self.machine)?, "echo c > /proc/sysrq-trigger")?;
            expect("panic", &panic, &Stop::Reset { reason: 0 })
        }
    }

    /// A name, and its case.
    type Named = (&'static str, fn(&mut Suite) -> Case);
    const CASES: [Named; 5] = [
        ("its-devices-and-its-clock-are-found", Suite::devices),
        ("forks-go-their-own-ways", Suite::forks),
        (
            "a-capture-and-a-delta-are-restored-in-another-process-and-no-clock-jumps",
            Suite::captures,
        ),
        ("a-renewed-fork-is-told-of-its-generation", Suite::renewed),
        ("power-off-reboot-and-panic-end-by-name", Suite::ends),
    ];

    fn report(name: &str, began: Instant, result: &Case) -> bool {
        match result {
            Ok(()) => println!("ok {name} ({:.1} s)", began.elapsed().as_secs_f64()),
            Err(why) => println!("not ok {name}: {}", why.replace('\n', " · ")),
        }
        result.is_ok()
    }

    /// All cases; whether all are good.
    pub fn all(kernel: &str, initramfs: &str, folder: &str) -> bool {
        println!("kind of KVM: {:?}", stillpoint_kvm::kind());
        let began = Instant::now();
        let booted = Machine::new(&config(kernel, initramfs), Box::new(Kvm::new()))
            .map_err(said)
            .and_then(|mut machine| {
                println!("  loaded after {:?}", began.elapsed());
                println!("  kernel {}", until_line(&mut machine, "guest: ready")?);
                Ok(machine)
            });
        let is_booted = report(
            "a-stock-kernel-boots-to-user-space",
            began,
            &booted.as_ref().map(|_| ()).map_err(Clone::clone),
        );
        let Ok(machine) = booted else { return is_booted };
        let suite = &mut Suite { machine, folder: folder.into() };
        let mut is_good = true;
        for (name, case) in CASES {
            let began = Instant::now();
            let result = case(suite);
            is_good &= report(name, began, &result);
        }
        is_good
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_good = match arguments[..] {
        ["restore", ref folders @ ..] if !folders.is_empty() => {
            let folders: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
            let result = cases::restore(&folders);
            if let Err(why) = &result {
                eprintln!("{why}");
            }
            result.is_ok()
        }
        [kernel, initramfs, folder] => cases::all(kernel, initramfs, folder),
        _ => {
            eprintln!("usage: stock_kernel KERNEL INITRAMFS FOLDER | stock_kernel restore FOLDER…");
            false
        }
    };
    std::process::ExitCode::from(u8::from(!is_good))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}
