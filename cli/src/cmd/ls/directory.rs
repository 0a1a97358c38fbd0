//! `ostrakon ls LINK...`: what is in directories, a line each, without fetching any of it.

use ostrakon::{Entry, EntryKind as Kind, Listing, ObjectId, PackReader, escape};
use serde::Serialize;

use crate::{args::Ls, cmd::Home, output::Output, target::Target, time};

/// Lines that are printed at a time.
const LINES: usize = 512;

/// What `ls LINK --json` prints; of several links an array of these, as `directories`.
#[derive(Debug, Serialize)]
struct Directory {
    cid: ObjectId,
    fetched_bytes: u64,
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Directories {
    directories: Vec<Directory>,
}

/// Runs the command.
///
/// # Errors
/// As the SDK's `list`.
pub(super) async fn run(targets: &[Target], args: &Ls, home: &Home, out: &Output) -> crate::Result<()> {
    let client = home.reader()?;
    let mut directories = Vec::new();
    for target in targets {
        let link = home.complete(target.link(home).await?)?;
        let reader = client.open_pack(&link).await?;
        let title = (targets.len() > 1).then(|| title(target, link.object));
        let mut lines = Lines { out, args, pending: title.into_iter().collect(), entries: Vec::new() };
        each(&reader, target, &mut lines).await?;
        let (cid, fetched_bytes, entries) = (link.object, reader.fetched_bytes(), lines.end()?);
        directories.push(Directory { cid, fetched_bytes, entries });
    }
    if out.is_json() {
        match directories.len() {
            1 => out.answer(&directories[0], |_| String::new())?,
            _ => out.answer(&Directories { directories }, |_| String::new())?,
        }
    }
    Ok(())
}

/// The line before one of several directories: never the link, which has the key.
fn title(target: &Target, object: ObjectId) -> String {
    let path = target.path.as_ref().map_or_else(String::new, |path| format!("/{path}"));
    format!("{object}{path}:")
}

/// Takes each entry that is listed, with the bytes of its path that name the directory that is.
async fn each(reader: &PackReader, target: &Target, lines: &mut Lines<'_>) -> crate::Result<()> {
    let (path, mut base) = (target.path.as_ref(), 0);
    if let Some(path) = path {
        let entry = reader.entry(path).await?;
        if entry.kind != Kind::Directory {
            return lines.take(entry, path.as_bytes().len() - path.name().len());
        }
        base = path.as_bytes().len() + 1;
    }
    let listing = if lines.args.recursive { Listing::Everything } else { Listing::Children };
    let mut entries = reader.list(path, listing).await?;
    while let Some(entry) = entries.next().await? {
        lines.take(entry, base)?;
    }
    Ok(())
}

struct Lines<'a> {
    out: &'a Output,
    args: &'a Ls,
    pending: Vec<String>,
    entries: Vec<Entry>,
}

impl Lines<'_> {
    fn take(&mut self, entry: Entry, base: usize) -> crate::Result<()> {
        if self.out.is_json() {
            self.entries.push(entry);
            return Ok(());
        }
        let name = escape(&entry.path.as_bytes()[base..]);
        self.pending.push(if self.args.long { long(&entry, &name) } else { name });
        if self.pending.len() >= LINES { self.print() } else { Ok(()) }
    }

    fn print(&mut self) -> crate::Result<()> {
        let lines: String = self.pending.drain(..).map(|line| line + "\n").collect();
        Ok(self.out.raw(lines.as_bytes())?)
    }

    /// Prints the rest; the entries where they are printed as JSON.
    fn end(mut self) -> crate::Result<Vec<Entry>> {
        if !self.out.is_json() {
            self.print()?;
        }
        Ok(self.entries)
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

#[cfg(test)]
mod tests {
    use ostrakon::{FileContent, PackPath, Stamp};

    use super::*;

    #[test]
    fn long_lines_have_mode_size_time_and_name() {
        let entry = |mode, kind| {
            let stamp = Stamp { mode, seconds: 1_000_000_000, nanos: 5 };
            Entry { path: PackPath::new(&b"x"[..]).expect("a path"), stamp, kind }
        };
        let check = |mode, kind, expect: &str| assert_eq!(long(&entry(mode, kind), "x"), expect);
        let file = Kind::File(FileContent { offset: 0, size: 4_096, hash: [0; 32] });
        check(0o644, file, "-rw-r--r--         4096 2001-09-09 01:46:40 x");
        check(0o1777, Kind::Directory, "drwxrwxrwt            - 2001-09-09 01:46:40 x");
        let target = b"a\nb".to_vec();
        check(0o777, Kind::Symlink { target }, "lrwxrwxrwx            - 2001-09-09 01:46:40 x -> a\\nb");
        assert_eq!((mode_text(0o4755), mode_text(0o7000)), ("rwsr-xr-x".to_owned(), "--S--S--T".to_owned()));
    }
}
