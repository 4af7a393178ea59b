// What a frame and a slot can be: the word, the sentence, the colour and the shape.
//
// The shape says the same as the colour, for those who cannot tell two colours apart; the colours also differ in brightness.

/** In the order of FrameKind in boot/src/observatory/snapshot.rs. */
const FRAME_KINDS = [
  { name: "left alone", word: "hole", dark: "#101317", light: "#d4d9de", shape: "plain", says: "No RAM, or what the kernel does not manage: the firmware's, and its own image." },
  { name: "free", word: "free", dark: "#262d36", light: "#ffffff", shape: "plain", says: "Not in use: the next page that is wanted goes here." },
  { name: "reserve", word: "reserve", dark: "#3a4450", light: "#e3ebf2", shape: "dot", says: "Free, but below the min watermark: only reclaim and the kernel may take it." },
  { name: "kernel", word: "kernel", dark: "#6d7886", light: "#8b96a3", shape: "plain", says: "The kernel's own: its page tables, stacks, buffers of devices, the initramfs." },
  { name: "page table", word: "pagetable", dark: "#a9b4c2", light: "#4f5b68", shape: "row", says: "A page table: it says where a program's pages are." },
  { name: "heap", word: "heap", dark: "#84755f", light: "#a08a68", shape: "column", says: "The kernel's heap." },
  { name: "anon. active", word: "active", dark: "#ffc24b", light: "#e69a00", shape: "plain", says: "An anonymous page, a program's own; reclaim protects it for now." },
  { name: "anon. inactive", word: "inactive", dark: "#a96f1c", light: "#f3c983", shape: "hollow", says: "An anonymous page, a program's own; reclaim may look at it next." },
  { name: "file", word: "file", dark: "#6fc3f2", light: "#2f97d4", shape: "falling", says: "A page of a file: it can be dropped and read again." },
  { name: "shared", word: "shared", dark: "#2f7fd6", light: "#174f96", shape: "pair", says: "Memory that programs share, or a file of tmpfs." },
  { name: "writeback", word: "writeback", dark: "#ff6a4d", light: "#d2401f", shape: "rising", says: "On its way to the disk." },
  { name: "swap cache", word: "swapcache", dark: "#e48fc0", light: "#b8468c", shape: "ring", says: "In memory and in a slot as well." },
  { name: "compressed", word: "compressed", dark: "#1fb58a", light: "#087a5a", shape: "cross", says: "Compressed pages, of zram or zswap." },
];

const FREE = 1;
const RESERVE = 2;

/** A slot's look: what is in it, and whether that is a page of zeros. */
const SLOT_KINDS = [
  { name: "free", word: "free", dark: "#262d36", light: "#ffffff", shape: "plain", says: "Nothing." },
  { name: "used", word: "used", dark: "#ffc24b", light: "#e69a00", shape: "plain", says: "A page that is nowhere else." },
  { name: "cached", word: "cached", dark: "#e48fc0", light: "#b8468c", shape: "ring", says: "A page that is in a frame as well." },
  { name: "owned", word: "owned", dark: "#1fb58a", light: "#087a5a", shape: "cross", says: "A backend's own." },
  { name: "bad", word: "bad", dark: "#6d7886", light: "#8b96a3", shape: "falling", says: "Never used: the header, or a bad page." },
  { name: "zero", word: "zero", dark: "#a9cfe8", light: "#7fa8c4", shape: "hollow", says: "A page of zeros: nothing was written." },
  { name: "shared", word: "shared", dark: "#2f7fd6", light: "#174f96", shape: "pair", says: "Several page tables hold it." },
];

const SLOT_FREE = 0;
const SLOT_CACHED = 2;
const SLOT_ZERO = 5;
const SLOT_SHARED = 6;

/** The bits of a folio, from the lowest. */
const FOLIO_FLAGS = PAGE_CONSTANTS.flags;
const EVENTS = {
  fault: 1, reclaim: 2, pageOut: 3, pageIn: 4, slotAllocated: 5, slotFreed: 6, submitted: 7, completed: 8, stored: 9,
  loaded: 10, flush: 11, kswapd: 12, outOfMemory: 13, swapOn: 14, swapOff: 15, taskStart: 16, taskSwitch: 17, taskEnd: 18,
  cgroupLimit: 19,
};

/** How a fault was served, in the order of FaultService. */
const FAULT_SERVICES = [
  { name: "filled with zeros", group: "new" },
  { name: "mapped to the frame of zeros", group: "new" },
  { name: "read from swap", group: "read" },
  { name: "found in the swap cache", group: "cached" },
  { name: "known to be zeros in swap", group: "cached" },
  { name: "a page of a file or of shared memory", group: "other" },
  { name: "copied to be written", group: "other" },
  { name: "made writable", group: "other" },
  { name: "already served", group: "other" },
  { name: "not served: a signal", group: "other" },
];
