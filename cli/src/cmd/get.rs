//! `ostrakon get` and `cat`: fetch an object, or what is at a path in it, to disk or stdout. In go the arguments, out
//! comes what the SDK fetched; it verifies every byte, and writes files whole or not at all.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ostrakon::{Fetched, Link, ObjectEntry, PackPath, escape};

use super::Home;
use crate::{
    args::{ByteRange, Get, Reading},
    exit::usage,
    output::{Output, bytes_text, count_text, rate_text},
    progress::Progress,
};

/// From this many bytes and seconds on a rate says something.
const RATE_BYTES: u64 = 1 << 20;
const RATE_SECONDS: f64 = 0.5;

/// Runs `get`.
///
/// # Errors
/// As the SDK's `save`.
pub(crate) async fn run(args: Get, home: &Home, out: &Output) -> crate::Result<()> {
    let target = args.target.target()?;
    let link = home.complete(target.link(home).await?)?;
    if args.is_to_stdout() {
        return to_stdout((&link, target.path), &args.reading, home, out).await;
    }
    let to = destination(args.output.as_deref(), || match &target.path {
        Some(path) => Ok(OsStr::from_bytes(path.name()).into()),
        None => Ok(usual_name(home.listed(|objects| objects.find(&link.object))?.as_ref(), &link)),
    })?;
    let progress = Progress::new("get", out);
    let get = prepare((&link, target.path), &args.reading, home, (&progress, out))?;
    let get = get.overwrite(args.overwrite()).exclude(args.exclude);
    let fetched = get.save(to).await?;
    drop(progress);
    out.answer(&fetched, |_| text(&fetched))?;
    Ok(())
}

/// Writes an object, or a file in it, to stdout; what failed meanwhile is reported on stderr.
///
/// # Errors
/// As the SDK's `write_to`.
pub(super) async fn to_stdout(
    what: (&Link, Option<PackPath>),
    reading: &Reading,
    home: &Home,
    out: &Output,
) -> crate::Result<()> {
    let progress = Progress::new("get", out);
    let get = prepare(what, reading, home, (&progress, out))?;
    let fetched = get.write_to(tokio::io::stdout()).await?;
    drop(progress);
    out.answer(&fetched, |_| failures(&fetched))?;
    Ok(())
}

fn prepare(
    (link, path): (&Link, Option<PackPath>),
    reading: &Reading,
    home: &Home,
    (progress, out): (&Progress, &Output),
) -> crate::Result<ostrakon::Get> {
    let mut get = home.reader()?.get(link).on_event(progress.listener(out));
    if let Some(path) = path {
        get = get.path(path);
    }
    get = match reading.range {
        None => get,
        Some(ByteRange::From(first, None)) => get.range(first..),
        Some(ByteRange::From(first, Some(end))) => get.range(first..end),
        Some(ByteRange::Last(bytes)) => get.last(bytes),
    };
    if let Some(bytes_per_second) = reading.limit_download {
        get = get.limit_download(bytes_per_second);
    }
    if let Some(rows) = reading.parallel {
        get = get.parallel(rows);
    }
    Ok(get)
}

/// Where to write it: `DIR/` is a directory that it is put into under its usual name.
fn destination(output: Option<&Path>, usual: impl FnOnce() -> crate::Result<PathBuf>) -> crate::Result<PathBuf> {
    match output {
        None => usual(),
        Some(path) if path.as_os_str().is_empty() => Err(usage("-o is empty: name a file or directory to write to")),
        Some(path) if path.as_os_str().as_bytes().ends_with(b"/") || path.file_name().is_none() => {
            Ok(path.join(usual()?))
        }
        Some(path) => Ok(path.to_owned()),
    }
}

/// The name it was added by, without any directory, or else its CID.
fn usual_name(entry: Option<&ObjectEntry>, link: &Link) -> PathBuf {
    let name = entry.and_then(|entry| Path::new(&entry.name).file_name().map(PathBuf::from));
    name.unwrap_or_else(|| PathBuf::from(link.object.to_string()))
}

/// How much was written to where, how fast, and what failed meanwhile.
fn text(fetched: &Fetched) -> String {
    let mut text = fetched
        .entries
        .filter(|entries| *entries != 1)
        .map_or_else(String::new, |entries| format!("{}, ", count_text(entries, "entry", "entries")));
    text += &bytes_text(fetched.size);
    if let Some(path) = &fetched.path {
        text += &format!(" to {}", escape(path.as_os_str().as_bytes()));
    }
    let (fresh, seconds) = (fetched.size - fetched.resumed, fetched.took.as_secs_f64());
    if fresh >= RATE_BYTES && seconds >= RATE_SECONDS {
        text += &format!(" in {seconds:.1} s, {}", rate_text(fresh, seconds));
    }
    if fetched.resumed > 0 {
        text += &format!("; {} of it by an earlier attempt", bytes_text(fetched.resumed));
    }
    if fetched.reconstructed {
        text += "; some of it decoded from parity";
    }
    if fetched.bits_dropped > 0 {
        let entries = count_text(fetched.bits_dropped, "entry", "entries");
        text += &format!("\nset-user-id and set-group-id bits of {entries} were not restored");
    }
    [text, failures(fetched)].join("\n").trim_end().to_owned()
}

