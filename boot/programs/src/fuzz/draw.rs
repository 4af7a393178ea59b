//! Choices: every one follows from a seed and a number, so that a call can be made again.

use quire_protocol::contents::Xorshift;

/// Numbers at which arithmetic turns over, or nearly.
const EDGES: [u64; 26] = [
    0,
    1,
    2,
    7,
    8,
    511,
    512,
    4095,
    4096,
    4097,
    0xffff,
    0x1_0000,
    (1 << 21) - 1,
    1 << 31,
    (1 << 31) - 1,
    (1 << 32) - 1,
    1 << 32,
    1 << 44,
    (1 << 47) - 4096,
    1 << 47,
    (1 << 63) - 4096,
    (1 << 63) - 1,
    1 << 63,
    !4095,
    !0 - 1,
    !0,
];

/// A source of choices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(Xorshift);

impl Draw {
    /// The choices that belong to `number` in the `stream` of a seed.
    pub(super) fn new(seed: u64, stream: u64, number: u64) -> Self {
        let mix = |state: u64, part: u64| (state ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let mut random = Xorshift([stream, number, seed].into_iter().fold(seed, mix) | 1);
        for _ in 0..4 {
            random.draw();
        }
        Self(random)
    }

    /// Any number.
    pub(super) fn any(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.0.draw() >> 11) % end
    }

    /// Whether the one case in `cases` is now.
    pub(super) fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// One of several things.
    pub(super) fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u64) as usize]
    }

    /// A number at or near an edge, or any.
    pub(super) fn edge(&mut self) -> u64 {
        match self.below(8) {
            0 => self.any(),
            1 => self.any() >> self.below(64),
            2 => self.pick(&EDGES).wrapping_add(self.below(17)).wrapping_sub(8),
            _ => self.pick(&EDGES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;

    #[test]
    fn choices_follow_from_seed_stream_and_number() {
        let draws = |seed, stream, number| {
            let mut draw = Draw::new(seed, stream, number);
            [draw.edge(), draw.below(1000), draw.any()]
        };
        assert_eq!(draws(1, 2, 3), draws(1, 2, 3));
        let others = [draws(2, 2, 3), draws(1, 1, 3), draws(1, 2, 4), draws(1, 3, 2)];
        assert!(others.iter().all(|other| *other != draws(1, 2, 3)));
    }
}
