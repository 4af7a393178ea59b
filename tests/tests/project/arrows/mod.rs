//! Dependencies point down: between crates as in the table here, and between the files of a crate without a circle.
//!
//! A circle that cannot be cut is named, with the reason, in the documentation of its crate, as an item under the heading
//! [`NAMED`]. Those that are to be cut are listed in `circles.txt`. Both have to say what is found, no more and no less: so they
//! shrink with the circles.

mod modules;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use modules::Imports;
use quire_boot::project;

/// Each crate with those crates of the project that it may use; what its own tests use does not count.
const CRATES: &[(&str, &[&str])] = &[
    ("quire-protocol", &[]),
    ("quire-swap", &[]),
    ("quire-backends", &["quire-swap"]),
    ("quire-compressed", &["quire-swap"]),
    // What tests run on.
    ("quire-testkit", &["quire-compressed", "quire-swap"]),
    ("quire-drivers", &["quire-protocol"]),
    ("quire-machine", &["quire-drivers", "quire-protocol", "quire-swap"]),
    // Its frames are the compressed pool's, and only it can say so of its own type.
    ("quire-memory", &["quire-compressed", "quire-swap", "quire-machine", "quire-protocol"]),
    ("quire-linux", &["quire-compressed", "quire-memory", "quire-machine", "quire-protocol", "quire-swap"]),
    (
        "quire-kernel",
        &[
            "quire-backends",
            "quire-compressed",
            "quire-drivers",
            "quire-linux",
            "quire-machine",
            "quire-memory",
            "quire-protocol",
            "quire-swap",
        ],
    ),
    ("quire-boot", &["quire-memory", "quire-protocol", "quire-swap"]),
    ("quire-image", &[]),
    ("quire-programs", &["quire-protocol", "quire-swap"]),
    ("quire-tests", &["quire-boot", "quire-protocol", "quire-swap"]),
    ("quire-boot-fuzz", &["quire-boot", "quire-protocol"]),
    ("quire-swap-fuzz", &["quire-swap"]),
    ("quire-compressed-fuzz", &["quire-compressed", "quire-swap"]),
    ("quire-linux-fuzz", &["quire-linux", "quire-machine"]),
];

/// The packages of others that the crates without any `unsafe` rest on.
const BELOW_SWAP: &[(&str, &[&str])] = &[
    ("quire-swap", &["spin"]),
    ("quire-compressed", &["lz4_flex", "miniz_oxide", "spin"]),
    ("quire-backends", &["chacha20poly1305", "zeroize"]),
];

const CIRCLES: &str = include_str!("circles.txt");

/// The heading in a crate's documentation.
const NAMED: &str = "//! # Files that import one another";

/// The circles that a crate's documentation names: the files in each item, below the directory of its root.
fn named_circles(root: &Path) -> BTreeSet<BTreeSet<PathBuf>> {
    let text = fs::read_to_string(root).unwrap();
    let section = text.split(NAMED).nth(1).unwrap_or_default();
    let section = section.split("//! #").next().unwrap_or_default();
    let files = |item: &str| {
        let quoted = item
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|quoted| Path::new(quoted).extension().is_some_and(|end| end == "rs"));
        quoted.map(|file| root.with_file_name(file)).collect()
    };
    section.split("//! - ").skip(1).map(files).collect()
}

/// The manifest of each crate, with its directory.
fn manifests() -> Vec<(PathBuf, toml::Table)> {
    let manifests = crate::files::files("Cargo.toml").into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.parent().unwrap().to_owned(), table)
    });
    manifests.filter(|(_, table): &(_, toml::Table)| table.contains_key("package")).collect()
}

fn name(manifest: &toml::Table) -> &str {
    manifest["package"]["name"].as_str().unwrap()
}

/// The packages that a manifest, or what it says of one target, rests on.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (section, value) in manifest.iter().filter_map(|(section, value)| Some((section, value.as_table()?))) {
        if section == "target" {
            value.values().filter_map(toml::Value::as_table).for_each(|target| found.extend(dependencies(target)));
        } else if section == "dependencies" || section == "build-dependencies" {
            let package = |(name, value): (&String, &toml::Value)| {
                value.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned()
            };
            found.extend(value.iter().map(package));
        }
    }
    found
}

#[test]
fn no_crate_imports_upwards() {
    for (directory, manifest) in manifests() {
        let name = name(&manifest);
        let (_, may_use) = CRATES
            .iter()
            .find(|(crate_name, _)| *crate_name == name)
            .unwrap_or_else(|| panic!("{} is not in the table: what may it use?", directory.display()));
        let used = dependencies(&manifest);
        let wrong: Vec<_> =
            used.iter().filter(|used| used.starts_with("quire-") && !may_use.contains(&used.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn the_swap_core_and_its_backends_rest_on_little() {
    for (directory, manifest) in manifests() {
        let Some((name, below)) = BELOW_SWAP.iter().find(|(below, _)| *below == name(&manifest)) else { continue };
        let mut others = dependencies(&manifest);
        others.retain(|other| !other.starts_with("quire-"));
        assert!(others.iter().eq(below.iter()), "{name} in {} rests on {others:?}", directory.display());
    }
}

/// The files that import one another, each circle sorted.
fn circles(imports: &Imports) -> Vec<BTreeSet<&PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reach(imports, file))).collect();
    let mut circles = Vec::new();
    for (file, from_it) in &reached {
        let circle: BTreeSet<&PathBuf> = from_it
            .iter()
            .copied()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(file)))
            .collect();
        if circle.len() > 1 && circle.first() == Some(file) {
            circles.push(circle);
        }
    }
    circles
}

/// The files that a file imports, and those that these import, and so on.
fn reach<'a>(imports: &'a Imports, file: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
    let (mut reached, mut pending) = (BTreeSet::new(), vec![file]);
    while let Some(next) = pending.pop() {
        pending.extend(imports.get(next).into_iter().flatten().filter(|imported| reached.insert(*imported)));
    }
    reached
}

fn shown(path: &Path) -> String {
    path.strip_prefix(project()).unwrap().display().to_string()
}

/// All circles of all crates that their documentation does not name, a file a line and an empty line between circles; and who
/// imports whom in them.
fn found_circles() -> (String, String) {
    let (mut listed, mut arrows) = (Vec::new(), String::new());
    let directories = manifests().into_iter().map(|(directory, _)| directory);
    let roots = directories.flat_map(|directory| ["src/lib.rs", "src/main.rs"].map(|root| directory.join(root)));
    for root in roots.filter(|root| root.is_file()) {
        let imports = modules::imports(&root);
        let mut named = named_circles(&root);
        for circle in circles(&imports) {
            if named.remove(&circle.iter().copied().cloned().collect::<BTreeSet<PathBuf>>()) {
                continue;
            }
            listed.push(circle.iter().map(|file| shown(file) + "\n").collect::<String>());
            for file in &circle {
                let to: Vec<_> = imports[*file].iter().filter(|to| circle.contains(to)).map(|to| shown(to)).collect();
                writeln!(arrows, "{} imports {}", shown(file), to.join(", ")).unwrap();
            }
        }
        assert!(named.is_empty(), "{} names what is no circle: {named:?}", shown(&root));
    }
    listed.sort();
    (listed.join("\n"), arrows)
}

#[test]
fn no_files_import_one_another_but_those_that_are_named_or_listed() {
    let listed: Vec<&str> = CIRCLES.lines().filter(|line| !line.starts_with('#')).collect();
    let (found, arrows) = found_circles();
    assert!(found.trim() == listed.join("\n").trim(), "{arrows}\ncircles.txt should list just this:\n\n{found}");
}
