//! Made-up machines, and what is told of them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::{
    Watch,
    feed::Feed,
    figure::{Beside, LIMIT, Stretch, figure},
    message::message,
    page::{AFTER_RECORDING, BEFORE_RECORDING},
    picture::{Change, Picture},
    record::Recording,
    recorder::Taken,
    server::{self, Server},
    session::Shared,
};
use crate::observatory::{
    Event, FrameKind, Snapshot, What,
    event::FaultService,
    snapshot::{Area, Counter, Frame, Mapping, Memory, Slot, SlotContent, SlotState, Swapped, Task},
};

/// A machine of so many frames: one is a page of process 7, all others are free.
fn machine(frames: usize) -> Snapshot {
    let mut snapshot = Snapshot {
        ticks_per_second: 1_000_000_000,
        memory: Memory {
            bytes: frames as u64 * 4096,
            managed: frames as u64,
            free: frames as u64 - 1,
            min: 2,
            low: 4,
            high: 6,
            ..Memory::default()
        },
        frames: vec![Frame { kind: FrameKind::Free, ..Frame::default() }; frames],
        areas: vec![Area {
            name: "/dev/vda".into(),
            usable: 63,
            slots: vec![SlotState::default(); 64],
            ..Area::default()
        }],
        tasks: vec![Task { thread: 9, pid: Some(7), name: "demo".into(), ..Task::default() }],
        counters: vec![Counter { name: "pswpout".into(), value: 0 }, Counter { name: "pswpin".into(), value: 0 }],
        ..Snapshot::default()
    };
    snapshot.areas[0].slots[0].content = SlotContent::Bad;
    put_in_frame(&mut snapshot, 5);
    snapshot
}

/// The page of process 7 is in a frame.
fn put_in_frame(snapshot: &mut Snapshot, frame: u32) {
    snapshot.frames[frame as usize].kind = FrameKind::ActiveAnonymous;
    let address = 0x7f00_0000_1000;
    snapshot.mappings = vec![Mapping { frame, thread: 9, address, accessed: true, dirty: true, writable: true }];
}

/// The page that is in frame 5 goes to slot 3.
fn page_out(snapshot: &mut Snapshot) {
    let address = snapshot.mappings.remove(0).address;
    snapshot.frames[5] = Frame { kind: FrameKind::Free, ..Frame::default() };
    snapshot.swapped = vec![Swapped { area: 0, slot: 3, thread: 9, address }];
    snapshot.areas[0].slots[3] = SlotState { content: SlotContent::Used(0), count: 1, ..SlotState::default() };
    snapshot.areas[0].used = 1;
    snapshot.counters[0].value = 1;
    snapshot.time = 3_000;
    snapshot.events = vec![
        Event {
            time: 1_000,
            cpu: 0,
            thread: 9,
            what: What::Fault { service: FaultService::ZeroFilled, address: 0x7f00_0000_1234 },
        },
        Event { time: 3_000, cpu: 0, thread: 2, what: What::PageOut { frame: 5, area: 0, slot: 3 } },
    ];
}

fn facts(change: &Change) -> Vec<&str> {
    change.facts.keys().map(String::as_str).collect()
}

#[test]
fn the_first_change_tells_everything_and_the_next_one_what_is_new() {
    let (mut picture, mut snapshot) = (Picture::default(), machine(100));
    assert_eq!(picture.whole(), None);
    let first = picture.advance(&snapshot, false);
    assert!(first.whole && first.frames.anew && first.frames.told.len() == 100);
    assert_eq!(first.areas[0].1.told.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0], "free slots are not told");

    assert!(picture.advance(&snapshot, false).is_empty());

    page_out(&mut snapshot);
    let change = picture.advance(&snapshot, false);
    assert!(!change.whole && !change.is_empty());
    assert_eq!(change.frames.told.iter().map(|(frame, _)| *frame).collect::<Vec<_>>(), [5]);
    let (slot, cell) = change.areas[0].1.told[0];
    assert_eq!((slot, cell.content, cell.owner.thread, cell.owner.page), (3, 1, 9, 0x7_f000_0001));
    assert_eq!(facts(&change), ["areas", "counters", "faults", "reclaimed", "time"]);
    assert_eq!(change.facts["counters"], serde_json::json!({ "pswpout": 1 }));
    assert_eq!(change.facts["faults"][0], 1);
    assert_eq!(change.events.iter().map(|event| event.time).collect::<Vec<_>>(), [1, 3], "microseconds");
}

#[test]
fn a_reader_that_comes_late_is_told_what_those_before_it_know() {
    let (mut picture, mut snapshot) = (Picture::default(), machine(100));
    picture.advance(&snapshot, false);
    page_out(&mut snapshot);
    picture.advance(&snapshot, false);
    let (late, mut fresh) = (picture.whole().unwrap(), Picture::default());
    snapshot.events.clear();
    assert_eq!(late, fresh.advance(&snapshot, false));
}

