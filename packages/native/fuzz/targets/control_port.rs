//! What a guest writes to the control port: every cut of it, with the decoder saved and loaded in
//! between, gives the same events.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_vmm::control::Decoder;
use stillpoint_vmm::state::{StateReader, StateWriter};

fn reborn(decoder: &Decoder) -> Decoder {
    let mut state = StateWriter::new();
    decoder.save(&mut state);
    let bytes = state.finish();
    Decoder::load(&mut StateReader::new("decoder", &bytes)).expect("what was saved is loaded")
}

// The first byte says after how many bytes the decoder is saved and loaded; each further one is
// written a nanosecond after the one before, or after a silence if it is 0xff.
fuzz_target!(|data: &[u8]| {
    let Some((every, bytes)) = data.split_first() else { return };
    let (mut whole, mut cut) = (Decoder::default(), Decoder::default());
    let mut now = 0;
    for (count, byte) in bytes.iter().enumerate() {
        now += if *byte == 0xff { 20_000_000 } else { 1 };
        if count % (usize::from(*every) + 1) == 0 {
            cut = reborn(&cut);
        }
        assert_eq!(whole.push(*byte, now), cut.push(*byte, now));
    }
});
