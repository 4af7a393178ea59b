//! What an ext4 file system says of itself before anything of it is believed: its superblock, and how much an inode maps.
//!
//! The crate that does the rest takes memory for what it reads by ways that cannot fail. What it takes follows from how many
//! groups there are and from what the inodes in use map, so both are measured here, without memory, and asked for before the
//! crate begins. Fields have the names of the kernel's documentation (Linux: `Documentation/filesystems/ext4`).

use core::fmt;

/// What reads bytes of the disk at an offset.
pub(super) type Read<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), Unreadable> + 'a;

/// The disk failed, or there is no memory to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    block_bytes: u64,
    inode_bytes: u64,
    inodes: u32,
    inodes_per_group: u32,
    descriptor_bytes: u64,
    first_data_block: u64,
    blocks: u64,
    /// How many block groups there are.
    pub(super) groups: u64,
    /// The journal's inode, if there is a journal.
    pub(super) journal: Option<u32>,
}

/// Why a disk is no file system that can be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayoutError {
    /// A field of the superblock has a value that it must not have.
    Field(&'static str, u64),
    /// It cannot be read.
    Unreadable,
}

/// What an inode maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Blocks, at most.
    pub(super) blocks: u64,
    /// Runs of blocks, at most.
    pub(super) extents: u64,
}

/// Where a node of an extent tree lies.
#[derive(Clone, Copy)]
enum Node<'a> {
    Inode(&'a [u8]),
    Block(u64),
}

/// A node's header, one of its extents, or the place of a node below it.
type Entry = [u8; 12];

/// What an operation takes of the heap beside what follows from the inodes that it is about. `tests/ext4.rs` holds the crate to
/// this and the next three.
pub(super) const OPERATION_BYTES: usize = 384 << 10;
/// What a group takes.
const GROUP_BYTES: usize = 512;
/// What a block takes of a directory that is searched, or of the journal.
const BLOCK_BYTES: usize = 80;
/// What an extent takes of a file that is read, written or cut.
const EXTENT_BYTES: usize = 64;

/// The most groups: those of 128 GiB in blocks of 4 KiB.
const GROUPS_MAX: u64 = 1024;
/// The most blocks of an extent tree that are looked at: they have 174,000 extents.
const NODES_MAX: u32 = 512;
const EXTENT_MAGIC: u16 = 0xf30a;
const EXTENT_DEPTH_MAX: u16 = 5;
/// An extent with a greater length has so many blocks less, which were never written.
const WRITTEN_MAX: u64 = 32768;
const SUPERBLOCK: u64 = 1024;
const HAS_JOURNAL: u32 = 0x4;
const META_BLOCK_GROUPS: u32 = 0x10;
const SIXTY_FOUR_BITS: u32 = 0x80;
const EXTENTS_FLAG: u32 = 0x8_0000;
const INLINE_DATA_FLAG: u32 = 0x1000_0000;

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes)
}

impl Mapping {
    /// What the crate takes of the heap to list all blocks.
    pub(super) fn bytes(&self) -> usize {
        let blocks = usize::try_from(self.blocks).unwrap_or(usize::MAX).saturating_mul(BLOCK_BYTES);
        blocks.saturating_add(self.extent_bytes())
    }

    /// What it takes to list the extents.
    pub(super) fn extent_bytes(&self) -> usize {
        usize::try_from(self.extents).unwrap_or(usize::MAX).saturating_mul(EXTENT_BYTES)
    }
}

impl Layout {
    /// What mounting takes of the heap, with a journal that maps so much.
    pub(super) fn mount_bytes(&self, journal: Mapping) -> usize {
        OPERATION_BYTES + self.groups as usize * GROUP_BYTES + journal.bytes()
    }