#[test]
fn a_picture_that_is_told_of_another_is_like_it() {
    let (mut picture, mut other, mut snapshot) = (Picture::default(), Picture::default(), machine(100));
    other.follow(&picture.advance(&snapshot, false));
    page_out(&mut snapshot);
    other.follow(&picture.advance(&snapshot, false));
    assert_eq!(other.whole(), picture.whole());
    snapshot.areas.clear();
    other.follow(&picture.advance(&snapshot, false));
    assert_eq!(other.whole(), picture.whole());
}

/// The messages of a figure.
fn messages_of(figure: &str) -> Vec<Vec<u8>> {
    let run = figure.split_once(BEFORE_RECORDING).unwrap().1.split_once(AFTER_RECORDING).unwrap().0;
    let mut bytes = Vec::new();
    GzDecoder::new(&*STANDARD.decode(run).unwrap()).read_to_end(&mut bytes).unwrap();
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte < 0x80).unwrap();
        let length = rest[..=end].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        let (message, more) = rest[end + 1..].split_at(length);
        messages.push(message.to_vec());
        rest = more;
    }
    messages
}

#[test]
fn a_figure_has_its_part_of_the_run_alone() {
    let log = "boot\n# 0\nquire:~# x\ny\n\n# 1\nz\n";
    let part = log.find("# 0").unwrap()..log.find("# 1").unwrap();
    let (mut picture, mut snapshot) = (Picture::default(), machine(100));
    let mut take = |snapshot: &Snapshot, heard| Taken { change: picture.advance(snapshot, false), heard };
    let mut taken = vec![take(&snapshot, part.start)];
    page_out(&mut snapshot);
    snapshot.frames[7].kind = FrameKind::Kernel;
    // In the middle of a line: what is not whole is said with the next picture.
    taken.push(take(&snapshot, log.find('x').unwrap()));
    snapshot.events.clear();
    put_in_frame(&mut snapshot, 6);
    taken.push(take(&snapshot, part.end - 1));
    put_in_frame(&mut snapshot, 8);
    for _ in 0..2 {
        taken.push(take(&snapshot, log.len()));
    }

    let stretch = Stretch { log, part, hidden: "#", beside: Beside::Curves };
    let page = figure(&taken, &stretch).unwrap();
    assert!(page.contains("data-beside=\"curves\"") && page.contains("1 pages were written"), "{page}");
    assert!(page.contains(r#""slots":{"0":512}"#), "{page}");
    let messages = messages_of(&page);
    assert_eq!(messages.iter().map(|message| message[0]).collect::<Vec<_>>(), [1, 0, 0, 0]);
    let said = |message: &[u8]| String::from_utf8_lossy(message).contains(r#""said":"quire:~# x\ny\n""#);
    assert!(!said(&messages[1]) && said(&messages[2]) && !said(&messages[3]));

    assert_eq!(figure(&taken[1..], &stretch), None, "nothing was seen before");
    assert_eq!(figure(&taken[..2], &stretch), None, "too little was seen meanwhile");
}

#[test]
fn a_figure_stays_small_however_much_happens() {
    let (mut picture, mut snapshot, mut random) = (Picture::default(), machine(4000), 0x9e37_79b9_u64);
    let mut taken = Vec::new();
    for number in 0..300 {
        for frame in &mut snapshot.frames {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            frame.kind = FrameKind::ALL[(random >> 40) as usize % FrameKind::ALL.len()];
        }
        snapshot.time = number;
        taken.push(Taken { change: picture.advance(&snapshot, false), heard: number as usize + 1 });
    }
    let log = "\n".repeat(300);
    let page = figure(&taken, &Stretch { log: &log, part: 1..300, hidden: "#", beside: Beside::Story }).unwrap();
    assert!(page.len() <= LIMIT && messages_of(&page).len() > 5, "{}", page.len());
}

#[test]
fn an_accessed_bit_alone_is_news_of_a_machine_that_is_stopped_only() {
    let (mut picture, mut snapshot) = (Picture::default(), machine(100));
    picture.advance(&snapshot, false);
    snapshot.mappings[0].accessed = false;
    assert!(picture.advance(&snapshot, false).is_empty());
    snapshot.mappings[0].accessed = true;
    assert_eq!(picture.advance(&snapshot, true).frames.told.len(), 1);
}

#[test]
fn an_area_that_is_enabled_is_told_anew_and_one_that_is_disabled_is_missing() {
    let (mut picture, mut snapshot) = (Picture::default(), machine(100));
    let area = snapshot.areas.remove(0);
    assert!(picture.advance(&snapshot, false).areas.is_empty());
    snapshot.areas.push(area);
    assert!(picture.advance(&snapshot, false).areas[0].1.anew);
    snapshot.areas.clear();
    assert!(picture.advance(&snapshot, false).areas.is_empty());
}

#[test]
fn a_message_is_as_long_as_what_is_new() {
    let (mut picture, mut snapshot) = (Picture::default(), machine(262_144));
    let first = message(&picture.advance(&snapshot, false));
    assert_eq!(first[0], 1);
    page_out(&mut snapshot);
    snapshot.frames[5].slot = Some(Slot { area: 0, slot: 3 });
    let change = picture.advance(&snapshot, false);
    let message = message(&change);
    assert_eq!(message[0], 0);
    assert!(message.len() < 600, "{}", message.len());
    // The facts are the first part, behind two bytes of length.
    let facts = Value::Object(change.facts.clone()).to_string();
    assert_eq!(&message[3..3 + facts.len()], facts.as_bytes());
}

#[test]
fn lines_of_json_are_what_is_new_and_a_full_disk_ends_its_own_recording_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.json.gz");
    let mut recordings = vec![Recording::create(&path).unwrap()];
    for name in ["full.json.gz", "full.html"] {
        let full = directory.path().join(name);
        symlink("/dev/full", &full).unwrap();
        recordings.extend(Recording::create(&full));
    }
    recordings.push(Recording::trace(Path::new("/dev/full")).unwrap());
    let (mut picture, mut snapshot) = (Picture::default(), machine(100));
    let first = picture.advance(&snapshot, false);
    page_out(&mut snapshot);
    for change in [first, picture.advance(&snapshot, false)] {
        for recording in &mut recordings {
            recording.write(&change);
        }
    }
    let whole: Vec<_> = recordings.into_iter().filter_map(Recording::finish).collect();
    assert_eq!(whole, std::slice::from_ref(&path));

    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["frames"]["told"][5]["kind"], "anonymous, active");
    assert_eq!(lines[1]["frames"]["told"][0]["kind"], "free");
    assert_eq!(lines[1]["events"][1]["event"], "page out");
}

#[test]
fn a_recording_has_a_form_and_a_place() {
    let wish =
        |path: &str| Watch { recordings: vec![path.into()], ..Watch::default() }.prepare().map(drop).unwrap_err();
    assert!(wish("run.mp4").to_string().contains("--record run.html"));
    assert!(wish("/does/not/exist/run.html").to_string().contains("make its directory"));
}

#[test]
fn a_port_in_use_is_no_reason_to_show_nothing() {
    let other = server::listen(0).unwrap();
    let taken = other.local_addr().unwrap().port();
    let prepared = Watch { port: Some(taken), ..Watch::default() }.prepare().unwrap();
    let address = prepared.listener.unwrap().local_addr().unwrap();
    assert!(address.ip().is_loopback() && address.port() != taken, "{address}");
    drop(other);
}

#[test]
fn two_pages_are_told_the_same_each_at_its_own_pace() {
    let (mut feed, mut snapshot) = (Feed::default(), machine(100));
    feed.push(&snapshot, false);
    let slow = feed.since(None);
    page_out(&mut snapshot);
    feed.push(&snapshot, false);
    snapshot.events.clear();
    put_in_frame(&mut snapshot, 6);
    snapshot.swapped.clear();
    let quick = feed.since(Some(slow.next));
    feed.push(&snapshot, false);
    let quicker = feed.since(Some(quick.next));
    let all = feed.since(Some(slow.next));
    assert_eq!(all.body, [quick.body, quicker.body].concat());
    assert_eq!((all.next, all.anew, feed.since(Some(all.next)).body), (3, false, Vec::new()));
    // One that comes late, or asks for what never was, is told everything.
    assert!(feed.since(None).anew && feed.since(Some(99)) == feed.since(None));
}

/// What the server answers to a request in these words.
fn answer(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_server_answers_its_own_pages_alone() {
    let listener = server::listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.ip().is_loopback());
    let _server = Server::start(listener, &Arc::new(Shared::default())).unwrap();
    let ours = format!("127.0.0.1:{}", address.port());
    let local = format!("localhost:{}", address.port());
    for (line, headers, status) in [
        ("GET /", format!("Host: {ours}"), 200),
        ("GET /", format!("Host: {local}"), 200),
        ("GET /", "Host: evil.example".to_owned(), 403),
        ("GET /", "Host: 127.0.0.1:1".to_owned(), 403),
        ("GET /", format!("Host: {ours}\r\nHost: evil.example"), 403),
        ("GET /", format!("Host: {ours}\r\nOrigin: http://evil.example"), 403),
        ("GET /", format!("Host: {ours}\r\nOrigin: null"), 403),
        ("GET /messages?since=x", format!("Host: {ours}"), 200),
        ("GET /elsewhere", format!("Host: {ours}"), 404),
        ("PUT /", format!("Host: {ours}"), 405),
        ("POST /control", format!("Host: {ours}\r\nContent-Length: 5"), 403),
        ("POST /control", format!("Host: {ours}\r\nOrigin: http://{ours}\r\nContent-Length: 5"), 200),
        ("POST /control", format!("Host: {ours}\r\nOrigin: http://{ours}\r\nContent-Length: 4"), 400),
    ] {
        let answer = answer(address, &format!("{line} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\npause"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {headers}: {answer}");
    }
}
