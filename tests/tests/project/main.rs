//! What the project promises beside its behaviour: its checks pass, its README is true, its files have the form that
//! they are meant to have.

#![forbid(unsafe_code)]

mod arrows;
mod book;
mod copy;
mod files;
mod policy;
mod reading_list;
mod readme;
mod segments;
mod stations;
