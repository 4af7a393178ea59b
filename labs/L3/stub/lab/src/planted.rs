//! The core that you read has no bugs to wake; the machines A to F have a core of their own.

pub fn plant(_number: u32) {}
