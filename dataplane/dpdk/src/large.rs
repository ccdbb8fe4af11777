//! An allocator that asks for large pages where they pay: in tables.
//!
//! # Problem
//!
//! A table of a million entries lies in ten thousand pages of 4 KiB. A look-up at random then misses not only the cache but the
//! processor's memory of where pages are, and a walk over the page tables is more misses.
//!
//! # Idea
//!
//! ```text
//!  size < 2 MiB   the system's allocator, as ever
//!  size ≥ 2 MiB   the same, begun at a multiple of 2 MiB, and the kernel is told (MADV_HUGEPAGE) that large pages are welcome
//! ```
//!
//! It is advice: a kernel without transparent huge pages, or without free ones, gives small pages, and nothing else changes. Programs that
//! hold tables install it: `#[global_allocator] static MEMORY: LargePages = LargePages;`
//!
//! # Cost
//!
//! Up to 2 MiB of address space for each large allocation. What it gains, `make bench` shows in P3 and P8.

use nix::sys::mman::{MmapAdvise, madvise};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;

/// Octets of a large page, on x86-64 and on most arm64.
const LARGE: usize = 2 << 20;

/// The system's allocator, with large pages for large things.
#[derive(Debug, Clone, Copy, Default)]
pub struct LargePages;

/// The layout that the system's allocator is asked for. It depends on `layout` alone, so that memory is given back as it was taken.
fn asked(layout: Layout) -> Layout {
    if layout.size() < LARGE {
        return layout;
    }
    // Sizes so near to `isize::MAX` that they cannot be aligned stay as they are, and are refused by the system.
    layout.align_to(LARGE).unwrap_or(layout)
}

fn welcome_large_pages(memory: *mut u8, layout: Layout) {
    // Whole pages only: what follows the last of them may belong to somebody else.
    let whole = layout.size() & !(LARGE - 1);
    let Some(memory) = NonNull::new(memory.cast()).filter(|_| whole > 0 && layout.align() >= LARGE) else {
        return;
    };
    // SAFETY: the range lies inside memory that was just allocated and that nobody else knows of; the advice changes none of its content.
    let _advice = unsafe { madvise(memory, whole, MmapAdvise::MADV_HUGEPAGE) };
}

// SAFETY: all memory is the system allocator's, asked for and given back with the same layout, `asked(layout)`, whose size is that of `layout` and
// whose alignment is at least as large.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let asked = asked(layout);
        // SAFETY: the caller's size is not 0, and `asked` keeps it.
        let memory = unsafe { System.alloc(asked) };
        welcome_large_pages(memory, asked);
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < LARGE {
            // SAFETY: as in `alloc`.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // The advice first: zeros are then written into large pages.
        // SAFETY: as in `alloc`.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: `layout.size()` octets from here on were just allocated.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `alloc` with this layout, hence from the system with `asked(layout)`.
        unsafe { System.dealloc(memory, asked(layout)) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.size() < LARGE && new_size < LARGE {
            // SAFETY: both sizes are asked for as they are; the rest is the caller's promise.
            return unsafe { System.realloc(memory, layout, new_size) };
        }
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, is no more than `isize::MAX`.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller promises that `new_size` is not 0.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both are live allocations of at least so many octets, and a new one overlaps no other.
            unsafe { std::ptr::copy_nonoverlapping(memory, moved, layout.size().min(new_size)) };
            // SAFETY: the caller's memory, of the caller's layout.
            unsafe { self.dealloc(memory, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    /// Whether `size` octets at `memory` hold their numbers.
    fn holds(memory: *const u8, size: usize) -> bool {
        // SAFETY: callers give allocations of at least `size` octets, all written.
        let octets = unsafe { std::slice::from_raw_parts(memory, size) };
        octets.iter().enumerate().all(|(at, &octet)| octet == at as u8)
    }

    fn fill(memory: *mut u8, size: usize) {
        for at in 0..size {
            // SAFETY: callers give allocations of at least `size` octets.
            unsafe { memory.add(at).write(at as u8) };
        }
    }

    #[test]
    fn what_is_large_begins_at_a_large_page_and_what_is_small_is_left_alone() {
        for (size, large) in [(LARGE - 1, false), (LARGE, true), (5 * LARGE + 77, true)] {
            // SAFETY: the size is not 0; the memory is given back with the same layout.
            unsafe {
                let memory = LargePages.alloc(layout(size));
                assert!(!memory.is_null());
                if large {
                    assert_eq!(memory as usize % LARGE, 0);
                }
                fill(memory, size);
                assert!(holds(memory, size));
                LargePages.dealloc(memory, layout(size));
            }
        }
    }

    #[test]
    fn zeroed_is_zero_and_content_survives_growing_and_shrinking_over_the_border() {
        // SAFETY: sizes are not 0; each step uses the layout of the one before.
        unsafe {
            let zeros = LargePages.alloc_zeroed(layout(3 * LARGE));
            assert!(
                std::slice::from_raw_parts(zeros, 3 * LARGE)
                    .iter()
                    .all(|&octet| octet == 0)
            );
            LargePages.dealloc(zeros, layout(3 * LARGE));

            let sizes = [1000, LARGE - 1, LARGE, 4 * LARGE + 1, 2 * LARGE, 500];
            let mut memory = LargePages.alloc(layout(sizes[0]));
            fill(memory, sizes[0]);
            for step in sizes.windows(2) {
                memory = LargePages.realloc(memory, layout(step[0]), step[1]);
                assert!(holds(memory, step[0].min(step[1])));
                fill(memory, step[1]);
            }
            LargePages.dealloc(memory, layout(sizes[sizes.len() - 1]));
        }
    }
}
