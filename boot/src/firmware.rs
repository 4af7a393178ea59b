//! Keeps what the UEFI firmware prints away from the reader: it clears the screen and names the device it boots from.

const NOTICE: &[u8] = b"BdsDxe: ";

/// Passes on the guest's serial output from the first byte that is not the firmware's.
#[derive(Debug, Default)]
pub struct FirmwareFilter {
    /// Bytes that are not yet known to be the firmware's or the kernel's.
    undecided: Vec<u8>,
    kernel_speaks: bool,
}

/// What output starts with.
enum Start {
    /// This many bytes of the firmware.
    Firmware(usize),
    /// Something that more bytes must decide.
    Undecided,
    Kernel,
}

impl FirmwareFilter {
    /// Takes the next output of the guest and returns what of it, and of earlier output, is the kernel's.
    pub fn pass(&mut self, output: &[u8]) -> Vec<u8> {
        self.undecided.extend_from_slice(output);
        while !self.kernel_speaks {
            match start_of(&self.undecided) {
                Start::Firmware(length) => drop(self.undecided.drain(..length)),
                Start::Undecided => return Vec::new(),
                Start::Kernel => self.kernel_speaks = true,
            }
        }
        std::mem::take(&mut self.undecided)
    }
}

fn start_of(output: &[u8]) -> Start {
    match output {
        [] | [0x1b] => Start::Undecided,
        [b'\r' | b'\n', ..] => Start::Firmware(1),
        // A control sequence: parameters up to a final byte from '@' to '~' (ECMA-48, 5.4).
        [0x1b, b'[', parameters @ ..] => {
            let last = parameters.iter().position(|byte| (b'@'..=b'~').contains(byte));
            last.map_or(Start::Undecided, |last| Start::Firmware(2 + last + 1))
        }
        _ if output.starts_with(NOTICE) => {
            let end = output.iter().position(|&byte| byte == b'\n');
            end.map_or(Start::Undecided, |end| Start::Firmware(end + 1))
        }
        _ if NOTICE.starts_with(output) => Start::Undecided,
        _ => Start::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::FirmwareFilter;

    const FIRMWARE: &str =
        "\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001 \"disk\"\r\nBdsDxe: starting Boot0001\r\n";

    #[test]
    fn the_firmware_is_cut_off_wherever_the_output_is_cut_in_pieces() {
        let kernel = "[    0.000000] one\n\x1b[1mtwo\nBdsDxe: three\n";
        let output = format!("{FIRMWARE}{kernel}");
        for piece in 1..=output.len() {
            let mut filter = FirmwareFilter::default();
            let passed: Vec<u8> = output.as_bytes().chunks(piece).flat_map(|part| filter.pass(part)).collect();
            assert_eq!(String::from_utf8_lossy(&passed), kernel, "pieces of {piece}");
        }
    }

    #[test]
    fn a_kernel_that_starts_like_the_firmware_is_not_cut() {
        let mut filter = FirmwareFilter::default();
        assert_eq!(filter.pass(b"Bds"), b"");
        assert_eq!(filter.pass(b": x"), b"Bds: x");
    }
}
