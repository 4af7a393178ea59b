//! `cargo run -- policy`: which page goes, tried on traces of page references without booting anything.
//!
//! The policies of the kernel (`quire_memory::policy`) are run by their own code, and see what they see there: an
//! accessed bit when they look. Beside them are policies that see every access, and the optimum.
//!
//! | module | subject |
//! |---|---|
//! | [`trace`] | traces in files |
//! | [`full`] | policies that see every access |
//! | [`optimal`] | what no policy can do better |
//! | [`run`] | all policies on one trace |
//! | [`report`] | the tables |
//! | [`curves`] | the pictures |
//! | [`error`] | why nothing was tried |

mod curves;
mod error;
mod full;
pub(crate) mod optimal;
mod report;
mod run;
mod trace;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use error::PolicyError;
use quire_protocol::references::{self, Generator};
use run::{Amount, Contender};
use trace::Trace;

/// What is run on what.
#[derive(Args, Debug)]
pub(crate) struct PolicyOptions {
    /// A trace of page references: page numbers, the form of the ARC paper's traces, valgrind's lackey or perf mem;
    /// plain, gzip or xz; can be given several times
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,

    /// A trace that the seed makes, by its name; can be given several times [default: all, if no trace is given]
    #[arg(long, value_name = "NAME")]
    generate: Vec<String>,

    /// The seed of generated traces
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// How many frames there are, or how much of the trace's pages they hold; can be given several times
    /// [default: 1% 2% 5% 10% 20% 50%]
    #[arg(long, value_name = "N|P%")]
    frames: Vec<String>,

    /// How many pages the kernel's policies look at together, as its reclaim does with up to 32
    #[arg(long, value_name = "PAGES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,

    /// A policy of the kernel, or one of those that see every access, by its name; can be given several times
    /// [default: all]
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,

    /// The directory for the curves, a picture for each trace [default: target/policy]
    #[arg(long, value_name = "DIRECTORY")]
    curves: Option<PathBuf>,
}

/// Runs the policies on the traces, prints a table for each and draws its curves. All that can be wrong with the
/// options or the traces is found before.
///
/// # Errors
/// [`PolicyError`].
pub(crate) fn policy(options: &PolicyOptions) -> Result<ExitCode, PolicyError> {
    const AMOUNTS: [&str; 6] = ["1%", "2%", "5%", "10%", "20%", "50%"];
    let contenders = if options.policy.is_empty() {
        Contender::all()
    } else {
        let named = |name: &String| Contender::named(name).ok_or_else(|| PolicyError::NoSuchPolicy(name.clone()));
        options.policy.iter().map(named).collect::<Result<_, _>>()?
    };
    let amounts = if options.frames.is_empty() { AMOUNTS.map(str::to_owned).to_vec() } else { options.frames.clone() };
    let amount = |text: &String| text.parse().map_err(|wrong| PolicyError::Frames(text.clone(), wrong));
    let amounts = amounts.iter().map(amount).collect::<Result<Vec<Amount>, _>>()?;

    let generator = |name: &String| Generator::named(name).ok_or_else(|| PolicyError::NoSuchGenerator(name.clone()));
    let mut generators = options.generate.iter().map(generator).collect::<Result<Vec<_>, _>>()?;
    if options.generate.is_empty() && options.trace.is_empty() {
        generators.extend(references::ALL);
    }
    let read = options.trace.iter().map(|path| Trace::read(path)).collect::<Result<Vec<_>, _>>()?;
    let curves = curves::Directory::new(options.curves.as_deref())?;

    let made = generators.into_iter().map(|generator| (generated(generator, options.seed), generator.what));
    for (trace, what) in read.into_iter().map(|trace| (trace, "")).chain(made) {
        let results = run::run(&trace, &contenders, &amounts, options.batch as usize);
        let picture = curves.draw(&trace, &results)?;
        let picture = picture.map(|path| format!("  curves: {}\n", path.display())).unwrap_or_default();
        let report = report::report(&trace, what, &results) + &picture + "\n";
        if io::stdout().write_all(report.as_bytes()).is_err() {
            // The reader has seen enough.
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The trace that a generator makes.
fn generated(generator: &Generator, seed: u64) -> Trace {
    Trace::new(generator.name, generator.pages(seed))
}

#[cfg(test)]
mod tests;
