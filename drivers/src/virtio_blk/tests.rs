//! The driver against a device that answers as told: late, in another order, wrongly, or not at all.

use core::num::NonZeroU32;
use std::{vec, vec::Vec};

use virtio_drivers::{
    PAGE_SIZE,
    transport::{DeviceStatus, DeviceType},
};

use super::{Counters, Misbehaviour, QUEUE_SIZE, StartError, VirtioBlk, envelopes::protocol, start::feature};
use crate::{
    block::{BlockError, DiskNumber, MAX_SEGMENTS, NotQueued, Operation, Request, Segment},
    fake::{Chain, DMA_ALLOCATIONS_LEFT, FakeHal, FakeTransport, Results, pages, peek, poke},
};

const DISK: DiskNumber = DiskNumber(0);
const SECTORS: u64 = 1 << 40;
const USUAL: u64 = feature::INDIRECT | feature::FLUSH | feature::SEG_MAX | feature::DISCARD | 1 << 29;

type Disk = VirtioBlk<FakeHal, FakeTransport>;

/// A disk with the features that QEMU offers, `VIRTIO_F_EVENT_IDX` included.
fn disk() -> (Disk, FakeTransport) {
    let transport = FakeTransport::disk(SECTORS, USUAL);
    transport.device().set_configuration(12, 254);
    transport.device().set_configuration(36, 1000);
    (start(&transport).expect("a usual disk"), transport)
}

fn start(transport: &FakeTransport) -> Result<Disk, StartError> {
    VirtioBlk::new(transport.clone(), DISK)
}

/// A segment of exactly this memory, which the test keeps.
fn segment(memory: &mut [u8]) -> Segment {
    let bytes = NonZeroU32::new(u32::try_from(memory.len()).expect("short")).expect("not empty");
    Segment::new(memory.as_mut_ptr().expose_provenance() as u64, bytes)
}

fn push(request: &mut Request, memory: &mut [u8]) {
    // SAFETY: the tests keep the memory until the request has ended and look at it only then.
    unsafe { request.push(segment(memory)) }.expect("room");
}

/// A request on whole pages of memory.
fn request(
    operation: Operation,
    sector: u64,
    memory: &mut [std::boxed::Box<[u8; PAGE_SIZE]>],
    results: &Results,
    number: u32,
) -> Request {
    let mut request = Request::new(operation, sector, results.note(number));
    for page in memory {
        push(&mut request, &mut page[..]);
    }
    request
}

fn accept(disk: &mut Disk, request: Request) {
    disk.submit(request).expect("room in the queue");
}

/// Delivers whatever the device has finished.
fn complete_all(disk: &mut Disk) {
    while let Some(finished) = disk.complete() {
        finished.deliver();
    }
}

fn all_chains(transport: &FakeTransport) -> Vec<Chain> {
    let mut device = transport.device();
    core::iter::from_fn(|| device.next()).collect()
}

#[test]
fn a_write_of_scattered_pages_is_one_indirect_request() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(MAX_SEGMENTS), Results::default());
    for (number, page) in memory.iter_mut().enumerate() {
        page.fill(u8::try_from(number).expect("few"));
    }
    accept(&mut disk, request(Operation::Write, 0x1_2345_6789, &mut memory, &results, 7));

    let chain = transport.device().next().expect("a request");
    assert!(chain.indirect);
    assert_eq!(chain.header(), (protocol::WRITE, 0x1_2345_6789));
    assert_eq!(chain.data().len(), MAX_SEGMENTS);
    for (number, piece) in chain.data().iter().enumerate() {
        assert_eq!((piece.bytes, piece.writable), (4096, false));
        assert_eq!(peek::<[u8; PAGE_SIZE]>(piece.address), [u8::try_from(number).expect("few"); PAGE_SIZE]);
    }
    assert!(transport.device().next().is_none());
    assert!(results.take().is_empty());

    transport.device().answer(&chain, protocol::OK);
    complete_all(&mut disk);
    assert_eq!(results.take(), [(7, Ok(()))]);
    assert_eq!(
        disk.counters(),
        Counters { writes: 1, segments: 32, bytes_written: 32 * 4096, max_in_flight: 1, ..Counters::default() }
    );
}

