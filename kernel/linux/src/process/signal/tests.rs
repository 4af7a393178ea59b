//! Signals against what Linux does, and against a model of the queue.

use linux_raw_sys::general as linux;
use proptest::prelude::*;

use super::frame::{
    CONTEXT_BYTES, FRAME_BYTES, FaultRegisters, Frame, FrameLayout, ImageNote, Registers, Returned, Segments,
};
use super::*;

const HANDLER: Action = Action { handler: 0x40_1000, flags: 0, restorer: 0x40_2000, mask: Set::EMPTY };

fn signals() -> Signals {
    let mut child = Signals::of_init().unwrap();
    child.inherit(&Signals::of_init().unwrap());
    child
}

fn signal(number: u64) -> Signal {
    Signal::new(number).expect("the number is one of a signal")
}

#[test]
fn numbers_and_defaults_are_linux_s() {
    assert_eq!((Signal::new(0), Signal::new(65)), (None, None));
    assert_eq!(signal(9).to_string(), "SIGKILL");
    assert_eq!(signal(35).to_string(), "signal 35");
    let with = |action| {
        let matching = (1..=64).map(signal).filter(|signal| signal.default_action() == action);
        matching.map(Signal::number).collect::<Vec<_>>()
    };
    assert_eq!(with(DefaultAction::Ignore), [17, 23, 28]);
    assert_eq!(with(DefaultAction::Continue), [18]);
    assert_eq!(with(DefaultAction::Stop), [19, 20, 21, 22]);
}

#[test]
fn a_signal_ends_a_process_that_has_no_handler() {
    let mut signals = signals();
    let sent = signals.send(Signal::SIGTERM, Info::Kernel).expect("there is room");
    assert!(sent.wake && signals.standing().is_interrupted() && signals.standing().is_killed());
    assert_eq!(signals.take_next(), Some(Delivery::End(Signal::SIGTERM)));
}

#[test]
fn the_first_signal_that_ends_a_process_is_the_one_that_it_ends_by() {
    let ended_by = |sent: &[Signal]| {
        let mut signals = signals();
        signals.set_action(Signal::SIGUSR2, HANDLER);
        for signal in sent {
            signals.send(*signal, Info::Kernel).expect("there is room");
        }
        assert!(signals.standing().is_killed());
        signals.take_next()
    };
    let (kill, term) = (Signal::SIGKILL, Signal::SIGTERM);
    assert_eq!(ended_by(&[term, kill]), Some(Delivery::End(term)));
    assert_eq!(ended_by(&[term, Signal::SIGHUP, Signal::SIGCONT, Signal::SIGSEGV]), Some(Delivery::End(term)));
    // A core file would be written on the way out, which others may cut short.
    assert_eq!(ended_by(&[Signal::SIGQUIT, kill]), Some(Delivery::End(kill)));
    // The handler comes before the end is decided.
    assert_eq!(ended_by(&[Signal::SIGUSR2, term, kill]), Some(Delivery::End(kill)));
    assert_eq!(ended_by(&[Signal::SIGUSR2, kill, term]), Some(Delivery::End(kill)));
}

#[test]
fn what_does_nothing_is_not_even_pending() {
    let mut signals = signals();
    signals.set_action(Signal::SIGTERM, Action { handler: 1, ..Action::default() });
    for signal in [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGTERM] {
        assert_eq!(signals.send(signal, Info::Kernel), Ok(Sent::default()), "{signal}");
    }
    assert!(!signals.standing().needs_attention());
    // Unless it is blocked: the process may say something else before it lets the signal through.
    signals.set_mask(Set::of(&[Signal::SIGTERM]));
    assert_eq!(signals.send(Signal::SIGTERM, Info::Kernel), Ok(Sent::default()));
    assert_eq!(signals.blocked_pending(), Set::of(&[Signal::SIGTERM]));
    signals.set_action(Signal::SIGTERM, Action { handler: 1, ..Action::default() });
    assert!(signals.blocked_pending().is_empty());
}

#[test]
fn nothing_handles_or_blocks_kill_and_stop() {
    let mut signals = signals();
    signals.set_mask(!Set::EMPTY);
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        signals.set_action(signal, HANDLER);
        assert!(signals.action(signal).is_default() && !signals.mask().contains(signal));
    }
    signals.send(Signal::SIGSTOP, Info::Kernel).expect("there is room");
    signals.send(Signal::SIGKILL, Info::Kernel).expect("there is room");
    assert_eq!(signals.take_next(), Some(Delivery::End(Signal::SIGKILL)));
}

