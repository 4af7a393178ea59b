//! A tree of the grader's own, in which hand-ins and what they are compared with are compiled.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
};

use quire_boot::{solution::solution, target};

use super::{
    build::{self, NotCompiled},
    definition::Lab,
    error::LabError,
    files::{self, Files},
    given, planted,
};

/// A tree in which hand-ins are graded one after the other. What does not change from one to the next stays compiled.
pub(super) struct Worker {
    pub(super) root: PathBuf,
    /// Held while the tree is in use.
    _lock: File,
}

impl Worker {
    /// The first tree of the lab that no other grader uses, with these files if it is new.
    pub(super) fn new(lab: &Lab, pristine: &Files) -> Result<Self, LabError> {
        let directory = target().join("lab").join(lab.name);
        fs::create_dir_all(&directory).map_err(LabError::file("make", &directory))?;
        for number in 0.. {
            let path = directory.join(format!("{number}.lock"));
            let lock = File::create(&path).map_err(LabError::file("make", &path))?;
            if lock.try_lock().is_ok() {
                let root = directory.join(number.to_string());
                if !root.exists() {
                    given::begin(lab, pristine, &root)?;
                }
                return Ok(Self { root, _lock: lock });
            }
        }
        unreachable!("there are more numbers than graders")
    }

    /// Compiles the lab's references: the stub, which fails only if the machine lacks something, and solutions; or the
    /// program that has the machines with planted bugs, whose number [`planted`] begins with.
    pub(super) fn prepare(
        &self,
        lab: &'static Lab,
        pristine: &Files,
    ) -> Result<BTreeMap<&'static str, PathBuf>, LabError> {
        let failed = |why: NotCompiled| LabError::Stub { lab: lab.name, words: why.to_string() };
        if planted::has_bugs(lab)? {
            let place = self.machines(lab, pristine)?;
            planted::check(lab, &place)?;
            return Ok(BTreeMap::from([(planted::MACHINES, place)]));
        }
        self.lay(pristine)?;
        build::compile(&self.root, &["lab"]).map_err(failed)?;
        let mut references = BTreeMap::new();
        for name in lab.references {
            let mut files = pristine.clone();
            files.extend(solution(&files::project()?.join("labs").join(lab.name), name)?);
            files.retain(|name, _| pristine.contains_key(name));
            self.lay(&files)?;
            let program = build::compile(&self.root, &["lab"]).map_err(failed)?;
            let place = self.root.join("target").join(format!("reference-{name}"));
            fs::copy(&program, &place).map_err(LabError::file("write", &place))?;
            references.insert(*name, place);
        }
        Ok(references)
    }

    /// Compiles the program of all machines with planted bugs.
    pub(super) fn machines(&self, lab: &'static Lab, pristine: &Files) -> Result<PathBuf, LabError> {
        let mut files = pristine.clone();
        planted::plant(lab, &mut files)?;
        self.lay(&files)?;
        build::compile(&self.root, &["lab"]).map_err(|why| LabError::Stub { lab: lab.name, words: why.to_string() })
    }

    pub(super) fn lay(&self, files: &Files) -> Result<(), LabError> {
        files::remove_others(&self.root, files)?;
        files::lay(&self.root, files)
    }
}
