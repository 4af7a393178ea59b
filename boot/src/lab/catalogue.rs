//! Which labs there are.

use std::fmt::Write as _;

use super::{definition::Lab, error::LabError, l0, l1, l2, l3, l4, l5, l6, l7};

const LABS: &[&Lab] = &[&l0::LAB, &l1::LAB, &l2::LAB, &l3::LAB, &l4::LAB, &l5::LAB, &l6::LAB, &l7::LAB];

/// The lab of that name, in capital letters or not.
///
/// # Errors
/// [`LabError::NoSuchLab`].
pub(super) fn find(name: &str) -> Result<&'static Lab, LabError> {
    let found = LABS.iter().find(|lab| lab.name.eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| LabError::NoSuchLab(name.to_owned()))
}

/// The labs, a line each.
pub(super) fn list() -> String {
    let mut list = String::from("lab  week  subject\n");
    for Lab { name, week, title, .. } in LABS {
        writeln!(list, "{name:<5}{week:<6}{title}").expect("a string takes all");
    }
    list + "\nBegin with one: cargo lab start L1 ../L1 --id s123\n"
}