#[test]
fn the_first_process_ends_only_by_its_own_faults() {
    let mut init = Signals::of_init().unwrap();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSTOP] {
        init.send(signal, Info::User { pid: 2, user: 7 }).expect("there is room");
        assert_eq!(init.take_next(), None, "{signal}");
    }
    init.set_action(Signal::SIGTERM, HANDLER);
    init.send(Signal::SIGTERM, Info::User { pid: 2, user: 7 }).expect("there is room");
    assert!(!init.standing().is_killed());
    assert!(matches!(init.take_next(), Some(Delivery::Handler { .. })));
    init.force(Signal::SIGSEGV, Info::Kernel, FaultRegisters::default());
    assert!(init.standing().is_killed());
    assert_eq!(init.take_next(), Some(Delivery::End(Signal::SIGSEGV)));
}

#[test]
fn a_fault_ends_a_process_that_blocks_or_ignores_it() {
    let ignore = Action { handler: 1, ..Action::default() };
    for (action, mask) in [(HANDLER, Set::of(&[Signal::SIGSEGV])), (ignore, Set::EMPTY)] {
        let mut signals = signals();
        signals.set_action(Signal::SIGSEGV, action);
        signals.set_mask(mask);
        signals.force(Signal::SIGSEGV, Info::Kernel, FaultRegisters::default());
        assert_eq!(signals.take_next(), Some(Delivery::End(Signal::SIGSEGV)));
    }
}

#[test]
fn a_handler_runs_with_its_mask_and_the_old_one_comes_back() {
    let mut signals = signals();
    let action = Action { mask: Set::of(&[Signal::SIGUSR2]), flags: linux::SA_RESETHAND.into(), ..HANDLER };
    signals.set_action(Signal::SIGUSR1, action);
    signals.set_mask(Set::of(&[Signal::SIGUSR1]));
    signals.send(Signal::SIGUSR1, Info::User { pid: 7, user: 7 }).expect("there is room");
    assert!(!signals.standing().is_interrupted());
    signals.set_temporary_mask(Set::EMPTY);
    assert!(signals.standing().is_interrupted());
    let info = Info::User { pid: 7, user: 7 };
    assert_eq!(signals.take_next(), Some(Delivery::Handler { signal: Signal::SIGUSR1, info, action }));
    assert_eq!(signals.mask_after_handler(), Set::of(&[Signal::SIGUSR1]), "the mask from before the call");
    signals.enter_handler(Signal::SIGUSR1, action);
    assert_eq!(signals.mask(), Set::of(&[Signal::SIGUSR1, Signal::SIGUSR2]));
    assert!(signals.action(Signal::SIGUSR1).is_default(), "SA_RESETHAND");
    assert!(!signals.standing().needs_attention());
}

#[test]
fn a_temporary_mask_is_taken_back_when_no_handler_was_called() {
    let mut signals = signals();
    signals.set_mask(Set::of(&[Signal::SIGINT]));
    signals.set_temporary_mask(Set::EMPTY);
    assert!(signals.standing().needs_attention());
    signals.restore_mask();
    assert_eq!((signals.mask(), signals.standing()), (Set::of(&[Signal::SIGINT]), Standing::default()));
}

#[test]
fn stopping_and_continuing_are_reported_once() {
    let mut signals = signals();
    signals.send(Signal::SIGTSTP, Info::Kernel).expect("there is room");
    assert_eq!(signals.take_next(), Some(Delivery::Stop(Signal::SIGTSTP)));
    assert!(signals.stop(Signal::SIGTSTP) && signals.standing().is_stopped());
    assert_eq!(signals.take_change(false, true, false), None);
    assert_eq!(signals.take_change(true, false, true), Some(ChildChange::Stopped(Signal::SIGTSTP)));
    assert_eq!(signals.take_change(true, false, false), Some(ChildChange::Stopped(Signal::SIGTSTP)));
    assert_eq!(signals.take_change(true, true, false), None);
    // A signal that it could deliver waits; the one that continues it wakes it, also when that is ignored.
    let sent = signals.send(Signal::SIGTERM, Info::Kernel).expect("there is room");
    assert!(!sent.continued && signals.standing().is_stopped());
    assert_eq!(signals.send(Signal::SIGCONT, Info::Kernel), Ok(Sent { wake: true, continued: true }));
    assert!(!signals.standing().is_stopped());
    assert_eq!(signals.take_change(true, true, false), Some(ChildChange::Continued));
}

