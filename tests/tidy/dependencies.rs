//! Who may know whom: the map of ARCHITECTURE 2, read out of the manifests and the lock file.

use std::collections::{BTreeMap, BTreeSet};

use ostrakon_tests::source::{
    self, Source, read,
    scan::{is_word, words},
    top,
};

use crate::assert_clean;

/// Of our own crates, what each may name.
const MAP: [(&str, &[&str]); 8] = [
    ("proto", &[]),
    ("node/net", &["ostrakon-proto"]),
    ("node/transfer", &["ostrakon-proto", "ostrakon-net"]),
    ("node/client", &["ostrakon-proto", "ostrakon-net", "ostrakon-transfer"]),
    ("node", &["ostrakon-proto", "ostrakon-net", "ostrakon-transfer", "ostrakon"]),
    ("node/gateway", &["ostrakon"]),
    ("cli", &["ostrakon", "ostrakon-gateway"]),
    ("tests/lies", &["ostrakon-proto"]),
];

/// Where the node names the SDK, and what of it: the format of key files, and the light client of who owns a node.
const SDK_IN_NODE: [(&str, &[&str]); 6] = [
    ("node/src/config.rs", &["KeyFileError", "key_file"]),
    ("node/src/config/place.rs", &["key_file"]),
    ("node/src/daemon/init.rs", &["key_file"]),
    ("node/src/daemon/member.rs", &["Client", "key_file"]),
    ("node/src/daemon/network.rs", &["key_file"]),
    ("node/src/daemon/run.rs", &["key_file"]),
];

/// What a crate must never name, whatever for.
const BANNED: [(&str, &[&str]); 6] = [
    ("proto", &["tokio", "libp2p", "rocksdb", "rand", "rand_chacha", "futures", "getrandom", "tracing"]),
    ("node/net", &["rocksdb", "clap"]),
    ("node/transfer", &["rocksdb", "clap", "libp2p"]),
    ("node/client", &["rocksdb", "clap", "libp2p"]),
    ("node/gateway", &["rocksdb", "clap", "libp2p"]),
    ("cli", &["rocksdb", "libp2p"]),
];

/// Versions below which a crate is known to be unsafe (CVE-2026-32314 for yamux).
const FLOORS: [(&str, [u64; 3]); 1] = [("yamux", [0, 14, 1])];

/// What the manifest names under any `dependencies`, without those for tests only.
fn named(manifest: &str) -> BTreeSet<String> {
    let (mut names, mut inside) = (BTreeSet::new(), false);
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
            if let Some((before, name)) =
                section.rsplit_once("dependencies.").filter(|(before, _)| !before.ends_with("dev-"))
            {
                names.insert(name.to_owned());
                inside = before.ends_with("dependencies");
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name: String = line.chars().take_while(|char| !" .=".contains(*char)).collect();
            names.insert(name);
        }
    }
    names
}

fn keeps_to_the_map(package: &str, manifest: &str) -> Vec<String> {
    let look = |table: &[(&str, &'static [&'static str])]| table.iter().find(|row| row.0 == package).map(|row| row.1);
    let (allowed, banned) = (look(&MAP), look(&BANNED).unwrap_or_default());
    let ours = |name: &str| name == "ostrakon" || name.starts_with("ostrakon-");
    let wrong = |name: &&String| {
        let name = name.as_str();
        banned.contains(&name) || allowed.is_some_and(|allowed| ours(name) && !allowed.contains(&name))
    };
    named(manifest).iter().filter(wrong).map(|name| format!("{package}/Cargo.toml: may not know {name}")).collect()
}

/// Names of the SDK in the node's code, where they are not those of [`SDK_IN_NODE`].
fn node_is_no_client(file: &Source) -> Vec<String> {
    if file.package() != "node" {
        return vec![];
    }
    let allowed = SDK_IN_NODE.iter().find(|row| row.0 == file.path).map_or(&[][..], |row| row.1);
    let each = |at: usize| {
        let rest: String = file.shipped[at..].iter().take_while(|char| !";=".contains(**char)).collect();
        let path = rest.strip_prefix("ostrakon")?.strip_prefix("::")?;
        let mut names = path.split(|char| !is_word(char)).filter(|name| !name.is_empty());
        let other = names.find(|name| !allowed.contains(name))?;
        Some(file.breach(at, &format!("the node may not know `{other}` of the SDK here")))
    };
    words(&file.shipped, "ostrakon").into_iter().filter_map(each).collect()
}

/// One package of the lock file.
#[derive(Default)]
struct Locked {
    name: String,
    version: String,
    needs: Vec<String>,
}

