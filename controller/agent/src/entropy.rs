//! Randomness fit for keys.

/// Fills with it.
pub fn fill(out: &mut [u8]) {
    // The library gets it from the kernel; without it no key can be made and no promise kept.
    if aws_lc_rs::rand::fill(out).is_err() {
        tracing::error!("the system gives no randomness: cannot make keys");
        std::process::abort();
    }
}
