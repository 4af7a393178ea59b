//! `cargo lint` passes.

use quire_boot::toolchain::plain_command;

#[test]
fn formatting_clippy_and_documentation_are_clean() {
    let output = plain_command("cargo").arg("lint").output().unwrap();
    let [passed, said] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "cargo lint:\n{passed}\n{said}");
    assert!(passed.lines().all(|line| line.starts_with("ok ")) && passed.lines().count() >= 8, "{passed}");
}
