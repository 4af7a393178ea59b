//! Counted references to values of the rooms above, whose own type is found again by a comparison alone.
//!
//! Every fault asks for its thread's owner and address space as what they are. An `Arc<dyn Any>` answers that by a call, and finds
//! its value by a look at the size of its type.

use alloc::sync::Arc;
use core::any::{Any, TypeId};
use core::ops::Deref;
use core::ptr::NonNull;

use super::owner::{Owner, UserHalf};

/// An `Arc<T>`, where `T` is a trait's object.
pub(super) struct Known<T: ?Sized> {
    /// From [`Arc::into_raw`], with the reference.
    value: NonNull<T>,
    /// Of the value, not of `T`.
    type_id: TypeId,
}

// SAFETY: it is an `Arc<T>`, which may be sent for the same reason.
unsafe impl<T: ?Sized + Send + Sync> Send for Known<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Known<T> {}

impl<T: ?Sized> Known<T> {
    /// # Safety
    /// `type_id` is the value's.
    unsafe fn new(shared: Arc<T>, type_id: TypeId) -> Self {
        // SAFETY: a value's address is not null.
        let value = unsafe { NonNull::new_unchecked(Arc::into_raw(shared).cast_mut()) };
        Self { value, type_id }
    }

    /// Another reference.
    pub(super) fn share(&self) -> Arc<T> {
        let value = self.value.as_ptr().cast_const();
        // SAFETY: it came out of an `Arc`, of which this has a reference; the one that is added is the result's.
        unsafe {
            Arc::increment_strong_count(value);
            Arc::from_raw(value)
        }
    }

    /// The value, if it is an `O`.
    #[inline]
    pub(super) fn downcast<O: 'static>(&self) -> Option<&O> {
        // SAFETY: it is one, and lives while this does.
        self.is::<O>().then(|| unsafe { self.value.cast().as_ref() })
    }

    /// Another reference to the value, if it is an `O`.
    #[inline]
    pub(super) fn share_as<O: 'static>(&self) -> Option<Arc<O>> {
        if !self.is::<O>() {
            return None;
        }
        let value = self.value.as_ptr().cast_const().cast::<O>();
        // SAFETY: as in `share`; as the value is an `O`, the `Arc` was made as one of it.
        unsafe {
            Arc::increment_strong_count(value);
            Some(Arc::from_raw(value))
        }
    }

    #[inline]
    fn is<O: 'static>(&self) -> bool {
        self.type_id == TypeId::of::<O>()
    }
}

impl<T: ?Sized> Deref for Known<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it lives while this has its reference.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Drop for Known<T> {
    fn drop(&mut self) {
        // SAFETY: the reference is this value's, which goes.
        drop(unsafe { Arc::from_raw(self.value.as_ptr().cast_const()) });
    }
}

impl From<Arc<dyn Owner>> for Known<dyn Owner> {
    fn from(owner: Arc<dyn Owner>) -> Self {
        let any: &dyn Any = &*owner;
        let type_id = any.type_id();
        // SAFETY: it is what the value says of itself.
        unsafe { Self::new(owner, type_id) }
    }
}

impl From<Arc<dyn UserHalf>> for Known<dyn UserHalf> {
    fn from(half: Arc<dyn UserHalf>) -> Self {
        let any: &dyn Any = &*half;
        let type_id = any.type_id();
        // SAFETY: as above.
        unsafe { Self::new(half, type_id) }
    }
}
