//! Who makes calls.

/// A user of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: &'static str,
    pub(super) number: u32,
}

/// Who makes calls.
pub(super) const USERS: [User; 2] = [User { name: "root", number: 0 }, User { name: "guest", number: 1000 }];
