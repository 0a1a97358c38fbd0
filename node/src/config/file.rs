//! The text of `node.toml`: each key with its meaning, its unit, its default and what 0 means.
//!
//! In comes a configuration, out comes a file that reads as the same configuration.

use super::Config;

/// Each key in the order of the file, with its comment, and an example for a key that is not set.
const KEYS: [Key; 10] = [
    Key {
        name: "listen",
        comment: "Addresses to listen on, as libp2p multiaddresses; port 0 takes a free one.\n\
            Default: port 4001 on all interfaces, TCP and QUIC.",
        example: "",
    },
    Key {
        name: "bootstrap",
        comment: "Nodes to connect to first, as multiaddresses that end in /p2p/PEERID, in addition to those of the\n\
            genesis. Default: none.",
        example: "",
    },
    Key {
        name: "block_interval_ms",
        comment: "The longest time between two blocks when there are no transactions, in milliseconds, 10 to 600000; only\n\
            on a validator. Shorter intervals use more disk. Default: 1000.",
        example: "",
    },
    Key {
        name: "worker_threads",
        comment: "Threads for disk and hashing, 1 to 256. More threads serve more clients at a time and use more of the\n\
            machine. Default: 8.",
        example: "",
    },
    Key {
        name: "disk_reserve_bytes",
        comment: "Free disk space in bytes that columns leave untouched; 0 lets them fill the disk.\n\
            Default: 5 % of the disk, at most 10 GiB.",
        example: "10737418240",
    },
    Key {
        name: "log",
        comment: "Log filter: error, warn, info, debug or trace, also by module, as \"info,ostrakon_node=debug\".\n\
            Default: info.",
        example: "",
    },
    Key {
        name: "keep_blocks",
        comment: "The number of newest blocks that are not pruned; 0 prunes nothing, so that the ledger grows for ever.\n\
            Blocks are pruned only below the older snapshot. Default: 100000.",
        example: "",
    },
    Key {
        name: "snapshot_interval_blocks",
        comment: "Blocks between two snapshots of the ledger, for nodes that join late; 0 makes no snapshots, and then\n\
            nothing is pruned. Use the same value on all nodes of a network, so that a snapshot can be fetched from\n\
            several of them. Default: 10000.",
        example: "",
    },
    Key {
        name: "snapshot_lead_blocks",
        comment: "Restore a snapshot instead of replaying blocks if it is more than this many blocks ahead; 0 always\n\
            prefers a snapshot. Default: 1000.",
        example: "",
    },
    Key {
        name: "checkpoint",
        comment: "A block that you trust, as HEIGHT:BLOCKID, from someone who runs a node (`ostrakon-node status` shows\n\
            it). The node stops if its chain has another block at this height. Default: none.",
        example: "\"120000:0000000000000000000000000000000000000000000000000000000000000000\"",
    },
];

/// The section with which a node registers as a provider, if it is not set.
const PROVIDER: &str = "
# To register this node as a storage provider, fill in this section. A provider of the genesis needs none.
# [provider]
# owner_key_file = \"account.key\"                    # seed of the account that bonds and is paid
# addresses = [\"/ip4/203.0.113.1/tcp/4001\"]          # public addresses of this node
# price_obols = \"0.001\"                              # price of one GiB for one epoch, in obols
# capacity_bytes = 1099511627776                      # storage offered, in bytes; 0 accepts no new columns
# [provider.domain]                                   # what this node fails together with
# operator = \"example\"
# infrastructure = \"datacentre-1\"
# region = \"eu-west\"
";

/// A key of the file.
struct Key {
    name: &'static str,
    comment: &'static str,
    example: &'static str,
}

/// The file of `config`.
pub(super) fn text(config: &Config) -> String {
    let mut table = toml::Table::try_from(config).expect("a configuration has nothing that TOML cannot express");
    let mut text =
        String::from("# Configuration of an Ostrakon node. Flags and environment override it; see `run --help`.\n");
    for Key { name, comment, example } in KEYS {
        text.push('\n');
        comment.lines().for_each(|line| text.extend(["# ", line, "\n"]));
        match table.remove(name) {
            Some(value) => text.extend([name, " = ", &value.to_string(), "\n"]),
            None => text.extend(["# ", name, " = ", example, "\n"]),
        }
    }
    if table.is_empty() {
        return text + PROVIDER;
    }
    text.push('\n');
    text + &toml::to_string(&table).expect("what was read from TOML can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderConfig;

    #[test]
    fn every_key_is_explained_and_read_back() {
        let domain = crate::world::domain(1);
        let provider = ProviderConfig {
            owner_key_file: "o.key".into(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            price_obols: ostrakon_proto::id::Amount(7),
            capacity_bytes: 9,
            domain,
        };
        let checkpoint = format!("9:{}", "ab".repeat(32)).parse().ok();
        let full = Config { disk_reserve_bytes: Some(0), checkpoint, provider: Some(provider), ..Config::default() };
        for config in [Config::default(), full] {
            let text = text(&config);
            assert_eq!(toml::from_str::<Config>(&text), Ok(config), "{text}");
        }
    }

    #[test]
    fn examples_are_valid() {
        let commented = text(&Config::default());
        let shown = |line: &str| line.contains(" = ") || line.starts_with("# [");
        let example: Vec<&str> =
            commented.lines().map(|line| if shown(line) { line.trim_start_matches("# ") } else { "" }).collect();
        let config: Config = toml::from_str(&example.join("\n")).expect("the examples are a configuration");
        assert!(config.checkpoint.is_some() && config.disk_reserve_bytes.is_some() && config.provider.is_some());
    }
}
