//! Replies large and small: the large ones come in a box.

/// A value, out of its box if it is in one.
pub trait Unboxed<T> {
    /// The value.
    fn unboxed(self) -> T;
}

impl<T> Unboxed<T> for T {
    fn unboxed(self) -> T {
        self
    }
}

impl<T> Unboxed<T> for Box<T> {
    fn unboxed(self) -> T {
        *self
    }
}
