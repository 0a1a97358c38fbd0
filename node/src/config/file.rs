//! The text of `node.toml`: each key with its meaning, its unit, its default and what 0 means.
//!
//! In comes a configuration, out comes a file that reads as the same configuration. The template beside this file has
//! the comments.

use super::Config;

/// The file with the defaults; keys without one are commented out.
const TEMPLATE: &str = include_str!("node.toml");

/// The file of `config`: the template with the values of `config`.
pub(super) fn text(config: &Config) -> String {
    let mut table = toml::Table::try_from(config).expect("a configuration has nothing that TOML cannot express");
    let mut text = String::new();
    for line in TEMPLATE.lines() {
        let key = line.trim_start_matches("# ").split(" = ").next().unwrap_or_default();
        match table.get(key).filter(|value| !value.is_table()).map(ToString::to_string) {
            Some(value) => {
                text.extend([key, " = ", &value, "\n"]);
                table.remove(key);
            }
            None => text.extend([line, "\n"]),
        }
    }
    // What is left is the section of a provider.
    text + &toml::to_string(&table).expect("what was read from TOML can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderConfig;

    #[test]
    fn a_file_reads_as_its_configuration() {
        let provider = ProviderConfig {
            owner_key_file: "o.key".into(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            behind_nat: true,
            map_port: Some(false),
            relayed_connections: 7,
            price_obols: ostrakon_proto::id::Amount(7),
            capacity_bytes: 9,
            bond_obols: Some(ostrakon_proto::id::Amount(8)),
            domain: crate::world::domain(1),
        };
        let checkpoint = format!("9:{}", "ab".repeat(32)).parse().ok();
        let metrics = "[::1]:9464".parse().ok();
        let full =
            Config { disk_reserve_bytes: Some(0), checkpoint, metrics, provider: Some(provider), ..Config::default() };
        for config in [Config::default(), full] {
            let text = text(&config);
            assert_eq!(toml::from_str::<Config>(&text), Ok(config), "{text}");
        }
    }

    #[test]
    fn every_key_is_explained_and_the_examples_are_valid() {
        let commented = TEMPLATE.lines().filter(|line| line.contains(" = ") || line.starts_with("# ["));
        let all: Vec<&str> = commented.map(|line| line.trim_start_matches("# ")).collect();
        let config: Config = toml::from_str(&all.join("\n")).expect("the examples are a configuration");
        assert!(config.checkpoint.is_some() && config.disk_reserve_bytes.is_some() && config.provider.is_some());
        assert!(config.metrics.is_some());
        let keys = toml::Table::try_from(&config).expect("serialises");
        assert!(keys.keys().all(|key| all.iter().any(|line| line.contains(key.as_str()))), "{keys:?}");
    }
}
