//! Real file systems that lose their power: on a loop device, cut off by the shutdown ioctl without a flush of their
//! journal, mounted again. What was written to the loop device before stays, as on a disk without a cache of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Sparse; XFS takes nothing below 300 MB.
const IMAGE_BYTES: u64 = 512 << 20;

/// How `mount` says EUCLEAN, the error of a journal that can't be replayed and of damaged metadata.
const UNCLEAN: &str = "Structure needs cleaning";

/// A file system and how it is mounted.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// ext4, `data=ordered`
    Ext4,
    /// ext4, `data=writeback`
    Ext4Writeback,
    /// ext4 with fast commits
    Ext4FastCommit,
    /// XFS
    Xfs,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Ext4, Kind::Ext4Writeback, Kind::Ext4FastCommit, Kind::Xfs];

    /// Whether a sync that is under way when the file system is cut off fails if it wrote nothing. Linux's ext4 lets
    /// it succeed: the pages are written, but the extents they went to can't be marked as written any more, which
    /// is an error that the sync does not get (seen with 6.18). A power cut ends who waits for such a sync as well,
    /// so there only what was acknowledged before the cut is promised.
    pub fn admits_lost_syncs(self) -> bool {
        self == Kind::Xfs
    }

    fn mkfs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Kind::Ext4 | Kind::Ext4Writeback => ("mkfs.ext4", &["-q", "-F"]),
            Kind::Ext4FastCommit => ("mkfs.ext4", &["-q", "-F", "-O", "fast_commit"]),
            Kind::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        }
    }

    fn mount(self) -> [&'static str; 4] {
        match self {
            Kind::Ext4 | Kind::Ext4FastCommit => ["-t", "ext4", "-o", "loop,data=ordered"],
            Kind::Ext4Writeback => ["-t", "ext4", "-o", "loop,data=writeback"],
            Kind::Xfs => ["-t", "xfs", "-o", "loop"],
        }
    }
}

/// Why power can't be cut here; `None` where it can. Makes a file system in `dir` and cuts it off.
pub fn missing(kind: Kind, dir: &Path) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may mount and cut off file systems".into());
    }
    let programs = [kind.mkfs().0, "mount", "umount"];
    if let Some(program) = programs.into_iter().find(|program| !installed(program)) {
        return Some(format!("{program} is not installed"));
    }
    let attempt = || {
        let mut volume = Volume::make(kind, &dir.join("attempt"))?;
        Switch::ready(volume.path())?.cut()?;
        match volume.mount_again()? {
            true => volume.remove(),
            false => Err("a file system that was cut off can't be mounted".into()),
        }
    };
    attempt().err()
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// A mounted file system in a file; unmounted when dropped.
pub struct Volume {
    kind: Kind,
    image: PathBuf,
    mount_point: PathBuf,
    mounted: bool,
}

impl Volume {
    /// Makes one in a new directory.
    pub fn make(kind: Kind, dir: &Path) -> Result<Self, String> {
        let io = |error| format!("{}: {error}", dir.display());
        let (image, mount_point) = (dir.join("image"), dir.join("mount"));
        fs::create_dir_all(&mount_point).map_err(io)?;
        File::create(&image).and_then(|image| image.set_len(IMAGE_BYTES)).map_err(io)?;
        let (mkfs, options) = kind.mkfs();
        run(command(mkfs).args(options).arg(&image))?;
        let mut volume = Volume { kind, image, mount_point, mounted: false };
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Unmounts it, which drops what is in memory only, and mounts it again, which replays its journal. False if the
    /// system refuses to mount it: then the file system itself did not survive.
    pub fn mount_again(&mut self) -> Result<bool, String> {
        self.unmount()?;
        match self.mount() {
            Err(error) if error.contains(UNCLEAN) => Ok(false),
            mounted => mounted.map(|()| true),
        }
    }

    /// Unmounts it and removes its directory.
    pub fn remove(mut self) -> Result<(), String> {
        if self.mounted {
            self.unmount()?;
        }
        let dir = self.image.parent().unwrap_or(&self.image);
        fs::remove_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
    }

    fn mount(&mut self) -> Result<(), String> {
        run(command("mount").args(self.kind.mount()).arg(&self.image).arg(&self.mount_point))?;
        self.mounted = true;
        Ok(())
    }

    /// Something that looks through all mounts may have it open for a moment.
    fn unmount(&mut self) -> Result<(), String> {
        let mut attempts = 0;
        while let Err(error) = run(command("umount").arg(&self.mount_point)) {
            attempts += 1;
            if attempts == 20 {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            // It goes as soon as nobody has it open.
            let _ = run(command("umount").arg("--lazy").arg(&self.mount_point));
        }
    }
}

/// A process that is ready to cut a file system off: this program has no unsafe code, and so no ioctl of its own.
pub struct Switch {
    helper: Child,
    mount_point: PathBuf,
}

/// `FS_IOC_SHUTDOWN` with `FSOP_GOING_FLAGS_NOLOGFLUSH`, once a line has come.
const PYTHON: &str = "\
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
if sys.stdin.readline(): fcntl.ioctl(fd, 0x8004587D, struct.pack('I', 2))";
const PERL: &str = "\
use Fcntl; sysopen(my $fd, $ARGV[0], O_RDONLY) or die $!; \
if (<STDIN>) { my $flags = pack('I', 2); ioctl($fd, 0x8004587D, $flags) or die $!; }";

impl Switch {
    pub fn ready(mount_point: &Path) -> Result<Self, String> {
        let ways = [("xfs_io", ["-x"].as_slice()), ("python3", &["-c", PYTHON]), ("perl", &["-e", PERL])];
        let (program, arguments) = ways
            .into_iter()
            .find(|(program, _)| installed(program))
            .ok_or("neither xfs_io nor python3 nor perl is installed, which cut file systems off")?;
        let helper = command(program)
            .args(arguments)
            .arg(mount_point)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        Ok(Switch { helper, mount_point: mount_point.to_owned() })
    }

    /// Cuts the file system off; what it has not written is lost.
    pub fn cut(mut self) -> Result<(), String> {
        let io = |error| format!("cutting off a file system: {error}");
        if let Some(mut input) = self.helper.stdin.take() {
            input.write_all(b"shutdown\n").map_err(io)?;
        }
        let status = self.helper.wait().map_err(io)?;
        match File::create(self.mount_point.join("after the end")) {
            Ok(_) => Err(format!("the file system was not cut off ({status})")),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It is done already, unless something failed before the cut.
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

/// A command that is found where those for root are, too.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
