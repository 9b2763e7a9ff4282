use super::*;
use proptest::prelude::*;

const BYTES: u64 = 64 << 12;

fn byte(memory: &mut dyn GuestMemory, gpa: u64) -> u8 {
    let mut byte = [0];
    memory.peek(gpa, &mut byte).expect("in memory");
    byte[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Memories that were forked from each other in any order hold what was written to each of them and
    /// before it was forked, and nothing else; and say which pages that were.
    #[test]
    fn forks_hold_what_was_theirs_and_say_what_was_written(
        steps in proptest::collection::vec((any::<prop::sample::Index>(), 0..BYTES, any::<u8>(), 0..8u8), 1..80),
    ) {
        let base = 0x10_0000;
        let memory: Box<dyn GuestMemory> = Box::new(MappedMemory::new(base, BYTES));
        let mut all = vec![(memory, vec![0u8; BYTES as usize])];
        for (which, at, value, what) in steps {
            let which = which.index(all.len());
            let (memory, model) = &mut all[which];
            if what == 0 {
                let fork = (memory.fork(), model.clone());
                all.push(fork);
            } else {
                let mark = memory.mark();
                memory.poke(base + at, &[value]).expect("in memory");
                model[at as usize] = value;
                prop_assert!(memory.page_numbers_since(mark).iter().eq([(at / PAGE) as usize]));
            }
        }
        for (memory, model) in &mut all {
            let mut found = vec![0; BYTES as usize];
            memory.peek(base, &mut found).expect("in memory");
            prop_assert!(found == *model);
            for (page, expected) in model.chunks(PAGE_BYTES).enumerate() {
                let bytes = memory.page_bytes(page).expect("there");
                let is_same = bytes.map_or(expected.iter().all(|b| *b == 0), |b| b == expected);
                prop_assert!(is_same);
            }
        }
    }
}

#[test]
fn what_the_host_has_no_room_for_is_refused_and_not_mapped() {
    let mut memory = MappedMemory::new(0, !0xfff);
    assert!(matches!(memory.failure(), Some(MemoryError::Exhausted { .. })));
    assert!(matches!(memory.poke(0, &[1]), Err(MemoryError::Exhausted { .. })));
    assert!(memory.page_for_write(0).is_none() && memory.fork().failure().is_some());
}

#[test]
fn nothing_outside_can_be_reached() {
    let mut memory = MappedMemory::new(0x1000, 0x2000);
    for (gpa, len) in [(0, 1), (0xfff, 2), (0x2fff, 2), (0x3000, 1), (u64::MAX, 2)] {
        assert!(memory.poke(gpa, &vec![0; len]).is_err(), "{gpa:#x}");
        assert!(memory.peek(gpa, &mut vec![0; len]).is_err(), "{gpa:#x}");
    }
    memory.poke(0x2fff, &[7]).expect("the last byte");
    assert_eq!(byte(&mut memory, 0x2fff), 7);
}
