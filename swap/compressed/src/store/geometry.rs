//! Size classes: which object goes where, so that frames are filled to the last bytes.
//!
//! An object of a class lies anywhere in a zspage, across two of its frames if need be, so a size that does not divide a
//! frame divides a zspage of up to eight frames nearly without rest (Linux: `calculate_zspage_chain_size`). Sizes whose
//! zspages hold the same number of objects are one class. Above [`HUGE`] a zspage holds no more objects than frames:
//! nothing is won by compressing.

use quire_swap::header::PAGE_SIZE;

/// The most frames of a zspage (Linux: `CONFIG_ZSMALLOC_CHAIN_SIZE`).
pub(crate) const ZSPAGE_FRAMES: usize = 8;

/// In front of each object but those that fill a frame: whose it is, and a sum of its bytes.
pub(crate) const HEADER: usize = 8;

/// Contents of this length and more are not worth compressing: they take a frame each (Linux: `huge_class_size`).
pub const HUGE: usize = 3625;

const STEP: usize = 16;
const SMALLEST: usize = 32;
const SIZES: usize = (PAGE_SIZE - SMALLEST) / STEP + 1;

/// How many classes there are.
pub(crate) const CLASSES: usize = count_classes();

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes of an object, the header included: a multiple of 16, so a header never lies across two frames.
    pub(crate) size: usize,
    /// Frames of a zspage.
    pub(crate) frames: usize,
    /// Objects of a zspage.
    pub(crate) objects: u32,
}

/// Every class, by size.
pub(crate) const GEOMETRIES: [Geometry; CLASSES] = merged().0;

/// The class of every size.
const CLASS_OF: [u8; SIZES] = merged().1;

impl Geometry {
    /// The class for contents of `length` bytes; none if they are longer than a page.
    pub(crate) fn class_for(length: usize) -> Option<usize> {
        if length >= HUGE {
            return (length <= PAGE_SIZE).then_some(CLASSES - 1);
        }
        let size = (length + HEADER).saturating_sub(SMALLEST).div_ceil(STEP);
        Some(usize::from(CLASS_OF[size]))
    }

    /// Whether objects fill a frame and have no header in it.
    pub(crate) const fn is_huge(self) -> bool {
        self.size == PAGE_SIZE
    }

    const fn of(size: usize) -> Self {
        let mut best = Self { size, frames: 1, objects: (PAGE_SIZE / size) as u32 };
        let mut frames = 2;
        while frames <= ZSPAGE_FRAMES {
            let bytes = frames * PAGE_SIZE;
            // The smaller part of the zspage is wasted: compared crosswise, without fractions.
            if bytes % size * best.frames < best.frames * PAGE_SIZE % size * frames {
                best = Self { size, frames, objects: (bytes / size) as u32 };
            }
            frames += 1;
        }
        best
    }

    const fn merges(self, larger: Self) -> bool {
        self.frames == larger.frames && self.objects == larger.objects
    }
}

const fn size(index: usize) -> usize {
    SMALLEST + index * STEP
}

/// Sizes of `HUGE` and its header and more belong to the class of whole frames, whatever their own zspages would hold.
const fn natural(index: usize) -> Geometry {
    Geometry::of(if size(index) > HUGE - 1 + HEADER { PAGE_SIZE } else { size(index) })
}

const fn count_classes() -> usize {
    let mut count = 1;
    let mut index = 1;
    while index < SIZES {
        if !natural(index - 1).merges(natural(index)) {
            count += 1;
        }
        index += 1;
    }
    count
}

const fn merged() -> ([Geometry; CLASSES], [u8; SIZES]) {
    let mut classes = [natural(0); CLASSES];
    let mut class_of = [0; SIZES];
    let mut class = 0;
    let mut index = 0;
    while index < SIZES {
        if index > 0 && !natural(index - 1).merges(natural(index)) {
            class += 1;
        }
        // The largest of the merged sizes is the last.
        classes[class] = natural(index);
        class_of[index] = class as u8;
        index += 1;
    }
    (classes, class_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_smallest_class_that_holds_it() {
        for length in 0..HUGE {
            let class = Geometry::class_for(length).unwrap();
            assert!(GEOMETRIES[class].size >= length + HEADER, "{length}");
            assert!(class == 0 || GEOMETRIES[class - 1].size < length + HEADER, "{length}");
        }
        assert_eq!(Geometry::class_for(HUGE), Some(CLASSES - 1));
        assert_eq!(Geometry::class_for(PAGE_SIZE), Some(CLASSES - 1));
        assert_eq!(Geometry::class_for(PAGE_SIZE + 1), None);
    }

    #[test]
    fn chains_hold_their_objects_and_no_more() {
        for geometry in GEOMETRIES {
            let bytes = geometry.frames * PAGE_SIZE;
            assert!(geometry.objects as usize * geometry.size <= bytes, "{geometry:?}");
            assert!((geometry.objects as usize + 1) * geometry.size > bytes, "{geometry:?}");
            assert_eq!(geometry.size % STEP, 0);
        }
        assert!(GEOMETRIES.is_sorted_by(|a, b| a.size < b.size));
    }

    #[test]
    fn above_the_threshold_a_frame_holds_one_object() {
        let largest_worth_it = GEOMETRIES[CLASSES - 2];
        assert_eq!((largest_worth_it.size, largest_worth_it.frames, largest_worth_it.objects), (3632, 8, 9));
        assert_eq!(GEOMETRIES[CLASSES - 1], Geometry { size: PAGE_SIZE, frames: 1, objects: 1 });
    }

    #[test]
    fn little_of_a_chain_is_wasted() {
        for geometry in GEOMETRIES {
            let used = geometry.objects as usize * geometry.size;
            assert!(used * 100 >= geometry.frames * PAGE_SIZE * 94, "{geometry:?}");
        }
    }
}