#[test]
fn continuing_and_stopping_forget_each_other() {
    let mut signals = signals();
    signals.set_action(Signal::SIGCONT, HANDLER);
    signals.set_action(Signal::SIGTSTP, HANDLER);
    signals.send(Signal::SIGTSTP, Info::Kernel).expect("there is room");
    signals.send(Signal::SIGCONT, Info::Kernel).expect("there is room");
    assert!(matches!(signals.take_next(), Some(Delivery::Handler { signal: Signal::SIGCONT, .. })));
    assert_eq!(signals.take_next(), None);
    signals.send(Signal::SIGCONT, Info::Kernel).expect("there is room");
    signals.send(Signal::SIGSTOP, Info::Kernel).expect("there is room");
    assert_eq!(signals.take_next(), Some(Delivery::Stop(Signal::SIGSTOP)));
    // Between taking the signal and stopping, it was continued.
    signals.send(Signal::SIGCONT, Info::Kernel).expect("there is room");
    assert!(!signals.stop(Signal::SIGSTOP));
}

#[test]
fn who_is_continued_before_it_has_stopped_goes_on() {
    let mut signals = signals();
    for _ in 0..2 {
        signals.send(Signal::SIGSTOP, Info::Kernel).expect("there is room");
        assert_eq!(signals.take_next(), Some(Delivery::Stop(Signal::SIGSTOP)));
        // Nothing is left of it: it does nothing by itself.
        signals.send(Signal::SIGCONT, Info::Kernel).expect("there is room");
        assert!(!signals.stop(Signal::SIGSTOP) && !signals.standing().is_stopped());
    }
    signals.send(Signal::SIGSTOP, Info::Kernel).expect("there is room");
    assert_eq!(signals.take_next(), Some(Delivery::Stop(Signal::SIGSTOP)));
    assert!(signals.stop(Signal::SIGSTOP));
}

#[test]
fn a_kill_wakes_a_stopped_process() {
    let mut signals = signals();
    assert!(signals.stop(Signal::SIGSTOP));
    assert!(signals.send(Signal::SIGKILL, Info::Kernel).expect("there is room").wake);
    assert!(signals.standing().is_killed() && !signals.standing().is_stopped());
}

#[test]
fn a_program_that_is_run_keeps_what_is_ignored_and_what_is_blocked() {
    let mut signals = signals();
    signals.set_action(Signal::SIGINT, Action { handler: 1, flags: 0, ..HANDLER });
    signals.set_action(Signal::SIGTERM, HANDLER);
    signals.set_mask(Set::of(&[Signal::SIGUSR1]));
    signals.after_exec();
    assert!(signals.action(Signal::SIGINT).is_ignore() && signals.action(Signal::SIGTERM).is_default());
    assert_eq!(signals.mask(), Set::of(&[Signal::SIGUSR1]));
}

#[test]
fn awaited_signals_wake_though_they_are_blocked() {
    let mut signals = signals();
    let wanted = Set::of(&[Signal::SIGUSR1]);
    signals.set_mask(wanted);
    signals.await_signals(wanted);
    assert!(signals.send(Signal::SIGUSR1, Info::User { pid: 3, user: 7 }).expect("there is room").wake);
    assert!(signals.standing().is_interrupted());
    assert_eq!(signals.take(wanted), Some((Signal::SIGUSR1, Info::User { pid: 3, user: 7 })));
    signals.stop_awaiting();
    assert_eq!(signals.standing(), Standing::default());
}

#[test]
fn what_a_handler_is_told_has_linux_s_layout() {
    let words = |info: Info, signal| {
        let bytes = info.to_bytes(signal);
        std::array::from_fn::<_, 8, _>(|index| {
            u32::from_le_bytes(bytes[4 * index..4 * index + 4].try_into().expect("four bytes"))
        })
    };
    let fault = Info::Fault { code: linux::SEGV_ACCERR, address: 0x7fff_1234_5678 };
    assert_eq!(words(fault, Signal::SIGSEGV), [11, 0, 2, 0, 0x1234_5678, 0x7fff, 0, 0]);
    let child = Info::Child { pid: 42, user: 7, change: ChildChange::Exited(3) };
    assert_eq!(words(child, Signal::SIGCHLD), [17, 0, 1, 0, 42, 7, 3, 0]);
    let queued = Info::Queued { code: -1, pid: 9, uid: 0, value: 0xa_0000_000b };
    assert_eq!(words(queued, signal(34)), [34, 0, u32::MAX, 0, 9, 0, 0xb, 0xa]);
    assert_eq!(Info::queued(&queued.to_bytes(signal(34))), queued);
}

