//! The book's chapters, `docs/*.md`, made ready for mdBook: what they say about the code is looked up in the code.
//!
//! Beside Markdown a chapter has directives, each on a line of its own:
//!
//! | directive | what takes its place |
//! |---|---|
//! | `{{quote FILE ITEM}}` | the item of that file, without its documentation: `name`, or `Type::name` for one in an `impl` |
//! | `{{quote FILE ITEM from "TEXT" to "TEXT"}}` | the item's lines from the first with one text to the next with the other |
//! | `{{bars COLUMN "TITLE"}}` | a picture of that column of the last block of output above; with `from "TEXT"` from the line on that begins so |
//! | `{{recording PANEL "CAPTION"}}` | what the machine did at the guest's commands of this chapter, to be played: with a panel [`Beside`](crate::watch::figure::Beside) the maps |
//! | `{{curves TRACE}}` | hit ratios against memory, by the kernel's policies on a trace that a seed makes |
//!
//! A link to `../FILE#ITEM` leads to the item in a copy of the file with numbered lines. Whatever is not there is a [`Problem`],
//! which a test looks for.
//!
//! | module | subject |
//! |---|---|
//! | [`source`] | items in source files |
//! | `page`, `expand` | chapters before and after; directives and links |
//! | `bars` | pictures of what a command printed |
//! | [`blocks`] | commands in chapters, and what they print |
//! | [`session`] | those for a guest, typed into one machine |

mod bars;
pub mod blocks;
mod expand;
mod page;
pub mod session;
pub mod source;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::page::{Chapter, Expanded, Problem, directory};
use crate::{Error, project};

/// Reads the chapters.
///
/// # Errors
/// [`Error::File`].
pub fn read() -> Result<Vec<Chapter>, Error> {
    let directory = directory();
    let names = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.filter(|name| name.as_ref().map_or(true, |name| name.strip_suffix(".md").is_some())).collect()
    };
    let mut names = names().map_err(Error::file("read", &directory))?;
    names.sort();
    let chapter = |name: String| {
        let path = directory.join(&name);
        Ok(Chapter { text: fs::read_to_string(&path).map_err(Error::file("read", &path))?, name })
    };
    names.into_iter().map(chapter).collect()
}

/// Looks up all that the chapters name.
pub fn expand(chapters: &[Chapter]) -> Expanded {
    let mut expanded = Expanded::default();
    for chapter in chapters {
        let text = expand::expand(chapter, chapters, &mut expanded);
        expanded.pages.insert(chapter.name.clone(), text);
    }
    expanded
}

/// Writes pages, pictures and the copies of source files below `directory`, which mdBook takes as its source.
///
/// # Errors
/// [`Error::File`].
pub fn write(expanded: &Expanded, directory: &Path) -> Result<(), Error> {
    let put = |path: PathBuf, text: &str| {
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
        fs::write(&path, text).map_err(Error::file("write", &path))
    };
    for (name, text) in &expanded.pages {
        put(directory.join(name), text)?;
    }
    for (name, text) in &expanded.figures {
        put(directory.join("figures").join(name), text)?;
    }
    for file in &expanded.sources {
        let path = project().join(file);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        put(directory.join(source::copy_of(file)), &source::as_page(file, &text))?;
    }
    Ok(())
}
