//! Swap areas whose headers name the backend that keeps their pages.

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Image, Run};

#[test]
fn typed_areas_swap_and_an_encrypted_one_never_gives_wrong_data() {
    // Two disks on one file: what the guest writes to the second changes under the first.
    let image = Image::empty(64 << 10);
    let disk = || Disk::file(image.path()).options("file.locking=off");
    let machine =
        Machine::new().memory(Size::mebibytes(48)).disk(disk()).disk(disk()).disk(Disk::swap(Size::mebibytes(72)));
    let run = Run::script("typed", machine);
    run.figures().require_at_least("steps", 29);
    let figures = run.lines_with("pages exchanged at random").next();
    run.require(figures.is_some(), "the log's figures are not printed");
    println!("{}", figures.unwrap_or_default().trim());
    let named =
        run.lines_with("read from /dev/vda failed at slot ").filter(|line| line.contains("its page was changed"));
    run.require(named.count() > 0, "no line names the slot of a page that was changed");
    let backend = |part: &str| run.lines_with(part).next().is_some();
    run.require(backend("backend type \"paper\" is not known"), "the type is not named");
    run.require(backend("no option \"ink\""), "the option is not named");
    run.require(backend("no option \"reserve\" or not with this value"), "the value's option is not named");
}
