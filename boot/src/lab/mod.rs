//! `cargo lab`: coursework that grades itself. Students' trees, their tests, what they hand in, and the grader.
//!
//! A lab's text, its stub and what tutors have of it are in `labs/`; what decides its points is here, outside of the
//! student's code. That code is a `no_std` crate without `unsafe`, so it has no way to a file, a process or the terminal
//! ([`confine`]); it runs as a process of its own ([`subject`]) that is asked questions through a socket and whose answers
//! are judged by one who knows what is right: nothing that it prints counts.
//!
//! | module | subject |
//! |---|---|
//! | [`definition`] | what a lab consists of |
//! | [`catalogue`] | which labs there are |
//! | [`files`] | files by their names, read from a directory and laid into one |
//! | [`seed`] | a student's name, and the numbers that follow from it |
//! | [`tree`], [`start`] | a student's tree: what is in it, and how it is laid |
//! | [`given`] | what all trees of a lab have, compiled once |
//! | [`archive`] | what is handed in, as a file |
//! | [`confine`] | what a student's code may not say |
//! | [`build`] | compiling a tree, within limits |
//! | [`subject`] | a student's code as a process, within limits |
//! | [`script`] | commands with what has to come back, which tests are written in |
//! | [`planted`] | bugs in Quire's own sources, for labs that have one look for them |
//! | [`exam`] | the checks of one hand-in, and its points |
//! | [`answers`] | files of answers, a line each |
//! | [`note`] | the form of a design note |
//! | [`l0`], [`l1`], [`l2`], [`l3`], [`l4`], [`l5`], [`l6`], [`l7`] | the judge of each lab |
//! | [`grade`], [`worker`] | many hand-ins, several at once |
//! | [`report`] | points as a table and in files |
//! | [`words`] | words that depend on a number |
//! | [`error`] | why nothing was done |

mod answers;
mod archive;
mod build;
mod catalogue;
mod confine;
mod definition;
mod error;
mod exam;
mod files;
mod given;
mod grade;
mod l0;
mod l1;
mod l2;
mod l3;
mod l4;
mod l5;
mod l6;
mod l7;
mod note;
mod planted;
mod report;
mod script;
mod seed;
mod start;
mod subject;
mod test;
mod tree;
mod words;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use error::LabError;

/// What is done with labs.
#[derive(Args, Debug)]
pub(crate) struct LabOptions {
    #[command(subcommand)]
    task: LabTask,
}

#[derive(Debug, Subcommand)]
enum LabTask {
    /// List the labs
    List,
    /// Make a student's tree for a lab
    Start {
        /// The lab, as in `cargo lab list`
        lab: String,
        /// The directory for the tree; it is made, or is empty
        directory: PathBuf,
        /// Whose tree it is: letters, digits, dots, dashes and underscores; your seeds follow from it
        #[arg(long, default_value = "guest")]
        id: String,
    },
    /// In a student's tree: compile and test what is there
    Test,
    /// In a student's tree: run your code and show what it does: a policy of L1 on accesses, L2's disk or L7's mirror on a file of
    /// commands; in L3 the machines on one
    Run {
        /// What is run, as the handout says
        name: String,
        #[command(flatten)]
        accesses: l1::Accesses,
    },
    /// In a student's tree: pack what you may edit into one file to hand in
    Submit,
    /// Grade what students handed in
    Grade {
        /// The lab
        lab: String,
        /// What was handed in: the files that `cargo lab submit` makes, or directories with what is in them
        #[arg(required = true, value_name = "SUBMISSION")]
        submissions: Vec<PathBuf>,
        /// A file whose bytes decide the hidden seeds [default: other seeds each time]
        #[arg(long, value_name = "FILE")]
        secret: Option<PathBuf>,
        /// Boot no kernel with a student's code in it: the points for that stay open
        #[arg(long)]
        without_boot: bool,
        /// Write points and words to this file: Gradescope's results.json for one submission, a list of them for several
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Write a line for each submission to this file
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
        /// Write points and words to this file in the form of `JUnit`
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
}

/// Does what the command line says.
///
/// # Errors
/// [`LabError`]: nothing was done. A student's mistakes are no error: they are shown, and the exit status is 1.
pub(crate) fn lab(options: &LabOptions) -> Result<ExitCode, LabError> {
    match &options.task {
        LabTask::List => {
            print!("{}", catalogue::list());
            Ok(ExitCode::SUCCESS)
        }
        LabTask::Start { lab, directory, id } => start::start(catalogue::find(lab)?, directory, &id.parse()?),
        LabTask::Test => test::test(),
        LabTask::Run { name, accesses } => test::run(name, accesses),
        LabTask::Submit => archive::submit(),
        LabTask::Grade { lab, submissions, secret, without_boot, json, csv, junit } => {
            let asked = report::Files { json: json.as_deref(), csv: csv.as_deref(), junit: junit.as_deref() };
            grade::grade(catalogue::find(lab)?, submissions, secret.as_deref(), !without_boot, &asked)
        }
    }
}
