//! A lab's solutions, which its tutor has: `tutor/model`, and `tutor/wrong/NAME`, which is the model with a bug planted.
//!
//! A wrong one has files of its own, which take the place of the model's, or a `change.txt`: the name of the file that is changed, and
//! then lines of it as a unified diff has them, without numbers. Those that begin with `-` go, those with `+` come, and those with a
//! space say where; a line `@@` stands between two places. What goes, with what says where, is there once.

use std::{io, path::Path};

use crate::{
    error::Error,
    files::{Files, collect},
};

/// The solution without a bug.
pub const MODEL: &str = "model";
const CHANGE: &str = "change.txt";

/// The files of a solution of the lab in this directory: of [`MODEL`], or of a wrong one.
///
/// # Errors
/// [`Error::File`]: it cannot be read, or its change does not fit the model.
pub fn solution(lab: &Path, name: &str) -> Result<Files, Error> {
    let tutor = lab.join("tutor");
    let mut files = Files::new();
    collect(&tutor.join(MODEL), "", &mut files)?;
    if name != MODEL {
        let wrong = tutor.join("wrong").join(name);
        collect(&wrong, "", &mut files)?;
        if let Some(change) = files.remove(CHANGE) {
            let unfit = |what| io::Error::new(io::ErrorKind::InvalidData, what);
            plant(&String::from_utf8_lossy(&change), &mut files)
                .map_err(unfit)
                .map_err(Error::file("plant", wrong.join(CHANGE)))?;
        }
    }
    Ok(files)
}

/// Makes a change, as a `change.txt` has it, to one of the files.
///
/// # Errors
/// It does not fit, in words.
pub fn plant(change: &str, files: &mut Files) -> Result<(), String> {
    let (name, places) = change.split_once('\n').ok_or("it names no file")?;
    let file = files.get_mut(name).ok_or_else(|| format!("there is no {name}"))?;
    let mut text = String::from_utf8_lossy(file).into_owned();
    for place in places.split("@@\n") {
        let side = |gone: char| -> String {
            place
                .split_inclusive('\n')
                .filter(|line| !line.starts_with(gone))
                .filter_map(|line| line.get(1..))
                .collect()
        };
        let (before, after) = (side('+'), side('-'));
        let count = text.matches(&before).count();
        if before.is_empty() || count != 1 {
            return Err(format!("this is in {name} {count} times:\n{before}"));
        }
        text = text.replacen(&before, &after, 1);
    }
    *file = text.into_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Files, plant};

    fn planted(change: &str) -> Result<String, String> {
        let mut files = Files::from([("a".to_owned(), b"one\ntwo\nthree\ntwo\n".to_vec())]);
        plant(change, &mut files)?;
        Ok(String::from_utf8(files.remove("a").unwrap()).unwrap())
    }

    #[test]
    fn lines_go_and_come_where_their_neighbours_are() {
        assert_eq!(planted("a\n one\n-two\n+2\n"), Ok("one\n2\nthree\ntwo\n".to_owned()));
        assert_eq!(planted("a\n-one\n@@\n three\n+four\n"), Ok("two\nthree\nfour\ntwo\n".to_owned()));
    }

    #[test]
    fn what_is_not_there_once_is_named() {
        assert!(planted("a\n-two\n").unwrap_err().contains("2 times"));
        assert!(planted("a\n-four\n").unwrap_err().contains("0 times"));
        assert!(planted("b\n-one\n").unwrap_err().contains("no b"));
        assert!(planted("a").is_err() && planted("a\n+four\n").is_err());
    }
}
