//! Single files with mode 755, 600, 444 and an old time to the nanosecond: both come back, unless `--no-preserve` or
//! `--public`, and are sealed as the bytes are. However an object is read, its bytes are the file's. A sparse file is
//! said to be stored in full.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use ostrakon_proto::pack::Stamp;
use ostrakon_tests::scenarios::Stage;

/// A script fails at its first command that does.
const STRICT: &str = "set -e; q='ostrakon -q'; mkdir -p meta; cd meta; what() { stat -c '%a %.9Y' \"$1\"; }\n";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    for script in [COME_BACK, ONLY_BYTES, NOT_KEPT, SPARSE] {
        stage.cluster.shell(&format!("{STRICT}{script}"))?.expect_code(0)?;
    }
    let files = sealed(stage)?;
    stage.cluster.shell("rm -r meta")?.expect_code(0)?;
    Ok(format!("3 modes, each way of reading, {files} files of nodes without a trace of them"))
}

/// To a file, to a directory, over a file, and of a file without a byte.
const COME_BACK: &str = r#"
    for mode in 755 600 444; do
        head -c 300000 /dev/urandom > f-$mode
        touch -d '2001-02-03 04:05:06.123456789 UTC' f-$mode; chmod $mode f-$mode
        link=$($q add f-$mode)
        for mask in 022 077; do
            (umask $mask; $q get $link -o back --overwrite); [ "$(what back)" = "$(what f-$mode)" ]
        done
        cmp back f-$mode
        [ "$(what back)" = "$mode 981173106.123456789" ]
        mkdir -p dir; $q get $link -o dir/; cmp dir/f-$mode f-$mode; [ "$(what dir/f-$mode)" = "$(what f-$mode)" ]
        rm -rf back dir
    done
    : > none; chmod 640 none; touch -d '1969-12-31 23:59:58.5 UTC' none
    $q get $($q add none) -o back; [ ! -s back ]; [ "$(what back)" = "$(what none)" ]; rm back
    cp f-755 suid; chmod 4755 suid
    ostrakon get $($q add suid) -o back 2>&1 | grep -q 'set-user-id .* were not restored'
    [ "$(stat -c %a back)" = 755 ]
    rm -f back suid none
"#;

/// To stdout, a fifo and a pipe, and parts of the file: its bytes, and all sizes are its own.
const ONLY_BYTES: &str = r#"
    link=$($q add f-600)
    $q get $link -o - | cmp - f-600
    $q cat $link | cmp - f-600
    mkfifo fifo; cat fifo > got & $q get $link -o fifo; wait $!; cmp got f-600; rm fifo
    $q cat $link --range 0-0 | cmp - <(head -c 1 f-600)
    $q cat $link --range 299999-299999 | cmp - <(tail -c 1 f-600)
    $q cat $link --range 299990- | cmp - <(tail -c 10 f-600)
    $q cat $link --range 299990-400000 | cmp - <(tail -c 10 f-600)
    $q cat $link --range=-20 | cmp - <(tail -c 20 f-600)
    if $q cat $link --range 300000-; then exit 1; fi
    for json in "add f-600" "add f-600 --dry-run" "status $link" "verify $link" "get $link -o got --overwrite"; do
        ostrakon --json $json > json; grep -q '"size": *300000\b' json || { echo "$json: $(cat json)"; exit 1; }
        if grep -E '"(mode|mtime[a-z_]*)"' json; then exit 1; fi
    done
    ostrakon ls --json | grep -q '"size": *300000\b'
    rm got json
"#;

/// Mode and time that are not stored are the usual ones.
const NOT_KEPT: &str = r#"
    umask 022
    for flag in --no-preserve --public; do
        $q get $($q add f-600 $flag) -o back; cmp back f-600
        [ "$(stat -c %a back)" = 644 ]; [ $(stat -c %Y back) -gt 1000000000 ]; rm back
    done
"#;

/// Said once for each object; not of a file that has no hole.
const SPARSE: &str = r#"
    mkdir tree; truncate -s 3M tree/sparse; echo end >> tree/sparse; cp --sparse=always tree/sparse sparse
    for path in sparse tree; do
        ostrakon add $path 2> said > link; grep -q '^sparse: 3.0 MiB of 3.0 MiB are holes' said
    done
    $q get $($q add sparse) -o back; cmp back sparse
    ostrakon add f-755 2>&1 | { ! grep -q sparse; }
    rm -r tree sparse back said link
"#;

/// What nodes keep of objects has neither mode nor time; what is public is found there. How many files they have.
fn sealed(stage: &Stage) -> Result<usize> {
    let stamp = Stamp { mode: 0o755, seconds: 981_173_106, nanos: 123_456_789 }.encode();
    let shown = ostrakon_tests::content::random(7, 64);
    let open = stage.cluster.files.join("meta/open");
    fs::write(&open, &shown)?;
    stage.cluster.add(&open, &["--public"])?;
    let (mut files, mut has_shown) = (0, false);
    for node in stage.cluster.status()?.nodes {
        for file in files_in(&node.data_dir)? {
            // Nodes delete files meanwhile.
            let Ok(bytes) = fs::read(&file) else { continue };
            // Of the stamp its time alone, which no other byte of the network is likely to repeat.
            ensure!(!contains(&bytes, &stamp[2..]), "{} has the time of a file", file.display());
            has_shown |= contains(&bytes, &shown[..16]);
            files += 1;
        }
    }
    ensure!(has_shown, "the search does not find what is there");
    Ok(files)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push(path),
            }
        }
    }
    Ok(files)
}
