// Numbers out of bytes, as boot/src/watch/bytes.rs writes them.

/** Reads numbers one after the other. Numbers up to 2^53 come as they are: none here is greater. */
class ByteReader {
  constructor(bytes, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get isAtEnd() {
    return this.at >= this.end;
  }

  byte() {
    if (this.at >= this.end) throw new RangeError("a message ends too early");
    return this.bytes[this.at++];
  }

  /** Seven bits a byte, the lowest first; the top bit says that another byte follows. */
  number() {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  /** A number that may be negative: the lowest bit is its sign. */
  signed() {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A part with its length in front, as a reader of its own. */
  part() {
    const length = this.number();
    const start = this.at;
    if (start + length > this.end) throw new RangeError("a part ends too late");
    this.at = start + length;
    return new ByteReader(this.bytes, start, start + length);
  }

  text() {
    const part = this.part();
    return new TextDecoder().decode(this.bytes.subarray(part.at, part.end));
  }
}
