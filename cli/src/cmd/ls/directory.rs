//! `ostrakon ls LINK`: what is in a directory, a line each, without fetching any of it.

use ostrakon::{Listing, PackReader};
use ostrakon_proto::pack::{Entry, Kind, PackPath, escape};
use serde::Serialize;

use crate::{
    args::Ls,
    cmd::{Home, interruptible},
    output::Output,
    target::Target,
    time,
};

/// Lines that are printed at a time.
const LINES: usize = 512;

/// What `ls LINK --json` prints.
#[derive(Debug, Serialize)]
struct DirectoryObject {
    cid: String,
    fetched_bytes: u64,
    entries: Vec<EntryObject>,
}

/// One entry. `path` is from the directory's top; where it is not UTF-8, `path_hex` has its bytes.
#[derive(Debug, Serialize)]
struct EntryObject {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    mode: String,
    mtime: i64,
    mtime_nanos: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// As the SDK's `list`.
pub(super) async fn run(target: &Target, args: &Ls, home: &Home, out: &Output) -> anyhow::Result<()> {
    let link = home.complete(target.link(home).await?)?;
    let client = home.reader()?;
    interruptible(async {
        let reader = client.open_pack(&link).await?;
        let path = target.path.as_ref();
        let mut lines = Lines { out, args, pending: Vec::new(), objects: Vec::new() };
        each(&reader, path, args, |entry, base| lines.take(entry, base)).await?;
        lines.end(&reader)
    })
    .await
}

/// Takes each entry that is listed, with the bytes of its path that name the directory which is.
async fn each(
    reader: &PackReader,
    path: Option<&PackPath>,
    args: &Ls,
    mut take: impl FnMut(&Entry, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut base = 0;
    if let Some(path) = path {
        let entry = reader.entry(path).await?;
        if entry.kind != Kind::Directory {
            return take(&entry, path.as_bytes().len() - path.name().len());
        }
        base = path.as_bytes().len() + 1;
    }
    let listing = if args.recursive { Listing::Everything } else { Listing::Children };
    let mut entries = reader.list(path, listing).await?;
    while let Some(entry) = entries.next().await? {
        take(&entry, base)?;
    }
    Ok(())
}

struct Lines<'a> {
    out: &'a Output,
    args: &'a Ls,
    pending: Vec<String>,
    objects: Vec<EntryObject>,
}

impl Lines<'_> {
    fn take(&mut self, entry: &Entry, base: usize) -> anyhow::Result<()> {
        if self.out.is_json() {
            self.objects.push(EntryObject::new(entry));
            return Ok(());
        }
        let name = escape(&entry.path.as_bytes()[base..]);
        self.pending.push(if self.args.long { long(entry, &name) } else { name });
        if self.pending.len() == LINES { self.print() } else { Ok(()) }
    }

    fn print(&mut self) -> anyhow::Result<()> {
        let lines: String = self.pending.drain(..).map(|line| line + "\n").collect();
        Ok(self.out.raw(lines.as_bytes())?)
    }

    fn end(mut self, reader: &PackReader) -> anyhow::Result<()> {
        if !self.out.is_json() {
            return self.print();
        }
        let (cid, fetched_bytes) = (reader.object().to_string(), reader.fetched_bytes());
        let object = DirectoryObject { cid, fetched_bytes, entries: self.objects };
        Ok(self.out.answer(&object, |_| String::new())?)
    }
}

/// Mode, size, time and name.
fn long(entry: &Entry, name: &str) -> String {
    let (kind, size, target) = match &entry.kind {
        Kind::Directory => ('d', "-".to_owned(), String::new()),
        Kind::File(file) => ('-', file.size.to_string(), String::new()),
        Kind::Symlink { target } => ('l', "-".to_owned(), format!(" -> {}", escape(target))),
    };
    let time = time::text(entry.stamp.seconds);
    format!("{kind}{} {size:>12} {time} {name}{target}", mode_text(entry.stamp.mode))
}

/// Permission bits as `ls` shows them.
fn mode_text(mode: u16) -> String {
    let bits = [0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001];
    let mut text: Vec<char> =
        bits.iter().zip("rwxrwxrwx".chars()).map(|(bit, char)| if mode & bit != 0 { char } else { '-' }).collect();
    for (bit, at, both, alone) in [(0o4000, 2, 's', 'S'), (0o2000, 5, 's', 'S'), (0o1000, 8, 't', 'T')] {
        if mode & bit != 0 {
            text[at] = if text[at] == 'x' { both } else { alone };
        }
    }
    text.into_iter().collect()
}

impl EntryObject {
    fn new(entry: &Entry) -> Self {
        let (path, path_hex) = texts(entry.path.as_bytes());
        let (kind, file, link) = match &entry.kind {
            Kind::Directory => ("directory", None, None),
            Kind::File(file) => ("file", Some(file), None),
            Kind::Symlink { target } => ("symlink", None, Some(texts(target))),
        };
        let (target, target_hex) = link.map_or((None, None), |(target, hex)| (Some(target), hex));
        Self {
            path,
            path_hex,
            kind,
            mode: format!("{:04o}", entry.stamp.mode),
            mtime: entry.stamp.seconds,
            mtime_nanos: entry.stamp.nanos,
            size: file.map(|file| file.size),
            blake3: file.map(|file| hex::encode(file.hash)),
            target,
            target_hex,
        }
    }
}

/// Bytes as text, and in hexadecimal where that loses some of them.
fn texts(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(hex::encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::pack::{FileContent, Stamp};

    use super::*;

    fn entry(path: &[u8], mode: u16, kind: Kind) -> Entry {
        let path = PackPath::new(path).expect("a path");
        Entry { path, stamp: Stamp { mode, seconds: 1_000_000_000, nanos: 5 }, kind }
    }

    #[test]
    fn long_lines_say_mode_size_time_and_name() {
        let check = |mode, kind, expect: &str| assert_eq!(long(&entry(b"x", mode, kind), "x"), expect);
        let file = Kind::File(FileContent { offset: 0, size: 4_096, hash: [0; 32] });
        check(0o644, file, "-rw-r--r--         4096 2001-09-09 01:46:40 x");
        check(0o1777, Kind::Directory, "drwxrwxrwt            - 2001-09-09 01:46:40 x");
        let target = b"a\nb".to_vec();
        check(0o777, Kind::Symlink { target }, "lrwxrwxrwx            - 2001-09-09 01:46:40 x -> a\\nb");
        assert_eq!((mode_text(0o4755), mode_text(0o7000)), ("rwsr-xr-x".to_owned(), "--S--S--T".to_owned()));
    }

    #[test]
    fn scripts_get_every_byte_of_a_name() {
        let value = |entry: &Entry| serde_json::to_value(EntryObject::new(entry)).expect("serialises");
        let plain = value(&entry(b"a/b\nc", 0o40, Kind::Directory));
        assert_eq!((plain["path"].as_str(), plain["mode"].as_str()), (Some("a/b\nc"), Some("0040")));
        assert_eq!(
            (plain["mtime"].as_i64(), plain.get("path_hex"), plain.get("size")),
            (Some(1_000_000_000), None, None)
        );
        let target = b"\xfe".to_vec();
        let odd = value(&entry(b"\xff", 0, Kind::Symlink { target }));
        assert_eq!((odd["path_hex"].as_str(), odd["target_hex"].as_str()), (Some("ff"), Some("fe")));
    }
}
