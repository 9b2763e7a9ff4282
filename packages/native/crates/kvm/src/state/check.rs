//! Whether this host can be the processor of a state.

use kvm_bindings::kvm_cpuid_entry2;
use stillpoint_vmm::engine::StateError;

use super::State;
use crate::host::Host;

/// A register of CPUID that is a set of features: function, index, which of eax to edx, and what some
/// of the bits are called.
type FeatureWord = (u32, u32, usize, &'static [(u32, &'static str)]);

const FEATURE_WORDS: [FeatureWord; 12] = [
    (
        1,
        0,
        2,
        &[
            (0, "sse3"),
            (9, "ssse3"),
            (12, "fma"),
            (13, "cx16"),
            (19, "sse4.1"),
            (20, "sse4.2"),
            (21, "x2apic"),
            (23, "popcnt"),
            (24, "tsc-deadline"),
            (25, "aes"),
            (26, "xsave"),
            (28, "avx"),
            (30, "rdrand"),
        ],
    ),
    (1, 0, 3, &[(25, "sse"), (26, "sse2")]),
    (
        7,
        0,
        1,
        &[
            (0, "fsgsbase"),
            (3, "bmi1"),
            (5, "avx2"),
            (7, "smep"),
            (8, "bmi2"),
            (16, "avx512f"),
            (18, "rdseed"),
            (20, "smap"),
            (29, "sha"),
        ],
    ),
    (7, 0, 2, &[(2, "umip"), (3, "pku"), (16, "la57")]),
    (7, 0, 3, &[(4, "fsrm"), (24, "amx-tile")]),
    (7, 1, 0, &[(4, "avx-vnni"), (5, "avx512-bf16")]),
    (0xd, 0, 0, &[(2, "avx state"), (5, "avx512 state"), (9, "pku state"), (17, "tile state")]),
    (0xd, 1, 0, &[(0, "xsaveopt"), (1, "xsavec"), (3, "xsaves")]),
    (0x4000_0001, 0, 0, &[(3, "kvm-clock")]),
    (0x8000_0001, 0, 2, &[(5, "lzcnt"), (6, "sse4a")]),
    (0x8000_0001, 0, 3, &[(20, "nx"), (26, "pages of 1 GiB"), (27, "rdtscp"), (29, "64 bits")]),
    (0x8000_0007, 0, 3, &[(8, "invariant tsc")]),
];

/// A frequency that guests do not notice: 250 parts in a million, which Linux corrects.
const TOLERATED: u64 = 4000;

fn leaf(processor: &[kvm_cpuid_entry2], function: u32, index: u32) -> Option<[u32; 4]> {
    let entry =
        processor.iter().find(|entry| (entry.function, entry.index) == (function, index))?;
    Some([entry.eax, entry.ebx, entry.ecx, entry.edx])
}

fn vendor(processor: &[kvm_cpuid_entry2]) -> String {
    let Some([_, b, c, d]) = leaf(processor, 0, 0) else { return "nobody".to_owned() };
    let bytes: Vec<u8> = [b, d, c].into_iter().flat_map(u32::to_le_bytes).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The features of `wanted` that `offered` lacks, by name.
fn missing(wanted: &[kvm_cpuid_entry2], offered: &[kvm_cpuid_entry2]) -> Vec<String> {
    let mut missing = Vec::new();
    for (function, index, register, names) in FEATURE_WORDS {
        let Some(words) = leaf(wanted, function, index) else { continue };
        let has = leaf(offered, function, index).unwrap_or_default();
        let lacking = words[register] & !has[register];
        for bit in (0..32).filter(|bit| lacking >> bit & 1 == 1) {
            let named = names.iter().find(|(known, _)| *known == bit);
            missing.push(named.map_or_else(
                || {
                    let register = ["eax", "ebx", "ecx", "edx"][register];
                    format!("cpuid {function:#x}.{index} {register} bit {bit}")
                },
                |(_, name)| (*name).to_owned(),
            ));
        }
    }
    missing
}

impl State {
    /// Refuses the state of a processor that `host` cannot be, and names what is missing.
    pub(crate) fn check(&self, host: &Host) -> Result<(), StateError> {
        let refuse = |expected: String, found: String| Err(StateError { expected, found });
        let (wanted, offered) = (vendor(&self.processor), vendor(&host.processor));
        if wanted != offered {
            return refuse(
                format!("engine kvm: a processor of {wanted}, as the one that was captured"),
                format!("a host of {offered}"),
            );
        }
        let missing = missing(&self.processor, &host.processor);
        if !missing.is_empty() {
            return refuse(
                "engine kvm: the features of the processor that was captured".to_owned(),
                format!("a host without {}", missing.join(", ")),
            );
        }
        let (wanted, offered) = (u64::from(self.tsc_khz), u64::from(host.tsc_khz));
        if wanted.abs_diff(offered) > offered / TOLERATED && !host.scales_tsc {
            return refuse(
                format!("engine kvm: a time stamp counter of {wanted} kHz"),
                format!("a host of {offered} kHz that cannot scale it"),
            );
        }
        let lacking: Vec<String> = self
            .registers
            .iter()
            .filter(|(index, _)| host.registers.binary_search(index).is_err())
            .map(|(index, _)| format!("{index:#x}"))
            .collect();
        if !lacking.is_empty() {
            return refuse(
                "engine kvm: the model-specific registers of the processor that was captured"
                    .to_owned(),
                format!("a host without {}", lacking.join(", ")),
            );
        }
        Ok(())
    }
}
