//! The swap core and its backends.