#[test]
fn a_read_reaches_every_segment_in_order_whatever_their_lengths() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (vec![0; 1024], Results::default());
    let mut read = Request::new(Operation::Read, 5, results.note(0));
    let (first, rest) = memory.split_at_mut(100);
    push(&mut read, rest);
    push(&mut read, first);
    accept(&mut disk, read);

    let chain = transport.device().next().expect("a request");
    assert_eq!(chain.header(), (protocol::READ, 5));
    for (value, piece) in (1u8..).zip(chain.data()) {
        assert!(piece.writable);
        (0..u64::from(piece.bytes)).for_each(|offset| poke(piece.address + offset, value));
    }
    transport.device().answer(&chain, protocol::OK);
    complete_all(&mut disk);
    assert_eq!(results.take(), [(0, Ok(()))]);
    assert!(memory[..100].iter().all(|&byte| byte == 2) && memory[100..].iter().all(|&byte| byte == 1));
    assert_eq!(disk.counters().bytes_read, 1024);
}

#[test]
fn requests_finish_in_the_devices_order_and_once() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(5), Results::default());
    for (number, page) in (0..).zip(memory.chunks_mut(1)) {
        accept(&mut disk, request(Operation::Read, u64::from(number) * 8, page, &results, number));
    }
    assert_eq!((disk.counters().in_flight, disk.counters().max_in_flight), (5, 5));
    let chains = all_chains(&transport);
    for (place, status) in [(3, protocol::OK), (0, protocol::IO_ERROR), (4, protocol::OK)] {
        transport.device().answer(&chains[place], status);
    }
    complete_all(&mut disk);
    let failed = Err(BlockError::Device { disk: DISK, sector: 0 });
    assert_eq!(results.take(), [(3, Ok(())), (0, failed), (4, Ok(()))]);
    assert_eq!(disk.counters().in_flight, 2);

    transport.device().answer(&chains[2], protocol::UNSUPPORTED);
    transport.device().answer(&chains[1], protocol::OK);
    complete_all(&mut disk);
    assert_eq!(results.take(), [(2, Err(BlockError::Unsupported { disk: DISK, sector: 16 })), (1, Ok(()))]);
    let counters = disk.counters();
    assert_eq!((counters.in_flight, counters.max_in_flight, counters.errors), (0, 5, 2));
    assert_eq!(counters.bytes_read, 3 * 4096);

    accept(&mut disk, request(Operation::Read, 0, &mut memory[..1], &results, 5));
    assert_eq!((disk.counters().in_flight, disk.counters().max_in_flight), (1, 5));
}

#[test]
fn a_full_queue_gives_the_request_back_unchanged() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(1), Results::default());
    for number in 0..u32::try_from(QUEUE_SIZE).expect("small") {
        accept(&mut disk, request(Operation::Write, 0, &mut memory, &results, number));
    }
    let refused = disk.submit(request(Operation::Write, 99, &mut memory, &results, 1000));
    let Err(NotQueued::Busy(back)) = refused else { panic!("{refused:?}") };
    assert_eq!((back.sector(), back.bytes()), (99, 4096));
    assert!(results.take().is_empty());

    let chain = transport.device().next().expect("a request");
    transport.device().answer(&chain, protocol::OK);
    complete_all(&mut disk);
    accept(&mut disk, back);
    assert_eq!(disk.counters().max_in_flight, QUEUE_SIZE as u64);
}

#[test]
fn doorbells_ring_once_for_many_requests_and_never_unwanted() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(1), Results::default());
    disk.kick();
    assert_eq!(transport.device().doorbells, 0);
    for number in 0..3 {
        accept(&mut disk, request(Operation::Write, 0, &mut memory, &results, number));
    }
    disk.kick();
    disk.kick();
    assert_eq!(transport.device().doorbells, 1);
    transport.device().want_doorbells(false);
    accept(&mut disk, request(Operation::Write, 0, &mut memory, &results, 3));
    disk.kick();
    assert_eq!(transport.device().doorbells, 1);
    transport.device().want_doorbells(true);
    accept(&mut disk, request(Operation::Write, 0, &mut memory, &results, 4));
    disk.kick();
    assert_eq!((transport.device().doorbells, disk.counters().doorbells), (2, 2));
}

#[test]
fn no_doorbell_is_lost_when_the_ring_indices_wrap() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(1), Results::default());
    for round in 0..30_000 {
        for number in 0..3 {
            accept(&mut disk, request(Operation::Write, 0, &mut memory, &results, number));
        }
        disk.kick();
        assert_eq!(transport.device().doorbells, round + 1);
        for chain in all_chains(&transport) {
            transport.device().answer(&chain, protocol::OK);
        }
        complete_all(&mut disk);
        assert_eq!(results.take().len(), 3);
    }
}

