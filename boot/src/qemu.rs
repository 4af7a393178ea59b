//! QEMU's arguments: one q35 machine with one processor, no network, a serial line, and its disks.

use std::{
    env,
    path::{Path, PathBuf},
};

use quire_protocol::{COMMAND_LINE_FILE, DEBUG_EXIT_PORT, INITRD_FILE, recording::RECORDING_PORT};

use crate::{
    build::Artefacts,
    disk::AttachedDisk,
    error::Error,
    machine::{Accelerator, Console, Machine},
    option_value::option_value,
};

/// The emulator.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Where distributions put the UEFI firmware, a path a line; `./setup` reads the same file.
const FIRMWARE: &str = include_str!("../firmware-paths");

/// The firmware, wherever it is; also says whether there is a QEMU to run it in.
///
/// # Errors
/// [`Error::Missing`] names what is not there.
pub fn firmware() -> Result<PathBuf, Error> {
    let search_path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&search_path).any(|directory| directory.join(PROGRAM).is_file()) {
        return Err(Error::Missing(PROGRAM));
    }
    let found = FIRMWARE.lines().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or(Error::Missing("OVMF, the UEFI firmware for QEMU,"))
}

/// The arguments for `machine`. With a `debugger_port` the machine waits for a debugger there.
pub fn arguments(
    machine: &Machine,
    firmware: &Path,
    artefacts: &Artefacts,
    initrd: Option<&Path>,
    disks: &[AttachedDisk],
    recording: Option<&Path>,
    debugger_port: Option<u16>,
) -> Vec<String> {
    let memory = machine.installed_memory().in_bytes() / 1024;
    let accelerator = match machine.accelerator {
        Accelerator::Tcg => "tcg",
        Accelerator::Kvm => "kvm",
    };
    let serial = if machine.console == Console::Interactive { "mon:stdio" } else { "stdio" };

    let mut arguments = Arguments::default();
    if let Some(site) = &machine.site {
        let file = option_value(&site.memory().to_string_lossy());
        arguments.option("-machine", "q35,memory-backend=ram");
        arguments.option("-object", format!("memory-backend-file,id=ram,size={memory}K,mem-path={file},share=on"));
    } else {
        arguments.option("-machine", "q35");
    }
    arguments.option("-cpu", "max").option("-smp", "1").option("-accel", accelerator);
    arguments.option("-m", format!("{memory}K")).option("-bios", firmware.to_string_lossy());
    arguments.option("-serial", serial).option("-nic", "none").flag("-no-reboot");
    arguments.option("-device", format!("isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=0x04"));
    if !machine.display {
        arguments.option("-display", "none");
    }
    // The boot disk is no virtio disk, so that /dev/vda is the first disk that the person asked for.
    let image = option_value(&artefacts.image.to_string_lossy());
    arguments.option("-drive", format!("if=none,id=boot,format=raw,file={image},snapshot=on"));
    arguments.option("-device", "ide-hd,drive=boot,bootindex=0");
    for (index, disk) in disks.iter().enumerate() {
        arguments.option("-drive", format!("if=none,id=disk{index},{}", disk.drive));
        // The guest sees each error: without this QEMU would stop the whole machine when the host's disk is full.
        let device = format!("virtio-blk-pci,drive=disk{index},disable-legacy=on,rerror=report,werror=report");
        arguments.option("-device", device);
    }
    let command_line = machine.command_line();
    if !command_line.is_empty() {
        let command_line = option_value(&command_line);
        arguments.option("-fw_cfg", format!("name={COMMAND_LINE_FILE},string={command_line}"));
    }
    if let Some(initrd) = initrd {
        let file = option_value(&initrd.to_string_lossy());
        arguments.option("-fw_cfg", format!("name={INITRD_FILE},file={file}"));
    }
    if let Some(recording) = recording {
        let file = option_value(&recording.to_string_lossy());
        arguments.option("-chardev", format!("file,id=recording,path={file}"));
        arguments.option("-device", format!("isa-debugcon,iobase={RECORDING_PORT:#x},chardev=recording"));
    }
    if machine.icount {
        arguments.option("-icount", "shift=4,sleep=off");
    }
    if let Some(monitor) = &machine.monitor {
        let path = option_value(&monitor.to_string_lossy());
        arguments.option("-qmp", format!("unix:{path},server=on,wait=off"));
    }
    if let Some(port) = debugger_port {
        arguments.option("-gdb", format!("tcp:127.0.0.1:{port}")).flag("-S");
    }
    machine.qemu_arguments.iter().for_each(|argument| _ = arguments.flag(argument));
    arguments.0
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn option(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.flag(name).flag(value)
    }

    fn flag(&mut self, name: impl Into<String>) -> &mut Self {
        self.0.push(name.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::arguments;
    use crate::{Accelerator, Console, Disk, Machine, Size, build::Artefacts};

    fn line(machine: &Machine, debugger_port: Option<u16>) -> String {
        let artefacts = Artefacts { kernel: "/kernel".into(), image: "/a,b.img".into() };
        let attach = |(index, disk): (usize, &Disk)| disk.attach(Path::new("/"), index).unwrap();
        let disks: Vec<_> = machine.disks.iter().enumerate().map(attach).collect();
        let arguments = arguments(machine, Path::new("/ovmf"), &artefacts, None, &disks, None, debugger_port);
        format!(" {} ", arguments.join(" "))
    }

    #[test]
    fn the_disks_come_in_order_after_the_boot_disk() {
        let line = line(&Machine::new().disk(Disk::file("/one")).disk(Disk::drive("driver=null-co")), None);
        let order = [
            "-drive if=none,id=boot,format=raw,file=/a,,b.img,snapshot=on -device ide-hd,drive=boot,bootindex=0",
            "-drive if=none,id=disk0,format=raw,file=/one,discard=unmap -device virtio-blk-pci,drive=disk0,",
            "-drive if=none,id=disk1,driver=null-co -device virtio-blk-pci,drive=disk1,",
        ];
        let places: Vec<_> =
            order.iter().map(|part| line.find(part).unwrap_or_else(|| panic!("{part}: {line}"))).collect();
        assert!(places.is_sorted(), "{line}");
    }

    #[test]
    fn firmware_gets_its_memory_and_the_kernel_its_limit() {
        let small = line(&Machine::new().memory(Size::mebibytes(32)).append("a,b"), None);
        assert!(small.contains(" -m 65536K ") && small.contains("string=mem=32M a,,b "), "{small}");
        let large = line(&Machine::new().memory(Size::bytes((65 << 20) + 1)).append("a"), None);
        assert!(large.contains(" -m 66564K ") && large.contains("string=a "), "{large}");
        let silent = line(&Machine::new(), None);
        assert!(!silent.contains("-fw_cfg"), "{silent}");
    }

    #[test]
    fn the_initramfs_is_a_file_for_the_kernel() {
        let artefacts = Artefacts { kernel: "/kernel".into(), image: "/image".into() };
        let initrd = Some(Path::new("/a,b.cpio"));
        let line = arguments(&Machine::new(), Path::new("/ovmf"), &artefacts, initrd, &[], None, None).join(" ");
        assert!(line.contains("-fw_cfg name=opt/org.quire/initrd,file=/a,,b.cpio"), "{line}");
    }

    #[test]
    fn each_wish_adds_its_arguments_and_nobody_elses() {
        let plain = line(&Machine::new(), None);
        for (part, wish) in [
            (" -accel kvm ", line(&Machine::new().accelerator(Accelerator::Kvm), None)),
            (" -icount shift=4,sleep=off ", line(&Machine::new().icount(), None)),
            (" -gdb tcp:127.0.0.1:1234 -S ", line(&Machine::new(), Some(1234))),
            (" -qmp unix:/a,,b,server=on,wait=off ", line(&Machine::new().monitored_at("/a,b"), None)),
            (" -rtc base=utc ", line(&Machine::new().qemu_arguments(["-rtc", "base=utc"]), None)),
            (" -serial mon:stdio ", line(&Machine::new().console(Console::Interactive), None)),
        ] {
            assert!(wish.contains(part) && !plain.contains(part), "{wish}");
        }
        let hidden = " -display none ";
        assert!(plain.contains(hidden) && !line(&Machine::new().display(), None).contains(hidden), "{plain}");
    }
}