/// The columns that failed, a line each.
fn failures(fetched: &Fetched) -> String {
    // What is displayed names the node.
    let lines: Vec<String> = fetched.columns_failed.iter().map(|column| format!("failed: {column}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ostrakon::{FailedColumn, NodeId, ObjectId, UsedColumn};

    use super::*;

    fn fetched() -> Fetched {
        let provider = NodeId::new([2; 32]);
        let failed = FailedColumn {
            extent: 0,
            index: 1,
            provider: Some(provider),
            reason: "did not respond within 12 s".to_owned(),
            corrupt: false,
        };
        Fetched {
            object: ObjectId::new([1; 32]),
            size: 3_000_000,
            blake3: Some([3; 32]),
            entries: None,
            bits_dropped: 0,
            resumed: 0,
            columns_used: vec![UsedColumn { extent: 0, index: 5, provider }],
            columns_failed: vec![failed],
            reconstructed: true,
            fetched_bytes: 4_000_000,
            took: Duration::from_secs(2),
            path: Some("a\nb".into()),
        }
    }

    #[test]
    fn the_object_has_the_fields_that_scripts_rely_on() {
        let value = serde_json::to_value(fetched()).expect("serialises");
        assert_eq!(value["cid"], ObjectId::new([1; 32]).to_string());
        assert_eq!((value["size"].as_u64(), value["seconds"].as_f64()), (Some(3_000_000), Some(2.0)));
        assert_eq!(value["blake3"], "03".repeat(32));
        assert_eq!(
            (value["columns_used"][0]["index"].as_u64(), value["reconstructed"].as_bool()),
            (Some(5), Some(true))
        );
        assert_eq!(value["columns_used"][0]["provider"], NodeId::new([2; 32]).to_string());
        assert_eq!(value["columns_failed"][0]["reason"], "did not respond within 12 s");
        assert_eq!((value["path"].as_str(), value.get("path_hex"), value.get("entries")), (Some("a\nb"), None, None));
        let odd = Fetched { path: Some(OsStr::from_bytes(b"\xff").into()), blake3: None, ..fetched() };
        let value = serde_json::to_value(odd).expect("serialises");
        assert_eq!((value["path_hex"].as_str(), value.get("blake3")), (Some("ff"), None));
    }

    #[test]
    fn texts_are_short_and_right() {
        let check = |fetched: Fetched, expect: &str| assert_eq!(text(&fetched), expect);
        let failed = format!("failed: column 1 on {}: did not respond within 12 s", NodeId::new([2; 32]));
        let head = "2.9 MiB to a\\nb in 2.0 s, 1.4 MiB/s; some of it decoded from parity";
        check(fetched(), &format!("{head}\n{failed}"));
        let small = Fetched { size: 3, reconstructed: false, columns_failed: Vec::new(), ..fetched() };
        check(small.clone(), "3 B to a\\nb");
        check(Fetched { entries: Some(1), ..small.clone() }, "3 B to a\\nb");
        check(Fetched { entries: Some(2), ..small.clone() }, "2 entries, 3 B to a\\nb");
        let resumed = Fetched { resumed: 2, bits_dropped: 1, ..small };
        let bits = "set-user-id and set-group-id bits of 1 entry were not restored";
        check(resumed, &format!("3 B to a\\nb; 2 B of it by an earlier attempt\n{bits}"));
    }

    #[test]
    fn a_directory_is_written_into() {
        let check = |output: Option<&str>, expect: Option<&str>| {
            let to = destination(output.map(Path::new), || Ok("name".into()));
            assert_eq!(to.ok(), expect.map(PathBuf::from), "{output:?}");
        };
        check(None, Some("name"));
        check(Some("x"), Some("x"));
        check(Some("dir/"), Some("dir/name"));
        check(Some("."), Some("./name"));
        check(Some("a/.."), Some("a/../name"));
        check(Some(""), None);
    }

    #[test]
    fn the_usual_name_never_leads_out_of_the_directory() {
        let link = Link { object: ObjectId::new([1; 32]), key: None };
        let check = |name: &str, expect: Option<&str>| {
            let entry = ObjectEntry { link: link.clone(), name: name.into(), size: 1, time_ms: 1 };
            let expect = expect.map_or_else(|| link.object.to_string(), str::to_owned);
            assert_eq!(usual_name(Some(&entry), &link), PathBuf::from(expect), "{name}");
        };
        check("a.txt", Some("a.txt"));
        check("../../etc/passwd", Some("passwd"));
        check("..", None);
        check("", None);
        assert_eq!(usual_name(None, &link), PathBuf::from(link.object.to_string()));
    }
}