#[test]
fn statuses_are_those_of_wait() {
    assert_eq!(ChildChange::Exited(7).wait_status(), 0x700);
    assert_eq!(ChildChange::Killed(Signal::SIGKILL).wait_status(), 9);
    assert_eq!(ChildChange::Stopped(Signal::SIGTSTP).wait_status(), 0x147f);
    assert_eq!(ChildChange::Continued.wait_status(), 0xffff);
}

#[test]
fn a_stack_for_handlers_is_refused_as_linux_does() {
    let on = AlternateStack { base: 0x1000, flags: 0, bytes: 0x2000 };
    let mut stack = AlternateStack::NONE;
    assert_eq!(stack.replace(AlternateStack { flags: 4, ..on }, 0x9000, 900), Err(AlternateStackError::Flags));
    assert_eq!(stack.replace(AlternateStack { bytes: 2047, ..on }, 0x9000, 900), Err(AlternateStackError::TooSmall));
    assert_eq!(stack.replace(on, 0x9000, 900), Ok(()));
    assert_eq!(stack.replace(on, 0x1800, 900), Err(AlternateStackError::InUse));
    assert_eq!((stack.seen_from(0x3000).flags, stack.seen_from(0x1000).flags), (linux::SS_ONSTACK, 0));
    assert_eq!(stack.replace(AlternateStack { flags: linux::SS_DISABLE, ..on }, 0x9000, 900), Ok(()));
    assert_eq!(stack, AlternateStack::NONE);
}

fn frame() -> (Frame, FrameLayout) {
    let registers =
        Registers { rip: 0x40_0123, rsp: 0x7fff_ff00, rflags: 0x10746, rdi: 5, r8: 8, ..Default::default() };
    let frame = Frame {
        signal: Signal::SIGSEGV,
        info: Info::Fault { code: linux::SEGV_MAPERR, address: 0x10 },
        restorer: 0x40_2000,
        registers,
        segments: Segments { code: 0x33, stack: 0x2b },
        fault: FaultRegisters { trap: 14, error: 6, address: 0x10 },
        mask: Set::of(&[Signal::SIGUSR1]),
        alternate: AlternateStack::NONE,
        extended: true,
    };
    let place = FrameLayout::below(registers.rsp, &HANDLER, AlternateStack::NONE, 836).expect("there is room");
    (frame, place)
}

/// The places are those that the C compiler gives `struct ucontext` of Linux's headers.
#[test]
fn a_frame_has_linux_s_layout() {
    let (frame, place) = frame();
    let bytes = frame.to_bytes(place);
    let word = |place: usize| u64::from_le_bytes(bytes[place..place + 8].try_into().expect("eight bytes"));
    let context = |place: usize| word(8 + place);
    assert_eq!((word(0), CONTEXT_BYTES, FRAME_BYTES), (0x40_2000, 304, 440));
    assert_eq!((context(0), context(16), context(24)), (7, 0, 2), "flags and the stack for handlers");
    assert_eq!((context(40), context(104)), (8, 5), "r8 and rdi");
    assert_eq!((context(160), context(168), context(176)), (0x7fff_ff00, 0x40_0123, 0x10746));
    assert_eq!(context(184), 0x002b_0000_0000_0033, "code and stack segment");
    assert_eq!((context(192), context(200), context(216)), (6, 14, 0x10), "error, trap, address");
    assert_eq!((context(224), context(296)), (place.image, 1 << 9), "image and mask");
    assert_eq!(bytes[312..], Info::Fault { code: 1, address: 0x10 }.to_bytes(Signal::SIGSEGV));
}

#[test]
fn a_handler_begins_as_after_a_call() {
    let (frame, place) = frame();
    let begin = frame.handler_registers(place, &HANDLER);
    assert_eq!((begin.rdi, begin.rsi, begin.rdx), (11, place.frame + 312, place.frame + 8));
    assert_eq!((begin.rip, begin.rsp, begin.rax), (0x40_1000, place.frame, 0));
    assert_eq!((begin.rsp % 16, place.image % 64), (8, 0));
    assert_eq!(begin.rflags, 0x246, "without trap, direction and resume");
    assert!(place.frame + FRAME_BYTES as u64 <= place.image && place.image + 836 <= 0x7fff_ff00 - 128);
}