fn locked(lock: &str) -> Vec<Locked> {
    let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
    let parse = |block: &str| {
        let mut package = Locked::default();
        for line in block.lines() {
            match line {
                _ if line.starts_with("name = ") => package.name = quoted(line),
                _ if line.starts_with("version = ") => package.version = quoted(line),
                _ if line.starts_with(" \"") => package.needs.push(quoted(line)),
                _ => {}
            }
        }
        package
    };
    lock.split("[[package]]").skip(1).map(parse).collect()
}

/// Everything that building `root` builds.
fn closure(packages: &[Locked], root: &str) -> BTreeSet<String> {
    let by_name: BTreeMap<&str, Vec<&Locked>> = packages.iter().fold(BTreeMap::new(), |mut map, package| {
        map.entry(package.name.as_str()).or_insert_with(Vec::new).push(package);
        map
    });
    let (mut seen, mut open) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(name) = open.pop() {
        let needs = by_name.get(name.as_str()).into_iter().flatten().flat_map(|package| &package.needs);
        if seen.insert(name.clone()) {
            open.extend(needs.map(|need| need.split(' ').next().unwrap_or_default().to_owned()));
        }
    }
    seen
}

/// The command and the SDK never compile the database.
fn light(lock: &str) -> Vec<String> {
    let packages = locked(lock);
    let heavy = |root: &&&str| closure(&packages, root).contains("rocksdb");
    let roots = ["ostrakon-cli", "ostrakon", "ostrakon-net", "ostrakon-proto"];
    roots.iter().filter(heavy).map(|root| format!("Cargo.lock: {root} compiles rocksdb")).collect()
}

fn above_the_floors(lock: &str) -> Vec<String> {
    let version = |text: &str| -> Vec<u64> {
        text.split(['-', '+']).next().unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    let below = |package: &Locked| {
        let floor = FLOORS.iter().find(|(name, _)| *name == package.name)?.1;
        let old = version(&package.version) < floor.to_vec();
        old.then(|| format!("Cargo.lock: {} {} is below {floor:?}", package.name, package.version))
    };
    locked(lock).iter().filter_map(below).collect()
}

#[test]
fn crates_keep_to_the_map() {
    let check = |package: &str, manifest: &str, breaches: usize| {
        assert_eq!(keeps_to_the_map(package, manifest).len(), breaches, "{package}: {manifest}");
    };
    check("proto", "[dependencies]\nblake3.workspace = true\n[dev-dependencies]\nrand = \"1\"\n", 0);
    check("proto", "[dependencies]\ntokio.workspace = true\n", 1);
    check("proto", "[target.'cfg(unix)'.dependencies]\nrand = { version = \"1\" }\n", 1);
    check("node/client", "[dependencies.rocksdb]\nversion = \"1\"\n", 1);
    check("cli", "[dependencies]\nostrakon.workspace = true\nostrakon-node.workspace = true\n", 1);
    check("cli", "[dependencies]\nostrakon.workspace = true\nostrakon-proto.workspace = true\n", 1);
    check("tests/lies", "[dependencies]\nostrakon-net.workspace = true\n", 1);
    check("node/net", "[dependencies]\nostrakon = { path = \"../client\" }\n", 1);
    for (package, _) in MAP {
        assert_clean(&keeps_to_the_map(package, &read(&top().join(package).join("Cargo.toml"))));
    }
}

#[test]
fn the_node_is_no_client() {
    let check = |path: &str, text: &str, breaches: usize| {
        assert_eq!(node_is_no_client(&Source::new(path, text)).len(), breaches, "{path}: {text}");
    };
    check("node/src/daemon/member.rs", "use ostrakon::{Client, key_file};", 0);
    check("node/src/daemon/member.rs", "use ostrakon::{Client, Profile};", 1);
    check("node/src/node.rs", "use ostrakon::key_file;", 1);
    check("node/src/node.rs", "let client = ostrakon::Client::connect();", 1);
    check("cli/src/main.rs", "use ostrakon::Client;", 0);
    assert_clean(&source::all().iter().flat_map(node_is_no_client).collect::<Vec<_>>());
}

#[test]
fn the_command_is_light() {
    let package =
        |name: &str, need: &str| format!("[[package]]\nname = \"{name}\"\ndependencies = [\n \"{need}\",\n]\n");
    let bad = package("ostrakon-cli", "ostrakon-net") + &package("ostrakon-net", "rocksdb 0.25.0");
    assert_eq!(light(&bad).len(), 2);
    assert_clean(&light(&read(&top().join("Cargo.lock"))));
}

#[test]
fn known_holes_stay_closed() {
    let lock = |version: &str| format!("[[package]]\nname = \"yamux\"\nversion = \"{version}\"\n");
    for (version, breaches) in [("0.13.10", 1), ("0.14.0", 1), ("0.14.1", 0), ("0.15.0", 0), ("1.0.0", 0)] {
        assert_eq!(above_the_floors(&lock(version)).len(), breaches, "{version}");
    }
    assert_clean(&above_the_floors(&read(&top().join("Cargo.lock"))));
}
