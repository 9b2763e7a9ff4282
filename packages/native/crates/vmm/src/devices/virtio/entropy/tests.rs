use super::super::io::INTERRUPT_USED;
use super::super::mmio::tests::driver::{BASE, Bench};
use crate::devices::{Device, Renewal};
use crate::random::{RandomStream, Seed};

#[test]
fn a_request_is_filled_from_the_seed_and_announced() {
    let mut bench = Bench::new();
    bench.start();
    assert_eq!((bench.read(0x000), bench.read(0x008)), (0x7472_6976, 4));
    bench.descriptor(2, BASE + 0x8000, 40, 3, 5);
    bench.descriptor(5, BASE + 0x9000, 24, 2, 0);
    bench.offer(1, &[2]);
    bench.write(0x050, 0);
    let mut expected = [0; 64];
    RandomStream::new(Seed::from_number(7), "entropy device").fill(&mut expected);
    let mut found = [0; 64];
    bench.around.memory.read(BASE + 0x8000, &mut found[..40]).expect("in range");
    bench.around.memory.read(BASE + 0x9000, &mut found[40..]).expect("in range");
    assert_eq!(found, expected);
    let mut used = [0; 12];
    bench.around.memory.read(BASE + 0x2000, &mut used).expect("in range");
    assert_eq!(used, [0, 0, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0]);
    assert_eq!(bench.read(0x060), INTERRUPT_USED);
    assert!(bench.device.interrupt_asserted());
    bench.write(0x064, 1);
    assert!(!bench.device.interrupt_asserted());
    let kinds: Vec<_> = bench.around.events.iter().map(|event| event.kind().name()).collect();
    assert_eq!(kinds, ["IoStarted", "IoSettled"]);
    let mut other = Bench::new().device;
    other.load(&bench.device.save()).expect("same");
    assert_eq!(other.save(), bench.device.save());
}

#[test]
fn a_renewed_device_gives_other_bytes() {
    let mut bytes = Vec::new();
    for renewal in [None, Some(1), Some(2), Some(1)] {
        let mut bench = Bench::new();
        if let Some(number) = renewal {
            bench.device.renew(&Renewal::new(&[number; 32], &[0; 16], 0).expect("lengths"), 0);
        }
        bench.start();
        bench.descriptor(0, BASE + 0x8000, 64, 2, 0);
        bench.offer(1, &[0]);
        bench.write(0x050, 0);
        let mut found = [0; 64];
        bench.around.memory.read(BASE + 0x8000, &mut found).expect("in range");
        bytes.push(found);
    }
    assert_ne!(bytes[0], bytes[1]);
    assert_ne!(bytes[1], bytes[2]);
    assert_eq!(bytes[1], bytes[3]);
}