#[test]
fn what_the_device_cannot_do_is_refused_without_asking_it() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(2), Results::default());
    let (disk_number, one) = (DISK, NonZeroU32::MIN);
    let mut crooked = Request::new(Operation::Read, 0, results.note(0));
    // SAFETY: the device is never asked.
    unsafe { crooked.push(Segment::new(0x1000, one)) }.expect("room");
    let discard = |sectors, sector| Request::new(Operation::Discard { sectors }, sector, results.note(0));
    let malformed = |bytes| BlockError::Malformed { disk: disk_number, sector: 0, bytes };
    let out_of_range = |sector, sectors| BlockError::OutOfRange { disk: disk_number, sector, sectors };
    let cases = [
        (Request::new(Operation::Read, 0, results.note(0)), malformed(0)),
        (Request::new(Operation::Write, 0, results.note(0)), malformed(0)),
        (crooked, malformed(1)),
        (discard(0, 0), malformed(0)),
        (request(Operation::Flush, 0, &mut memory, &results, 0), malformed(8192)),
        (request(Operation::Discard { sectors: 1 }, 0, &mut memory, &results, 0), malformed(8192)),
        (request(Operation::Write, SECTORS - 15, &mut memory, &results, 0), out_of_range(SECTORS - 15, 16)),
        (request(Operation::Read, u64::MAX, &mut memory, &results, 0), out_of_range(u64::MAX, 16)),
        (discard(2, SECTORS - 1), out_of_range(SECTORS - 1, 2)),
        (discard(1001, 8), BlockError::NoDiscard { disk: DISK, sector: 8, sectors: 1001 }),
    ];
    let count = cases.len();
    for (request, error) in cases {
        let refused = disk.submit(request);
        let Err(NotQueued::Finished(finished)) = refused else { panic!("{refused:?} instead of {error}") };
        finished.deliver();
        assert_eq!(results.take(), [(0, Err(error))]);
    }
    assert!(transport.device().next().is_none());
    assert_eq!(disk.counters(), Counters { errors: count as u64, ..Counters::default() });
    accept(&mut disk, request(Operation::Read, SECTORS - 16, &mut memory, &results, 0));
}

#[test]
fn a_read_only_disk_takes_reads_alone() {
    let transport = FakeTransport::disk(SECTORS, USUAL | feature::READ_ONLY);
    transport.device().set_configuration(36, 1000);
    let mut disk = start(&transport).expect("a disk");
    assert!(disk.geometry().read_only);
    let (mut memory, results) = (pages(1), Results::default());
    let discard = Request::new(Operation::Discard { sectors: 8 }, 8, results.note(0));
    for refused in [request(Operation::Write, 8, &mut memory, &results, 0), discard] {
        let Err(NotQueued::Finished(finished)) = disk.submit(refused) else { panic!("accepted") };
        assert_eq!(finished.result(), Err(BlockError::ReadOnly { disk: DISK, sector: 8 }));
    }
    assert!(transport.device().next().is_none());
    accept(&mut disk, request(Operation::Read, 8, &mut memory, &results, 0));
}

#[test]
fn limits_that_the_device_names_are_kept() {
    let transport = FakeTransport::disk(SECTORS, feature::INDIRECT | feature::SEG_MAX);
    transport.device().set_configuration(12, 3);
    let mut disk = start(&transport).expect("a disk");
    let geometry = disk.geometry();
    assert_eq!((geometry.sectors, geometry.max_segments), (SECTORS, 3));
    assert_eq!((geometry.volatile_cache, geometry.max_discard_sectors), (false, None));
    let (mut memory, results) = (pages(4), Results::default());
    let Err(NotQueued::Finished(finished)) = disk.submit(request(Operation::Write, 8, &mut memory, &results, 0)) else {
        panic!("accepted")
    };
    assert_eq!(finished.result(), Err(BlockError::TooManySegments { disk: DISK, sector: 8, segments: 4 }));
    accept(&mut disk, request(Operation::Write, 8, &mut memory[..3], &results, 0));

    let flush = disk.submit(Request::new(Operation::Flush, 0, results.note(0)));
    let Err(NotQueued::Finished(finished)) = flush else { panic!("{flush:?}") };
    assert_eq!(finished.result(), Ok(()), "without a volatile cache there is nothing to flush");
}

