//! Where lines go: a file that can be moved away under us, stdout, or whatever a test puts there.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the path is compared with the open file.
const RENAME_CHECK: Duration = Duration::from_secs(1);

pub(super) struct Output {
    sink: Box<dyn Write + Send>,
    file: Option<OpenFile>,
    /// The last write ended inside a line; the next one begins on a new line.
    torn: bool,
}

struct OpenFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
    checked_at: Option<Instant>,
}

/// A batch that was not written whole.
#[derive(Debug)]
pub(super) struct WriteFailed {
    pub(super) error: io::Error,
    /// Lines of the batch that are not in the log, or not whole.
    pub(super) lines: u64,
}

impl Output {
    pub(super) fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink, file: None, torn: false }
    }

    /// A handle of its own: std's stdout looks for newlines in everything that passes.
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::new(Box::new(File::from(io::stdout().as_fd().try_clone_to_owned()?))))
    }

    /// Appends to a file, which is made when it is not there: readable by owner and group only, since it holds addresses.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let metadata = file.metadata()?;
        let open =
            OpenFile { path: path.to_owned(), device_and_inode: (metadata.dev(), metadata.ino()), checked_at: None };
        Ok(Self { sink: Box::new(file), file: Some(open), torn: false })
    }

    /// Opens the path anew; on an error the old file stays in use. Does nothing for what is not a file.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(open) = &self.file {
            *self = Self::file(&open.path)?;
        }
        Ok(())
    }

    /// Reopens when the path no longer leads to the open file: it was renamed, removed or replaced.
    /// Looks at most once a second.
    pub(super) fn follow_rename(&mut self, now: Instant) -> io::Result<()> {
        let Some(open) = &mut self.file else { return Ok(()) };
        if open.checked_at.is_some_and(|at| now.saturating_duration_since(at) < RENAME_CHECK) {
            return Ok(());
        }
        open.checked_at = Some(now);
        match std::fs::metadata(&open.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == open.device_and_inode => Ok(()),
            Ok(_) => self.reopen(),
            Err(error) if error.kind() == ErrorKind::NotFound => self.reopen(),
            Err(error) => Err(error),
        }
    }

    /// Writes whole lines; says how many of them got lost on the way.
    pub(super) fn write(&mut self, batch: &[u8]) -> Result<(), WriteFailed> {
        if self.torn {
            self.write_all(b"\n").map_err(|(error, _)| WriteFailed { error, lines: lines(batch) })?;
            self.torn = false;
        }
        self.write_all(batch).map_err(|(error, written)| {
            let (done, rest) = batch.split_at_checked(written).unwrap_or((batch, b""));
            self.torn = done.last().is_some_and(|byte| *byte != b'\n');
            WriteFailed { error, lines: lines(rest) }
        })
    }

    /// Like `Write::write_all`, but says how far it came.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), bytes.len() - rest.len())),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err((error, bytes.len() - rest.len())),
            }
        }
        Ok(())
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