#[test]
fn frames_go_to_the_stack_for_handlers_until_it_is_full() {
    let alternate = AlternateStack { base: 0x10_0000, flags: 0, bytes: 0x2000 };
    let action = Action { flags: linux::SA_ONSTACK.into(), ..HANDLER };
    let first = FrameLayout::below(0x7fff_ff00, &action, alternate, 836).expect("there is room");
    assert!(alternate.holds(first.frame));
    let second = FrameLayout::below(first.frame, &action, alternate, 836).expect("there is room");
    assert!(alternate.holds(second.frame) && second.frame < first.frame - 128);
    assert_eq!(FrameLayout::below(0x10_0200, &action, alternate, 836), None);
    assert!(!alternate.holds(FrameLayout::below(0x7fff_ff00, &HANDLER, alternate, 836).expect("there is room").frame));
}

#[test]
fn only_the_image_that_was_noted_is_taken_back() {
    let note = ImageNote { components: 7, bytes: 832 };
    let mut image = [0; 512];
    assert!(!note.matches(&image));
    note.write(&mut image);
    assert!(note.matches(&image));
    assert!(!ImageNote { bytes: 576, ..note }.matches(&image));
}

proptest! {
    #[test]
    fn what_a_frame_saves_comes_back(words in prop::array::uniform18(any::<u64>()), flags: u64, mask: u64) {
        let (mut frame, place) = frame();
        let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags] = words;
        frame.registers =
            Registers { r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags };
        frame.mask = Set::from_bits(mask);
        let bytes = frame.to_bytes(place);
        let context = bytes[8..8 + CONTEXT_BYTES].try_into().expect("the context's bytes");
        let returned = Returned::from_context(context, flags);
        // Interrupts, I/O privilege, nested task and virtual mode stay as they were.
        prop_assert_eq!(returned.registers.rflags & !0x5_0dd5, flags & !0x5_0dd5);
        prop_assert_eq!(returned.registers.rflags & 0x5_0dd5, rflags & 0x5_0dd5);
        prop_assert_eq!(Registers { rflags, ..returned.registers }, frame.registers);
        prop_assert_eq!((returned.mask.bits(), returned.image, returned.alternate), (mask, place.image, frame.alternate));
    }

    #[test]
    fn a_frame_never_overlaps_what_is_in_use(stack_pointer: u64, base: u64, bytes in 0_u64..1 << 20, on_stack: bool) {
        let alternate = AlternateStack { base, flags: 0, bytes };
        let action = Action { flags: if on_stack { linux::SA_ONSTACK.into() } else { 0 }, ..HANDLER };
        if let Some(place) = FrameLayout::below(stack_pointer, &action, alternate, 836) {
            let end = place.image.wrapping_add(836);
            let moved = on_stack && bytes != 0 && !alternate.holds(stack_pointer);
            let limit = if moved { base.wrapping_add(bytes) } else { stack_pointer.wrapping_sub(128) };
            prop_assert!(end.wrapping_sub(place.frame) < 2048 && limit.wrapping_sub(end) < 64, "{:x?}", place);
        }
    }

    #[test]
    fn the_queue_is_that_of_a_simple_model(operations in prop::collection::vec((1_u64..65, any::<u64>(), 0_u8..3), 1..200)) {
        let mut signals = signals();
        for number in 1..=64 {
            signals.set_action(signal(number), HANDLER);
        }
        let mut model: Vec<(Signal, Info)> = Vec::new();
        for (number, bits, operation) in operations {
            let (signal, info) = (signal(number), Info::User { pid: bits as u32, user: 7 });
            if signal == Signal::SIGKILL {
                // After that one there would be no queue.
                continue;
            }
            if operation == 0 {
                let wanted = Set::from_bits(bits) & !Set::UNSTOPPABLE;
                let rank = |signal: Signal| (!Set::SYNCHRONOUS.contains(signal), signal.number());
                let next = model.iter().enumerate().filter(|(_, entry)| wanted.contains(entry.0));
                let next = next.min_by_key(|&(place, entry)| (rank(entry.0), place)).map(|(place, _)| place);
                prop_assert_eq!(signals.take(wanted), next.map(|place| model.remove(place)));
                continue;
            }
            let full = model.iter().filter(|(other, _)| other.is_real_time()).count() == 32;
            let expected = if signal.is_real_time() && full { Err(QueueFull) } else { Ok(()) };
            prop_assert_eq!(signals.send(signal, info).map(|_| ()), expected);
            if signal == Signal::SIGCONT {
                model.retain(|(other, _)| !Set::STOPS.contains(*other));
            } else if Set::STOPS.contains(signal) {
                model.retain(|&(other, _)| other != Signal::SIGCONT);
            }
            let room = if signal.is_real_time() { !full } else { model.iter().all(|&(other, _)| other != signal) };
            if room {
                model.push((signal, info));
            }
        }
    }
}
