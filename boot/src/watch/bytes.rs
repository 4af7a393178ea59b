//! Numbers as bytes, as `page/bytes.js` reads them: small ones in few.

/// Bytes that grow.
#[derive(Debug, Default)]
pub(super) struct ByteWriter(pub(super) Vec<u8>);

impl ByteWriter {
    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Seven bits a byte, the lowest first; the top bit says that another byte follows.
    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// The lowest bit is the sign.
    pub(super) fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63).cast_unsigned());
    }

    /// How far `value` is from the one before it, which becomes it.
    pub(super) fn difference(&mut self, before: &mut u64, value: u64) {
        self.signed(value.wrapping_sub(*before).cast_signed());
        *before = value;
    }

    /// Bytes with their number in front.
    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::ByteWriter;

    fn bytes(write: impl FnOnce(&mut ByteWriter)) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        write(&mut writer);
        writer.0
    }

    #[test]
    fn small_numbers_take_few_bytes() {
        assert_eq!(bytes(|writer| writer.number(0x7f)), [0x7f]);
        assert_eq!(bytes(|writer| writer.number(0x80)), [0x80, 1]);
        assert_eq!(bytes(|writer| writer.number(u64::MAX)).len(), 10);
        assert_eq!(bytes(|writer| writer.signed(-1)), [1]);
        assert_eq!(bytes(|writer| writer.signed(1)), [2]);
        assert_eq!(bytes(|writer| writer.part(b"ab")), [2, b'a', b'b']);
    }

    #[test]
    fn differences_go_both_ways() {
        let mut before = 10;
        assert_eq!(bytes(|writer| writer.difference(&mut before, 7)), [5]);
        assert_eq!(before, 7);
    }
}