    /// Reads the superblock of a file system on a disk of `disk_bytes`.
    ///
    /// # Errors
    /// The first field that is wrong or says what is not supported.
    pub(super) fn read(disk_bytes: u64, read: &mut Read<'_>) -> Result<Self, LayoutError> {
        let mut block = [0; 1024];
        if disk_bytes < SUPERBLOCK + block.len() as u64 {
            return Err(LayoutError::Field("s_magic", 0));
        }
        read(SUPERBLOCK, &mut block)?;
        let field = |offset| u64::from(u32_at(&block, offset));
        let check = |name, value, holds| if holds { Ok(value) } else { Err(LayoutError::Field(name, value)) };
        let magic = u16_at(&block, 56).into();
        check("s_magic", magic, magic == 0xef53)?;
        let features = u32_at(&block, 96);
        check("s_feature_incompat", features.into(), features & META_BLOCK_GROUPS == 0)?;
        let log_block_size = check("s_log_block_size", field(24), field(24) <= 2)?;
        let block_bytes = 1024 << log_block_size;
        let inode_bytes = if field(76) == 0 { 128 } else { u16_at(&block, 88).into() };
        check(
            "s_inode_size",
            inode_bytes,
            inode_bytes.is_power_of_two() && (128..=block_bytes).contains(&inode_bytes),
        )?;
        let descriptor_bytes = if features & SIXTY_FOUR_BITS == 0 { 32 } else { u16_at(&block, 254).into() };
        check(
            "s_desc_size",
            descriptor_bytes,
            descriptor_bytes.is_power_of_two() && (32..=1024).contains(&descriptor_bytes),
        )?;
        let in_bitmap = 1..=block_bytes * 8;
        let blocks_per_group = check("s_blocks_per_group", field(32), in_bitmap.contains(&field(32)))?;
        check("s_inodes_per_group", field(40), in_bitmap.contains(&field(40)))?;
        let high = if features & SIXTY_FOUR_BITS == 0 { 0 } else { field(336) << 32 };
        let blocks = high | field(4);
        let first_data_block = check("s_first_data_block", field(20), field(20) < blocks.max(1) && field(20) <= 1)?;
        check("s_blocks_count", blocks, blocks > 0 && blocks <= disk_bytes / block_bytes)?;
        let groups = (blocks - first_data_block).div_ceil(blocks_per_group);
        check("s_blocks_count", blocks, groups <= GROUPS_MAX)?;
        let inodes_per_group = u32_at(&block, 40);
        let inodes = u64::from(inodes_per_group) * groups;
        check("s_inodes_count", field(0), field(0) == inodes)?;
        let journal = (u32_at(&block, 92) & HAS_JOURNAL != 0).then(|| u32_at(&block, 224));
        Ok(Self {
            block_bytes,
            inode_bytes,
            inodes: u32_at(&block, 0),
            inodes_per_group,
            descriptor_bytes,
            first_data_block,
            blocks,
            groups,
            journal,
        })
    }

    /// How many blocks so many sectors of 512 bytes are at most.
    pub(super) fn blocks_of(&self, sectors: u64) -> u64 {
        sectors.div_ceil(self.block_bytes / 512)
    }

    /// What an inode maps at most, as the disk says; none for an inode that does not exist.
    ///
    /// # Errors
    /// [`Unreadable`], also for a tree that leads beyond the file system or is larger than any file's should be.
    pub(super) fn mapping(&self, inode: u32, read: &mut Read<'_>) -> Result<Mapping, Unreadable> {
        let Some(index) = inode.checked_sub(1).filter(|_| inode <= self.inodes) else { return Ok(Mapping::default()) };
        let (group, index) = (u64::from(index / self.inodes_per_group), u64::from(index % self.inodes_per_group));
        let mut descriptor = [0; 64];
        let descriptor_bytes = self.descriptor_bytes.min(64) as usize;
        let descriptors = (self.first_data_block + 1) * self.block_bytes;
        read(descriptors + group * self.descriptor_bytes, &mut descriptor[..descriptor_bytes])?;
        // Beyond a short descriptor there are zeros.
        let table = u64::from(u32_at(&descriptor, 40)) << 32 | u64::from(u32_at(&descriptor, 8));
        let mut raw = [0; 128];
        self.read_in(table, index * self.inode_bytes, &mut raw, read)?;
        let (flags, map) = (u32_at(&raw, 32), &raw[40..100]);
        if flags & INLINE_DATA_FLAG != 0 {
            return Ok(Mapping::default());
        }
        if flags & EXTENTS_FLAG == 0 {
            return Ok(self.block_map(map));
        }
        let mut nodes = NODES_MAX;
        self.extents(Node::Inode(map), EXTENT_DEPTH_MAX + 1, &mut nodes, read)
    }

