//! Calls of signal handlers: the program's registers go to its stack and come back from there by `rt_sigreturn`.

use core::cell::Cell;

use quire_machine::address_map::USER_END;
use quire_machine::arch::fpu::{self, IMAGE_BYTES, Image, LEGACY_BYTES};
use quire_machine::arch::registers::TrapFrame;
use quire_machine::user::{Fault, UserPtr};

use super::control_block::{Process, this};
use super::signal::frame::{CONTEXT_BYTES, Frame, FrameLayout, ImageNote, Registers, Returned, Segments};
use super::signal::{Action, Info, Signal};

/// Has the program go on in the handler of `signal`.
///
/// # Errors
/// [`Fault`] when its stack has no room for the frame.
pub(super) fn call(
    process: &Process,
    frame: &mut TrapFrame,
    signal: Signal,
    info: Info,
    action: Action,
) -> Result<(), Fault> {
    let (components, image_bytes) = fpu::format();
    let extended = image_bytes > LEGACY_BYTES;
    let (alternate, fault, mask) = process
        .with_signals(|signals| (*signals.alternate_stack(), signals.fault_registers(), signals.mask_after_handler()));
    let room = image_bytes + if extended { ImageNote::LAST_BYTES } else { 0 };
    let place = FrameLayout::below(frame.rsp, &action, alternate, room).ok_or(Fault)?;
    let registers = registers_of(frame);
    let [code, stack] = frame.segments();
    let handler = Frame {
        signal,
        info,
        restorer: action.restorer,
        registers,
        segments: Segments { code, stack },
        fault,
        mask,
        alternate: alternate.seen_from(frame.rsp),
        extended,
    };
    let mut image = fpu::current_image();
    let place_of_image = UserPtr::<u8>::new(place.image);
    if extended {
        ImageNote { components, bytes: image_bytes as u32 }.write(&mut image);
        place_of_image.element(image_bytes).cast().write(ImageNote::LAST)?;
    }
    place_of_image.write_bytes(&image[..image_bytes])?;
    UserPtr::new(place.frame).write(handler.to_bytes(place))?;
    if action.handler >= USER_END {
        return Err(Fault);
    }
    set_registers(frame, &handler.handler_registers(place, &action));
    fpu::reset_current_registers();
    process.with_signals(|signals| signals.enter_handler(signal, action));
    Ok(())
}

/// Takes back the registers and the mask that the frame of a handler holds (`rt_sigreturn`); returns what `rax` was. `place` has
/// the registers of the program; the handler has returned to the restorer, so the stack pointer is one word above the frame.
///
/// # Errors
/// [`Fault`] when the stack does not hold a frame.
pub fn return_from_handler(place: &Cell<TrapFrame>) -> Result<u64, Fault> {
    let process = this();
    let mut frame = place.get();
    let context: [u8; CONTEXT_BYTES] = UserPtr::new(frame.rsp).read()?;
    let returned = Returned::from_context(&context, frame.rflags());
    // `iretq` would fault on an address that is not canonical.
    if returned.registers.rip >= USER_END {
        return Err(Fault);
    }
    match UserPtr::new(returned.image).unless_null() {
        None => fpu::reset_current_registers(),
        Some(image) => fpu::set_current_image(&read_image(image)?),
    }
    set_registers(&mut frame, &returned.registers);
    // What was interrupted is not this call, which is not to be done again.
    frame.vector = 0;
    place.set(frame);
    process.with_signals(|signals| {
        signals.set_mask(returned.mask);
        // As on Linux: a stack that makes no sense changes nothing.
        let _ = signals.alternate_stack().replace(returned.alternate, returned.registers.rsp, 0);
    });
    Ok(returned.registers.rax)
}

fn read_image(place: UserPtr<u8>) -> Result<Image, Fault> {
    let (components, image_bytes) = fpu::format();
    let mut bytes = [0; IMAGE_BYTES];
    let (legacy, rest) = bytes.split_at_mut(LEGACY_BYTES);
    place.read_bytes(legacy)?;
    let note = ImageNote { components, bytes: image_bytes as u32 };
    if image_bytes > LEGACY_BYTES
        && note.matches(legacy)
        && place.element(image_bytes).cast().read() == Ok(ImageNote::LAST)
    {
        place.element(LEGACY_BYTES).read_bytes(rest)?;
        return Ok(Image::from_program(&bytes));
    }
    Ok(Image::from_legacy(&bytes))
}

fn registers_of(frame: &TrapFrame) -> Registers {
    let TrapFrame { r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, .. } = *frame;
    let (rip, rflags, rsp) = (frame.rip(), frame.rflags(), frame.rsp);
    Registers { r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags }
}

/// The instruction pointer is in the user half.
fn set_registers(frame: &mut TrapFrame, registers: &Registers) {
    let Registers { r8, r9, r10, r11, r12, r13, r14, r15, .. } = *registers;
    let Registers { rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags, .. } = *registers;
    (frame.r8, frame.r9, frame.r10, frame.r11) = (r8, r9, r10, r11);
    (frame.r12, frame.r13, frame.r14, frame.r15) = (r12, r13, r14, r15);
    (frame.rdi, frame.rsi, frame.rbp, frame.rbx) = (rdi, rsi, rbp, rbx);
    (frame.rdx, frame.rax, frame.rcx, frame.rsp) = (rdx, rax, rcx, rsp);
    frame.set_rip(rip);
    frame.set_program_flags(rflags);
}
