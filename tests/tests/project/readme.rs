//! The README's commands work, and the links of each document lead somewhere.

use std::{fs, path::PathBuf};

use quire_boot::{project, target};
use quire_tests::launcher::run_alone_in;

use crate::files::files;

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands in the README's blocks of shell code, and those that stand in its text.
fn commands() -> Vec<String> {
    let text = read("README.md");
    let (mut commands, mut shell, mut other) = (Vec::new(), false, false);
    for line in text.lines() {
        match line {
            "```sh" => shell = true,
            "```" if shell || other => (shell, other) = (false, false),
            _ if line.starts_with("```") => other = true,
            _ if shell => commands.extend(line.split("&&")),
            _ if other => {}
            _ => commands.extend(line.split('`').skip(1).step_by(2).filter(|code| is_ours(code))),
        }
    }
    let commands: Vec<String> = commands.into_iter().map(|command| command.trim().to_owned()).collect();
    assert!(commands.iter().any(|command| command == "cargo run"), "no command was found: {commands:?}");
    commands
}

fn is_ours(code: &str) -> bool {
    code.starts_with("cargo ") || code.starts_with("./")
}

/// A command's words; what stands in quotation marks is one.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('"').enumerate();
    parts.flat_map(|(part, text)| if part % 2 == 1 { vec![text] } else { text.split_whitespace().collect() }).collect()
}

/// Fails if the command could not do what it is meant to do, as far as that shows without a boot.
pub(crate) fn check(command: &str) {
    let words = words(command);
    match words[..] {
        ["./setup"] | ["./setup", "--with-browser"] => {
            assert!(project().join("setup").is_file(), "there is no ./setup");
        }
        ["cargo", alias @ ("kcheck" | "lint")] | ["cargo", alias @ "lab", ..] => {
            assert!(read(".cargo/config.toml").contains(&format!("\n{alias} = ")), "there is no such alias");
        }
        // Where mdBook has been built before, the whole book would be.
        ["cargo", "run", "--", "book", ref options @ ..] => {
            check_options(command, &[&["book", "--help"][..], options].concat());
        }
        ["cargo", "run", ref options @ ..] => {
            let options = options.iter().skip_while(|word| **word == "--release").skip_while(|word| **word == "--");
            check_options(command, &options.copied().collect::<Vec<_>>());
        }
        // Cargo's own, and programs of other packages.
        ["cargo", "nextest", "run", "--profile", profile] => {
            assert!(read(".config/nextest.toml").contains(&format!("[profile.{profile}]")), "there is no such profile");
        }
        ["cargo", "test", "-p", package, ref options @ ..] => check_test(command, package, options),
        ["cargo", "test"] | ["cargo", "nextest", "run"] | ["truncate" | "mkswap" | "mke2fs" | "blkid", ..] => {}
        _ => panic!("this command is not known: {command}"),
    }
}

/// There is such a crate, and it has the tests.
fn check_test(command: &str, package: &str, options: &[&str]) {
    let is_it =
        |manifest: &PathBuf| fs::read_to_string(manifest).unwrap().contains(&format!("\nname = \"{package}\"\n"));
    let manifest = files("Cargo.toml").into_iter().find(is_it);
    let tests = manifest.unwrap_or_else(|| panic!("{command}: there is no such crate")).with_file_name("tests");
    if let [.., "--test", test] | [.., "--test", test, _] = options {
        let is_there = tests.join(test).is_dir() || tests.join(test).with_extension("rs").is_file();
        assert!(is_there, "{command}: there are no such tests");
    }
}

/// The launcher takes the options and the kernel has the scenario.
fn check_options(command: &str, options: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    for pair in options.windows(2).filter(|pair| matches!(pair[0], "--disk" | "--initrd" | "--trace")) {
        // As a trace: one page.
        fs::write(directory.path().join(pair[1]), "1\n").unwrap();
    }
    let ended = run_alone_in(directory.path(), options);
    // Alone, it gets as far as looking for QEMU, for a compiler, or for a machine that runs, if nothing is wrong with its options.
    let missed = ["qemu-system-x86_64", "building the guest's programs", "there is no machine to inspect"];
    let accepted = ended.status == Some(0) || missed.iter().any(|missed| ended.messages.contains(missed));
    assert!(accepted, "{command}: {}", ended.messages);

    let scenarios = read("kernel/src/scenario/run.rs");
    for name in options.iter().filter_map(|option| option.strip_prefix("scenario=")).filter(|name| *name != "list") {
        assert!(scenarios.contains(&format!("\"{name}\",")), "{command}: there is no scenario {name}");
    }
}

#[test]
fn each_command_is_one_that_works() {
    for command in commands() {
        check(&command);
    }
}

#[test]
fn each_link_leads_somewhere() {
    // Those of the book are looked up with what else it names.
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let directory = project().join(document);
        for link in links.filter(|link| !link.starts_with("https://")) {
            let path = link.split('#').next().unwrap_or_default();
            assert!(directory.with_file_name(path).exists(), "{link} in {document} leads nowhere");
        }
    }
    assert!(read("README.md").matches("](").count() >= 5, "only these links were found");
}

#[test]
fn what_is_built_is_not_part_of_the_project() {
    let built = target().strip_prefix(project()).unwrap().display().to_string();
    assert!(read(".gitignore").lines().any(|line| line.trim_matches('/') == built), "git would take {built}");
}