#[test]
fn flush_and_discard_reach_the_device() {
    let (mut disk, transport) = disk();
    let results = Results::default();
    assert_eq!(disk.geometry().max_discard_sectors, NonZeroU32::new(1000));
    accept(&mut disk, Request::new(Operation::Flush, 77, results.note(0)));
    accept(&mut disk, Request::new(Operation::Discard { sectors: 1000 }, 0x1_0000_0003, results.note(1)));
    let chains = all_chains(&transport);
    assert_eq!((chains[0].header(), chains[0].data().len()), ((protocol::FLUSH, 0), 0));
    assert_eq!(chains[1].header(), (protocol::DISCARD, 0));
    let [range] = chains[1].data() else { panic!("{chains:?}") };
    assert_eq!((range.bytes, range.writable), (16, false));
    assert_eq!((peek::<u64>(range.address), peek::<[u32; 2]>(range.address + 8)), (0x1_0000_0003, [1000, 0]));
    for chain in &chains {
        transport.device().answer(chain, protocol::OK);
    }
    complete_all(&mut disk);
    assert_eq!(results.take(), [(0, Ok(())), (1, Ok(()))]);
    assert_eq!((disk.counters().flushes, disk.counters().discards), (1, 1));
}

#[test]
fn without_indirect_descriptors_requests_share_the_queue() {
    let transport = FakeTransport::disk(SECTORS, 0);
    let mut disk = start(&transport).expect("a disk");
    let (mut memory, results) = (pages(MAX_SEGMENTS), Results::default());
    accept(&mut disk, request(Operation::Write, 0, &mut memory, &results, 0));
    let refused = disk.submit(request(Operation::Write, 8, &mut memory, &results, 1));
    let Err(NotQueued::Busy(mut back)) = refused else { panic!("{refused:?}") };
    for _ in 0..QUEUE_SIZE {
        let Err(NotQueued::Busy(again)) = disk.submit(back) else { panic!("accepted") };
        back = again;
    }
    let chain = transport.device().next().expect("a request");
    assert!(!chain.indirect);
    assert_eq!(chain.data().len(), MAX_SEGMENTS);
    transport.device().answer(&chain, protocol::OK);
    complete_all(&mut disk);
    accept(&mut disk, back);
    let chain = transport.device().next().expect("a request");
    transport.device().answer(&chain, protocol::OK);
    complete_all(&mut disk);
    assert_eq!(results.take(), [(0, Ok(())), (1, Ok(()))]);
    // None of the refusals kept an envelope.
    for number in 0..2 {
        accept(&mut disk, request(Operation::Write, 0, &mut memory[..1], &results, number));
    }
}

#[test]
fn interrupts_are_silent_while_completing_and_nothing_slips_through() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(2), Results::default());
    for (number, page) in (0..).zip(memory.chunks_mut(1)) {
        accept(&mut disk, request(Operation::Read, 0, page, &results, number));
    }
    let chains = all_chains(&transport);
    assert!(transport.device().interrupts_wanted());
    transport.device().answer(&chains[0], protocol::OK);
    disk.interrupted();
    assert!(!transport.device().interrupts_wanted());
    complete_all(&mut disk);
    transport.device().answer(&chains[1], protocol::OK);
    assert!(!disk.rearm(), "something finished after the last look");
    assert!(!transport.device().interrupts_wanted());
    complete_all(&mut disk);
    assert!(disk.rearm());
    assert!(transport.device().interrupts_wanted());
    assert_eq!(results.take(), [(0, Ok(())), (1, Ok(()))]);
    assert_eq!(disk.counters().interrupts, 1);
}

/// Submits three requests, lets the device misbehave, and checks that all of them end as stopped.
fn stops_after(misbehave: impl FnOnce(&FakeTransport, &[Chain]), why: Misbehaviour) {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(3), Results::default());
    for (number, page) in (0..).zip(memory.chunks_mut(1)) {
        accept(&mut disk, request(Operation::Read, u64::from(number), page, &results, number));
    }
    let resets = transport.device().resets;
    transport.device().slow_reset = true;
    misbehave(&transport, &all_chains(&transport));
    complete_all(&mut disk);
    assert_eq!(disk.misbehaviour(), Some(why));
    assert_eq!(transport.device().resets, resets + 1);
    let early = results.take();
    assert!(early.len() <= 1, "the device still has the memory: {early:?}");

    transport.device().status = DeviceStatus::empty();
    complete_all(&mut disk);
    let mut ended: Vec<_> = early.into_iter().chain(results.take()).collect();
    ended.sort_by_key(|&(number, _)| number);
    let stopped = |number: u32| (number, Err(BlockError::Stopped { disk: DISK, sector: number.into() }));
    assert_eq!(ended, [stopped(0), stopped(1), stopped(2)]);
    assert_eq!((disk.counters().in_flight, disk.counters().errors), (0, 3));

    let refused = disk.submit(request(Operation::Read, 4, &mut memory[..1], &results, 4));
    let Err(NotQueued::Finished(finished)) = refused else { panic!("{refused:?}") };
    assert_eq!(finished.result(), Err(BlockError::Stopped { disk: DISK, sector: 4 }));
    assert!(disk.rearm() && disk.complete().is_none());
}

