//! What is added, opened: before a journal is made or a byte is sent, so that what cannot be read leaves nothing
//! behind.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use ostrakon_net::Workers;
use ostrakon_proto::{manifest::Content, pack::Stamp};
use rustix::fs::fstat;
use tokio::io::{AsyncRead, ReadBuf};

use super::{AddError, AddedSource, builder::AddOptions, journal::Fingerprint};
use crate::pack::{PackSource, holes, stamp, walk};

/// What is added.
pub(super) enum Input<'a> {
    /// A file or directory, which can be read again from its start.
    Path(PathBuf),
    /// A reader, until it was opened.
    Reader(Option<Stream<'a>>),
}

type Stream<'a> = Pin<Box<dyn AsyncRead + Send + 'a>>;

/// A source that was opened.
pub(super) struct Opened<'a> {
    /// What can be read again from its start: only that has a journal.
    pub(super) origin: Option<Origin>,
    /// Bytes of the source, where they are known.
    pub(super) size: Option<u64>,
    pub(super) content: Content,
    pub(super) bytes: Plaintext<'a>,
}

/// Where an opened source's bytes are.
pub(super) enum Plaintext<'a> {
    /// Read by position.
    File(FileInput, Origin),
    /// Read in order.
    Stream(InputReader<'a>),
}

/// A file, with what is known of it besides its bytes.
pub(super) struct FileInput {
    pub(super) file: File,
    /// Mode and time, where they are stored.
    pub(super) stamp: Option<Stamp>,
    /// Bytes that are holes.
    pub(super) holes: u64,
}

/// A stream of plaintext.
pub(crate) enum InputReader<'a> {
    /// A directory, packed as it is read.
    Pack(Box<PackSource>),
    /// Anything else.
    Other(Stream<'a>),
}

/// What is added again when an add resumes: which path, and which version of what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Absolute, with symlinks resolved.
    pub(super) path: PathBuf,
    /// What the user calls it.
    pub(super) name: OsString,
    pub(super) fingerprint: Fingerprint,
}

impl<'a> Input<'a> {
    /// Whether it can be read again from its start.
    pub(super) fn is_path(&self) -> bool {
        matches!(self, Self::Path(_))
    }

    /// Opens it, and finds out how long it is where that can be known.
    pub(super) async fn open(
        &mut self,
        workers: &Workers,
        options: &AddOptions,
        name: Option<&OsString>,
    ) -> Result<Opened<'a>, AddError> {
        match self {
            Self::Path(path) => open_path(path, workers, options, name).await,
            Self::Reader(reader) => {
                let bytes = Plaintext::Stream(InputReader::Other(reader.take().expect("a reader is opened once")));
                Ok(Opened { origin: None, size: options.size, content: options.content, bytes })
            }
        }
    }
}

async fn open_path(
    path: &Path,
    workers: &Workers,
    options: &AddOptions,
    name: Option<&OsString>,
) -> Result<Opened<'static>, AddError> {
    let unreadable = |error: io::Error| AddError::Unreadable { path: path.to_owned(), error };
    let whole = fs::canonicalize(path).map_err(unreadable)?;
    let metadata = fs::metadata(&whole).map_err(unreadable)?;
    let name = name.cloned().unwrap_or_else(|| usual_name(path, &whole));
    if metadata.is_dir() {
        let (at, exclude) = (whole.clone(), options.exclude.clone());
        let walked = workers.run(move || walk(&at, &exclude)).await?;
        let (size, fingerprint) = (walked.size(), walked.fingerprint());
        let origin = Origin { path: whole, name, fingerprint: Fingerprint::Other { size, digest: fingerprint } };
        let bytes = Plaintext::Stream(InputReader::Pack(Box::new(PackSource::new(walked))));
        return Ok(Opened { origin: Some(origin), size: Some(size), content: Content::Pack, bytes });
    }
    if !metadata.is_file() {
        return Err(AddError::NotAFile(path.to_owned()));
    }
    let file = File::open(&whole).map_err(unreadable)?;
    let fingerprint = fingerprint(&file.metadata().map_err(unreadable)?);
    let size = Some(fingerprint.size());
    let origin = Origin { path: whole, name, fingerprint };
    // After the fingerprint: a mode that changes between them shows at the end.
    let stat = fstat(&file).map_err(|error| unreadable(error.into()))?;
    let content = options.file_content();
    let stamp = (content == Content::StampedFile).then(|| stamp(&stat));
    let input = FileInput { holes: holes(&file, &stat), file, stamp };
    let bytes = Plaintext::File(input, origin.clone());
    Ok(Opened { origin: Some(origin), size, content, bytes })
}

/// The last part of the path; "." and ".." have none of their own.
fn usual_name(path: &Path, whole: &Path) -> OsString {
    path.file_name().or_else(|| whole.file_name()).map(OsStr::to_owned).unwrap_or_default()
}

/// The version of a file, by what the system says of it.
pub(super) fn fingerprint(metadata: &fs::Metadata) -> Fingerprint {
    Fingerprint::File {
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

impl InputReader<'_> {
    /// What of it is in the object.
    pub(super) fn into_outcome(self) -> AddedSource {
        match self {
            Self::Pack(source) => source.into_outcome(),
            Self::Other(_) => AddedSource::default(),
        }
    }
}

impl AsyncRead for InputReader<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pack(source) => Pin::new(source).poll_read(context, buffer),
            Self::Other(reader) => reader.as_mut().poll_read(context, buffer),
        }
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Reader(_) => f.write_str("Reader(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        let check = |path: &str, expect: &str| assert_eq!(usual_name(Path::new(path), Path::new("/x/here")), expect);
        check("a/b.txt", "b.txt");
        check("a/b/", "b");
        check(".", "here");
        check("..", "here");
        assert_eq!(usual_name(Path::new("/"), Path::new("/")), "");
    }
}
