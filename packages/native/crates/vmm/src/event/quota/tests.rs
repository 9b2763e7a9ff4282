use super::*;
use proptest::prelude::*;

fn tick(count: u64) -> EventBody {
    EventBody::HeartbeatTick { count }
}

fn with(kind: EventKind, burst: u64, per_second: u64, overflow: Overflow) -> Quotas {
    Quotas::new(&[(kind, Quota { burst_bytes: burst, bytes_per_second: per_second, overflow })])
}

fn saved(quotas: &Quotas, now: Nanos) -> Vec<u8> {
    let mut state = StateWriter::new();
    quotas.save(now, &mut state);
    state.finish()
}

/// The emitted events, and the reports when they are due.
fn told(quotas: &mut Quotas, events: &[(Nanos, EventBody)], cuts: &[usize]) -> Vec<EventBody> {
    let mut told = Vec::new();
    for (index, (at, body)) in events.iter().enumerate() {
        while let Some(due) = quotas.due().filter(|due| due <= at) {
            quotas.report(&mut told);
            assert!(quotas.due().is_none_or(|next| next > due));
        }
        if cuts.contains(&index) {
            let state = saved(quotas, *at);
            let mut reader = StateReader::new("quotas", &state);
            *quotas = Quotas::load(*at, &mut reader).expect("as saved");
            reader.finish().expect("all of it");
        }
        if quotas.count(body, *at).is_none() {
            told.push(body.clone());
        }
    }
    quotas.report(&mut told);
    told
}

#[test]
fn a_flood_is_cut_and_told() {
    let mut quotas = with(EventKind::HeartbeatTick, 10 * EVENT_BYTES, EVENT_BYTES, Overflow::Drop);
    let flood: Vec<_> = (0..1000).map(|count| (count * 1_000, tick(count))).collect();
    let said = told(&mut quotas, &flood, &[]);
    assert_eq!(said.len(), 11);
    assert_eq!(said[10], EventBody::EventsDropped { kind: EventKind::HeartbeatTick, count: 990 });
    // A second later there is room for one more.
    let later = 1_000_000 + SECOND_NANOS;
    assert_eq!(quotas.count(&tick(0), later), None);
    assert_eq!(quotas.count(&tick(0), later), Some(Over::Dropped));
}

#[test]
fn a_pause_loses_nothing_and_begins_anew() {
    let mut quotas = with(EventKind::HeartbeatTick, 3 * EVENT_BYTES, 0, Overflow::Pause);
    let over: Vec<_> = (0..9).map(|count| quotas.count(&tick(count), 0).is_some()).collect();
    assert_eq!(over, [false, false, false, true, false, false, false, true, false]);
    assert_eq!(quotas.due(), None);
}

#[test]
fn nobody_is_left_with_a_state_that_is_over() {
    let mut quotas = Quotas::new(&[EventKind::GuestIdle, EventKind::GuestBusy].map(|kind| {
        let quota =
            Quota { burst_bytes: 2 * EVENT_BYTES, bytes_per_second: 0, overflow: Overflow::Drop };
        (kind, quota)
    }));
    let turns = |count: u64| -> Vec<_> {
        (0..count)
            .map(|at| (at, if at % 2 == 0 { EventBody::GuestIdle } else { EventBody::GuestBusy }))
            .collect()
    };
    let odd = told(&mut quotas.clone(), &turns(9), &[]);
    assert_eq!(odd.last(), Some(&EventBody::GuestIdle));
    let even = told(&mut quotas, &turns(10), &[]);
    assert!(matches!(even.last(), Some(EventBody::EventsDropped { .. })), "{even:?}");
}

#[test]
fn a_usual_guest_has_the_state_of_none() {
    let mut quotas = Quotas::default();
    for count in 0..100 {
        assert_eq!(quotas.count(&tick(count), count * 1_000_000), None);
    }
    // The levels run down to nothing, and leave nothing in a saved state.
    assert_eq!(saved(&quotas, 60 * SECOND_NANOS), saved(&Quotas::default(), 0));
}

fn bodies() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        (0u64..9).prop_map(tick),
        "[a-z]{0,90}".prop_map(|text| EventBody::SerialLine { port: 0, text }),
        Just(EventBody::PagesDirtied { count: 1 }),
    ]
}

proptest! {
    #![proptest_config(crate::generated::cases(256))]

    /// Captures and restores in between change nothing: every event is emitted or counted, and no
    /// kind exceeds its quota.
    #[test]
    fn what_is_told_depends_on_the_guest_alone(
        steps in proptest::collection::vec((0u64..40_000_000, bodies()), 0..200),
        cuts in proptest::collection::vec(0usize..200, 0..4),
        burst in 64u64..4000,
        per_second in 0u64..5000,
    ) {
        let mut now = 0;
        let events: Vec<_> = steps.into_iter().map(|(gap, body)| { now += gap; (now, body) }).collect();
        let quota = Quota { burst_bytes: burst, bytes_per_second: per_second, overflow: Overflow::Drop };
        let fresh = || Quotas::new(&[(EventKind::HeartbeatTick, quota), (EventKind::SerialLine, quota)]);
        let whole = told(&mut fresh(), &events, &[]);
        prop_assert_eq!(&told(&mut fresh(), &events, &cuts), &whole);
        for kind in [EventKind::HeartbeatTick, EventKind::SerialLine, EventKind::PagesDirtied] {
            let said = events.iter().filter(|(_, body)| body.kind() == kind).count() as u64;
            let kept: Vec<_> = whole.iter().filter(|body| body.kind() == kind).collect();
            let dropped: u64 = whole.iter().map(|body| match body {
                EventBody::EventsDropped { kind: of, count } if *of == kind => *count,
                _ => 0,
            }).sum();
            prop_assert_eq!(kept.len() as u64 + dropped, said);
            if kind != EventKind::PagesDirtied {
                let bytes: u64 = kept.iter().map(|body| EVENT_BYTES + body.content_bytes() as u64).sum();
                prop_assert!(bytes <= burst + now.saturating_mul(per_second) / SECOND_NANOS + 1);
            }
        }
    }
}
