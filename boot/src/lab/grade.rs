//! Many hand-ins, several at once. Each is laid over a pristine tree; whatever it is, it gets its points and a reason, and the
//! next one is graded.

use std::{
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::{
    archive,
    build::{self, NotCompiled},
    confine,
    definition::Lab,
    error::LabError,
    exam::Exam,
    files::Files,
    planted,
    report::{self, Graded},
    seed::{Id, Seed},
    subject, tree,
    worker::Worker,
};

/// Grades them, shows the table, and writes the files that were asked for.
///
/// # Errors
/// [`LabError`]: nothing can be graded here. What is wrong with a hand-in is no error.
pub(super) fn grade(
    lab: &'static Lab,
    submissions: &[PathBuf],
    secret: Option<&Path>,
    boots: bool,
    files: &report::Files<'_>,
) -> Result<ExitCode, LabError> {
    let started = Instant::now();
    // A secret of its own for each run, from the system's source of randomness.
    let random = || {
        fs::File::open("/dev/urandom").and_then(|mut file| {
            let mut bytes = [0; 32];
            std::io::Read::read_exact(&mut file, &mut bytes).map(|()| bytes.to_vec())
        })
    };
    let secret = match secret {
        Some(path) => fs::read(path).map_err(LabError::file("read", path))?,
        None => random().map_err(LabError::file("read", "/dev/urandom"))?,
    };
    files.prepare()?;
    let pristine = tree::pristine(lab, &Id::guest())?;
    let count = thread::available_parallelism().map_or(1, usize::from).min(submissions.len());
    let workers = (0..count).map(|_| Worker::new(lab, &pristine)).collect::<Result<Vec<_>, _>>()?;
    eprintln!("{}: {} to grade, {count} at once; {}", lab.name, submissions.len(), subject::confinement());
    let references = workers.first().map_or(Ok(BTreeMap::new()), |worker| worker.prepare(lab, &pristine))?;
    let grading = Grading { lab, secret, boots, pristine, references };

    let next = AtomicUsize::new(0);
    let graded = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in &workers {
            scope.spawn(|| {
                while let Some((at, path)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    submissions.get(at).map(|path| (at, path))
                } {
                    let result = worker.grade(path, &grading);
                    eprintln!("  {:>3} of 100  {}", super::exam::points(&result.checks, None), result.name);
                    graded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut graded = graded.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    graded.sort_by_key(|(at, _)| *at);
    let graded: Vec<Graded> = graded.into_iter().map(|(_, graded)| graded).collect();
    print!("{}", report::table(&graded));
    println!("{} graded in {:.0} s", graded.len(), started.elapsed().as_secs_f64());
    files.write(lab, &graded)?;
    Ok(ExitCode::SUCCESS)
}

/// What all hand-ins of one run are graded by.
struct Grading {
    lab: &'static Lab,
    secret: Vec<u8>,
    boots: bool,
    pristine: Files,
    /// The lab's reference programs.
    references: BTreeMap<&'static str, PathBuf>,
}

impl Worker {
    /// Grades one hand-in.
    fn grade(&self, path: &Path, grading: &Grading) -> Graded {
        let started = Instant::now();
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let name = report::plain(&name);
        let mut graded = Graded { name, id: String::new(), checks: Vec::new(), remarks: Vec::new(), seconds: 0.0 };
        let judged = panic::catch_unwind(AssertUnwindSafe(|| self.judge(path, grading, &mut graded)));
        match judged {
            Ok(Ok(())) => {}
            Ok(Err(words)) => graded.remarks.push(words),
            Err(_) => graded.remarks.push("the grader itself failed here; a tutor has to look".to_owned()),
        }
        graded.seconds = started.elapsed().as_secs_f64();
        graded
    }

    fn judge(&self, path: &Path, grading: &Grading, graded: &mut Graded) -> Result<(), String> {
        let Grading { lab, secret, boots, pristine, references } = grading;
        let submission = archive::read(path, lab, pristine).map_err(|words| format!("refused: {words}"))?;
        graded.id = submission.id.to_string();
        graded.remarks = submission.remarks;
        let mut files = tree::pristine(lab, &submission.id).map_err(|error| error.to_string())?;
        for (name, contents) in submission.files {
            files.insert(name, contents);
        }
        let edited: Files = files
            .iter()
            .filter(|(name, _)| lab.editable.contains(&name.as_str()))
            .map(|(name, contents)| (name.clone(), contents.clone()))
            .collect();
        let program = match references.get(planted::MACHINES) {
            // There is no code in a hand-in.
            Some(machines) => Ok(machines.clone()),
            None => confine::check(&edited).and_then(|()| {
                self.lay(&files).map_err(|error| error.to_string())?;
                build::compile(&self.root, &["lab"]).map_err(|why| match why {
                    NotCompiled::Stopped => why.to_string(),
                    NotCompiled::Said(_) => format!("does not compile: {}", build::errors(&why)),
                })
            }),
        };
        let mut exam = Exam {
            program: &program,
            files: &edited,
            seed: Seed::new(lab.name, &submission.id, b""),
            hidden: Some(Seed::new(lab.name, &submission.id, secret)),
            references,
            tree: None,
            boots: *boots,
            on_check: |_| {},
            checks: Vec::new(),
        };
        exam.judge(lab.judge);
        graded.checks = exam.checks;
        if let Err(words) = &program {
            graded.remarks.push(words.clone());
        }
        Ok(())
    }
}
