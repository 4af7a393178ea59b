//! Where the documentation that opens a room says that a station is, there it is: "`function` in `file.rs`", and tables with columns of
//! functions and files.

use std::{fs, path::Path};

use quire_boot::{chapters::source, project};

/// The rooms' sources, and how many names of functions with their files each says at least.
const ROOMS: [(&str, usize); 8] = [
    ("swap/src", 12),
    ("swap/compressed/src", 10),
    ("swap/backends/src", 4),
    ("kernel/machine/src", 10),
    ("kernel/memory/src", 40),
    ("kernel/linux/src", 8),
    ("kernel/src", 6),
    ("drivers/src", 6),
];

/// A function or type, and the files in one of which it is.
struct Station {
    name: String,
    files: Vec<String>,
}

fn is_file(code: &str) -> bool {
    Path::new(code).extension().is_some_and(|extension| extension == "rs")
}

/// What is set as code in a text.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The stations of running text: each name right before " in " and a file, with those that "and" or a comma ties to it.
fn in_prose(text: &str) -> Vec<Station> {
    let parts: Vec<&str> = text.split('`').collect();
    let mut stations = Vec::new();
    for file in (3..parts.len()).step_by(2).filter(|at| is_file(parts[*at]) && parts[at - 1] == " in ") {
        let mut name = file - 2;
        loop {
            stations.push(Station { name: parts[name].to_owned(), files: vec![parts[file].to_owned()] });
            if name < 3 || !matches!(parts[name - 1], " and " | ", ") || is_file(parts[name - 2]) {
                break;
            }
            name -= 2;
        }
    }
    stations
}

/// The stations of tables: the names in columns of functions, with the files of the same row.
fn in_tables(text: &str) -> Vec<Station> {
    let mut stations = Vec::new();
    let mut header: Vec<&str> = Vec::new();
    for line in text.lines() {
        if !line.starts_with('|') {
            header.clear();
            continue;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if header.is_empty() {
            header = cells;
            continue;
        }
        let of = |is_meant: fn(&str) -> bool| {
            let cells = header.iter().zip(&cells).filter(move |(title, _)| is_meant(title));
            cells.flat_map(|(_, cell)| codes(cell)).map(str::to_owned).collect::<Vec<_>>()
        };
        let files = of(|title| title == "file");
        if !files.is_empty() {
            let names = of(|title| title == "function" || title.starts_with("through "));
            stations.extend(names.into_iter().map(|name| Station { name, files: files.clone() }));
        }
    }
    stations
}

/// What is looked for: without the module that it is qualified by, as a file is named; `None` for a variant of an enum.
fn item(name: &str) -> Option<&str> {
    let starts_high = |word: &str| word.starts_with(char::is_uppercase);
    match name.rsplit_once("::") {
        Some((of, last)) if starts_high(of) => (!starts_high(last)).then_some(name),
        Some((_, last)) => Some(last),
        None => Some(name),
    }
}

#[test]
fn each_station_is_where_the_rooms_say() {
    let mut wrong = Vec::new();
    for (room, least) in ROOMS {
        let text = fs::read_to_string(project().join(room).join("lib.rs")).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
        let text = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n");
        // A station of running text may go on in the next line, which is indented in a list.
        let prose = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let stations: Vec<Station> = in_prose(&prose).into_iter().chain(in_tables(&text)).collect();
        assert!(stations.len() >= least, "only {} stations were found in {room}", stations.len());
        for Station { name, files } in stations {
            let Some(item) = item(&name) else { continue };
            let is_in = |file: &String| {
                let file = if project().join(file).exists() { file.clone() } else { format!("{room}/{file}") };
                source::lines(&file).is_ok_and(|lines| !source::items(&lines, item).is_empty())
            };
            if !files.iter().any(is_in) {
                wrong.push(format!("{room}/lib.rs: there is no {name} in {}", files.join(" or ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
