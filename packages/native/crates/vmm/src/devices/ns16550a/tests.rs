use super::*;
use crate::devices::surroundings::Surroundings;
use crate::event::EventBody;

struct Bench {
    around: Surroundings,
}

impl Bench {
    fn new() -> Self {
        Self { around: Surroundings::new(0, 4096) }
    }

    fn context(&mut self) -> DeviceContext<'_> {
        self.around.context("serial")
    }

    fn read(&mut self, device: &mut Ns16550a, offset: u64) -> u8 {
        let mut byte = [0];
        device.read(&mut self.context(), offset, &mut byte);
        byte[0]
    }

    fn write(&mut self, device: &mut Ns16550a, offset: u64, byte: u8) {
        device.write(&mut self.context(), offset, &[byte]);
    }
}

#[test]
fn transmitted_bytes_become_lines_and_raise_the_interrupt() {
    let (mut bench, mut device) = (Bench::new(), Ns16550a::new(0));
    for byte in b"hello\r\n" {
        bench.write(&mut device, 0, *byte);
    }
    assert_eq!(bench.around.events, [EventBody::SerialLine { port: 0, text: "hello".into() }]);
    assert!(!device.interrupt_asserted());
    bench.write(&mut device, 1, IER_TRANSMITTED);
    assert!(device.interrupt_asserted());
    assert_eq!(bench.read(&mut device, 2), IIR_TRANSMITTED);
    assert!(!device.interrupt_asserted());
    assert_eq!(bench.read(&mut device, 5) & LSR_EMPTY, LSR_EMPTY);
}

#[test]
fn input_arrives_in_bursts_and_waits_for_request_to_send() {
    let (mut bench, mut device) = (Bench::new(), Ns16550a::new(1));
    bench.write(&mut device, 4, MCR_RTS);
    bench.write(&mut device, 4, 0);
    let input: Vec<u8> = (0..1500u32).map(|i| i as u8).collect();
    assert_eq!(device.accept_input(&mut bench.context(), 0, &input), None);
    assert_eq!(device.accept_input(&mut bench.context(), 1, &input), Some(Ok(())));
    assert_eq!(bench.read(&mut device, 5) & LSR_RECEIVED, 0);
    assert_eq!(device.deadline(), None);
    bench.write(&mut device, 1, IER_RECEIVED);
    bench.write(&mut device, 4, MCR_RTS);
    assert!(device.interrupt_asserted());
    let mut arrived = Vec::new();
    while arrived.len() < 1500 {
        while bench.read(&mut device, 5) & LSR_RECEIVED != 0 {
            arrived.push(bench.read(&mut device, 0));
        }
        if let Some(deadline) = device.deadline() {
            assert!(deadline > bench.around.now);
            bench.around.now = deadline;
            device.tick(&mut bench.context());
        }
    }
    assert_eq!(arrived, input);
    assert_eq!(bench.around.now, 2 * BURST_NANOS);
    assert!(!device.interrupt_asserted());
}

#[test]
fn more_input_than_fits_is_refused_whole() {
    let (mut bench, mut device) = (Bench::new(), Ns16550a::new(0));
    let most = vec![0; INPUT_BYTES];
    assert_eq!(device.accept_input(&mut bench.context(), 0, &most), Some(Ok(())));
    let refused = device.accept_input(&mut bench.context(), 0, &most);
    assert_eq!(refused, Some(Err(InputFull { room: RECEIVE_FIFO_BYTES })));
}

#[test]
fn loopback_and_divisor_behave_as_the_driver_probes_them() {
    let (mut bench, mut device) = (Bench::new(), Ns16550a::new(0));
    bench.write(&mut device, 4, MCR_LOOP | 0x0a);
    assert_eq!(bench.read(&mut device, 6) & 0xf0, 0x90);
    bench.write(&mut device, 0, b'x');
    assert_eq!(bench.read(&mut device, 0), b'x');
    bench.write(&mut device, 4, 0);
    bench.write(&mut device, 3, LCR_DIVISOR | 3);
    bench.write(&mut device, 0, 0x34);
    bench.write(&mut device, 1, 0x12);
    assert_eq!((bench.read(&mut device, 0), bench.read(&mut device, 1)), (0x34, 0x12));
    bench.write(&mut device, 3, 3);
    assert_eq!(bench.read(&mut device, 1), 0);
    bench.write(&mut device, 2, FCR_ENABLE);
    assert_eq!(bench.read(&mut device, 2), IIR_FIFO | IIR_NONE);
}

#[test]
fn a_saved_port_is_the_same_port() {
    let (mut bench, mut device) = (Bench::new(), Ns16550a::new(1));
    bench.write(&mut device, 1, 3);
    bench.write(&mut device, 4, MCR_RTS);
    let _ = device.accept_input(&mut bench.context(), 1, &[7; 400]);
    let mut other = Ns16550a::new(1);
    other.load(&device.save()).expect("same");
    assert_eq!(other, device);
    assert!(other.load(&device.save()[1..]).is_err());
}