    /// Reads behind the beginning of `block`.
    fn read_in(&self, block: u64, offset: u64, bytes: &mut [u8], read: &mut Read<'_>) -> Result<(), Unreadable> {
        let start = block.checked_mul(self.block_bytes).and_then(|start| start.checked_add(offset));
        let end = |start: &u64| start.checked_add(bytes.len() as u64);
        let start = start
            .filter(|start| end(start).is_some_and(|end| end <= self.blocks * self.block_bytes))
            .ok_or(Unreadable)?;
        read(start, bytes)
    }

    /// What the block numbers of an inode without extents map at most: as much as there is below those that are not zero.
    fn block_map(&self, map: &[u8]) -> Mapping {
        let in_block = self.block_bytes / 4;
        let below = [in_block, in_block.pow(2), in_block.pow(3)];
        let indirect =
            below.iter().zip(12..).filter(|(_, place)| u32_at(map, place * 4) != 0).map(|(blocks, _)| blocks);
        let blocks = 12 + indirect.sum::<u64>();
        Mapping { blocks, extents: blocks }
    }

    /// An entry of a node, or its header as entry 0.
    fn entry(&self, node: Node<'_>, index: usize, read: &mut Read<'_>) -> Result<Entry, Unreadable> {
        let offset = index * size_of::<Entry>();
        match node {
            Node::Inode(map) => map.get(offset..).and_then(|rest| rest.first_chunk()).copied().ok_or(Unreadable),
            Node::Block(block) => {
                let mut entry = Entry::default();
                self.read_in(block, offset as u64, &mut entry, read)?;
                Ok(entry)
            }
        }
    }

    /// What is below a node, which has to be less deep than `above`. Kernel stacks are small: it holds one entry at a time.
    fn extents(&self, node: Node<'_>, above: u16, nodes: &mut u32, read: &mut Read<'_>) -> Result<Mapping, Unreadable> {
        let header = self.entry(node, 0, read)?;
        let (magic, entries, depth) = (u16_at(&header, 0), usize::from(u16_at(&header, 2)), u16_at(&header, 6));
        if entries == 0 {
            return Ok(Mapping::default());
        }
        let bytes = match node {
            Node::Inode(map) => map.len(),
            Node::Block(_) => self.block_bytes as usize,
        };
        if magic != EXTENT_MAGIC || depth >= above || (entries + 1) * size_of::<Entry>() > bytes {
            return Err(Unreadable);
        }
        let mut sum = Mapping::default();
        for index in 1..=entries {
            let entry = self.entry(node, index, read)?;
            let below = if depth == 0 {
                let length = u64::from(u16_at(&entry, 4));
                Mapping { blocks: if length > WRITTEN_MAX { length - WRITTEN_MAX } else { length }, extents: 1 }
            } else {
                *nodes = nodes.checked_sub(1).ok_or(Unreadable)?;
                let child = u64::from(u16_at(&entry, 8)) << 32 | u64::from(u32_at(&entry, 4));
                self.extents(Node::Block(child), depth, nodes, read)?
            };
            sum = Mapping { blocks: sum.blocks + below.blocks, extents: sum.extents + below.extents };
        }
        Ok(sum)
    }
}

impl From<Unreadable> for LayoutError {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name, value) => write!(f, "{name} is {value:#x}"),
            Self::Unreadable => f.write_str("the superblock cannot be read"),
        }
    }
}