#[test]
fn a_device_that_finishes_what_it_does_not_have_is_stopped() {
    stops_after(|transport, _| transport.device().finish_token(63), Misbehaviour::UnknownToken(63));
    stops_after(|transport, _| transport.device().finish_token(64), Misbehaviour::UnknownToken(64));
    stops_after(|transport, _| transport.device().finish_token(u16::MAX), Misbehaviour::UnknownToken(u16::MAX));
}

#[test]
fn a_device_that_answers_nonsense_is_stopped() {
    let answer =
        |status| move |transport: &FakeTransport, chains: &[Chain]| transport.device().answer(&chains[1], status);
    stops_after(answer(3), Misbehaviour::UnknownStatus(3));
    let no_answer = |transport: &FakeTransport, chains: &[Chain]| transport.device().finish_token(chains[1].token);
    stops_after(no_answer, Misbehaviour::UnknownStatus(protocol::UNANSWERED));
}

#[test]
fn a_device_that_asks_to_be_reset_is_stopped() {
    let ask = |transport: &FakeTransport, _: &[Chain]| transport.device().status |= DeviceStatus::DEVICE_NEEDS_RESET;
    stops_after(ask, Misbehaviour::NeedsReset);
}

#[test]
fn a_dropped_disk_is_reset_and_its_requests_are_abandoned() {
    let (mut disk, transport) = disk();
    let (mut memory, results) = (pages(1), Results::default());
    accept(&mut disk, request(Operation::Read, 0, &mut memory, &results, 0));
    drop(disk);
    assert!(transport.device().status.is_empty());
    assert_eq!(results.take(), [(0, Err(BlockError::Abandoned))]);
}

#[test]
fn only_what_the_driver_understands_is_accepted() {
    let (_disk, transport) = disk();
    let usual = feature::INDIRECT | feature::FLUSH | feature::SEG_MAX | feature::DISCARD | feature::VERSION_1;
    assert_eq!(transport.device().accepted, usual);
    assert!(transport.device().status.contains(DeviceStatus::DRIVER_OK));
}

/// Changes a usual disk and checks how starting it fails.
fn refuses_to_start(change: impl FnOnce(&FakeTransport), error: StartError) {
    let transport = FakeTransport::disk(SECTORS, USUAL);
    change(&transport);
    assert_eq!(start(&transport).err(), Some(error));
    assert!(!transport.device().status.contains(DeviceStatus::DRIVER_OK));
}

#[test]
fn a_device_that_cannot_be_used_is_refused() {
    let disk = DISK;
    let virtio = |cause| StartError::Virtio { disk, cause };
    refuses_to_start(
        |transport| transport.device().kind = DeviceType::Network,
        StartError::WrongKind { disk, kind: DeviceType::Network },
    );
    refuses_to_start(|transport| transport.device().offered = feature::INDIRECT, StartError::Legacy { disk });
    let features = USUAL & feature::SUPPORTED | feature::VERSION_1;
    refuses_to_start(
        |transport| transport.device().refuse_features = true,
        StartError::FeaturesRefused { disk, features },
    );
    refuses_to_start(|transport| transport.device().refuse_queue = true, StartError::QueueRefused { disk });
    let short = StartError::ShortQueue { disk, places: 63 };
    refuses_to_start(|transport| transport.device().max_queue_size = 63, short);
    refuses_to_start(|_| DMA_ALLOCATIONS_LEFT.set(0), virtio(virtio_drivers::Error::DmaError));
    refuses_to_start(|_| DMA_ALLOCATIONS_LEFT.set(2), StartError::NoMemory { disk });
    DMA_ALLOCATIONS_LEFT.set(usize::MAX);
}
