//! What the values of a configuration must be. Pure: all that are wrong come out, each with its key and what to write.
//!
//! Not here: what depends on the machine ([`super::place`]).

use std::fmt::{self, Display};

use ostrakon_net::{address, identity};
use ostrakon_proto::limits;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{Config, ProviderConfig};

/// A key, or a file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    key: String,
    reason: String,
}

impl Wrong {
    pub(super) fn new(key: &str, reason: impl Display) -> Self {
        Self { key: key.to_owned(), reason: reason.to_string() }
    }

    /// The same of the key that names the file.
    pub(super) fn of(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.reason)
    }
}

/// All values that are wrong.
pub(super) fn values(config: &Config) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if config.listen.is_empty() {
        wrong.push(Wrong::new("listen", "needs at least one address, as /ip4/0.0.0.0/tcp/4001"));
    }
    wrong.extend(addresses("listen", &config.listen, address::listening));
    wrong.extend(config.bootstrap.iter().filter_map(|text| bootstrap(text)));
    if !(1..=256).contains(&config.worker_threads) {
        wrong.push(Wrong::new("worker_threads", "must be 1 to 256"));
    }
    wrong.extend(log_filter(&config.log).map(|reason| Wrong::new("log", reason)));
    wrong.extend(config.provider.iter().flat_map(provider));
    wrong
}

fn addresses<E: Display>(key: &str, texts: &[String], check: impl Fn(&str) -> Result<(), E>) -> Vec<Wrong> {
    let wrong = |text: &String| check(text).err().map(|error| Wrong::new(key, format!("{text:?} {error}")));
    texts.iter().filter_map(wrong).collect()
}

fn bootstrap(text: &str) -> Option<Wrong> {
    let reason = match identity::parse_address(text) {
        Ok((_, address)) => address::dialled(&address).err()?.to_string(),
        Err(_) => "is not the address of a node: write one such as /ip4/192.0.2.1/tcp/4001/p2p/ostnode1..".to_owned(),
    };
    Some(Wrong::new("bootstrap", format!("{text:?} {reason}")))
}

/// What is wrong with a log filter. A word alone would be the name of a module, so that a misspelt level logs nothing.
fn log_filter(filter: &str) -> Option<String> {
    const LEVELS: &str = "error, warn, info, debug, trace or off";
    if let Err(error) = EnvFilter::try_new(filter) {
        return Some(format!("{filter:?} is invalid ({error}): write a level, {LEVELS}, or MODULE=LEVEL, or several"));
    }
    let mut words = filter.split(',').map(str::trim);
    let is_level = |word: &str| word.contains(['=', '[']) || word.parse::<LevelFilter>().is_ok();
    let word = words.find(|word| word.is_empty() || !is_level(word))?;
    Some(match word {
        "" => format!("{filter:?} has an empty part: write a level, {LEVELS}"),
        _ => format!("{word:?} is not a level: write {LEVELS}; for a module alone write {word}=debug"),
    })
}

fn provider(offer: &ProviderConfig) -> Vec<Wrong> {
    let key = "provider.addresses";
    let mut wrong = addresses(key, &offer.addresses, announced);
    let (count, length) = (offer.addresses.len(), offer.addresses.iter().map(String::len).sum::<usize>());
    if offer.behind_nat && count > 0 {
        let reason = "must be empty with `behind_nat`: the node announces the addresses that its relays give it";
        wrong.push(Wrong::new(key, reason));
    }
    if !offer.behind_nat && !(1..=limits::ADDRESSES).contains(&count) {
        wrong.push(Wrong::new(key, format!("must be 1 to {} addresses", limits::ADDRESSES)));
    }
    if length > limits::ADDRESSES_LENGTH {
        wrong.push(Wrong::new(key, format!("must have {} characters at most together", limits::ADDRESSES_LENGTH)));
    }
    if !offer.domain.is_valid() {
        let reason = format!("must have names of 1 to {} characters of a-z 0-9 . _ -", limits::NAME);
        wrong.push(Wrong::new("provider.domain", reason));
    }
    wrong
}

/// Whether the ledger takes this address of a node, and others can dial it.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn announced(text: &str) -> Result<(), String> {
    match text {
        _ if text.contains("/p2p/") => Err("names a node: leave /p2p/ and what follows it away".to_owned()),
        _ => address::dialled(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::{Amount, NodeId};

    use super::*;
    use crate::world;

    fn config(edit: impl FnOnce(&mut Config, &mut ProviderConfig)) -> Config {
        let mut provider = ProviderConfig {
            owner_key_file: "account.key".into(),
            addresses: vec!["/dns4/node.example/tcp/4001".to_owned()],
            behind_nat: false,
            map_port: None,
            relayed_connections: 64,
            price_obols: Amount(1),
            capacity_bytes: 1,
            bond_obols: None,
            domain: world::domain(1),
        };
        let mut config = Config::default();
        edit(&mut config, &mut provider);
        Config { provider: Some(provider), ..config }
    }

    #[test]
    fn each_wrong_value_is_named_with_what_to_write() {
        type Edit = fn(&mut Config, &mut ProviderConfig);
        let one = |text: &str| vec![text.to_owned()];
        let check = |edit: &dyn Fn(&mut Config, &mut ProviderConfig), expect: &[&str]| {
            let wrong = values(&config(edit));
            let found: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            let names = |(line, expect): (&String, &&str)| expect.split(" .. ").all(|part| line.contains(part));
            assert!(found.len() == expect.len() && found.iter().zip(expect).all(names), "{found:#?}, not {expect:#?}");
        };
        let right: Edit = |_, _| {};
        check(&right, &[]);
        check(&|config, _| config.listen.clear(), &["`listen` .. needs"]);
        for (text, instead) in [
            ("127.0.0.1:4001", "/ip4/127.0.0.1/tcp/4001"),
            ("/dns4/node.example/tcp/4001", "IP address"),
            ("/invalid", "/ip4/"),
        ] {
            check(&|config, _| config.listen = one(text), &[&format!("`listen` {text:?} .. {instead}")]);
        }
        let node = NodeId::new([7; 32]);
        for (text, instead) in [
            ("/ip4/192.0.2.1/tcp/4001".to_owned(), "/p2p/ostnode1.."),
            (format!("/ip4/0.0.0.0/tcp/4001/p2p/{node}"), "means all interfaces"),
            (format!("/ip4/192.0.2.1/tcp/0/p2p/{node}"), "write the port"),
        ] {
            check(&|config, _| config.bootstrap = one(&text), &[&format!("`bootstrap` {text:?} .. {instead}")]);
        }
        let right: &dyn Fn(&mut Config, &mut ProviderConfig) =
            &|config, _| config.bootstrap = one(&format!("/dns/node.example/tcp/4001/p2p/{node}"));
        check(right, &[]);
        check(&|config, _| config.worker_threads = 0, &["`worker_threads` .. 1 to 256"]);
        for (filter, part) in [
            ("inof", "\"inof\" .. info .. inof=debug"),
            ("info,ostrakon_node", "\"ostrakon_node\" is not a level"),
            ("ostrakon_node=inof", "invalid"),
            ("", "empty"),
            ("info,", "empty"),
        ] {
            check(&|config, _| config.log = filter.to_owned(), &[&format!("`log` .. {part}")]);
        }
        for filter in ["info", "WARN", "off", "info,ostrakon_node=debug", "info,ostrakon_node[put{from=1}]=trace"] {
            check(&|config, _| config.log = filter.to_owned(), &[]);
        }
        for (text, instead) in [
            ("/invalid", "/ip4/"),
            ("/ip4/0.0.0.0/tcp/4001", "means all interfaces"),
            ("/ip4/192.0.2.1/tcp/0", "write the port"),
            ("192.0.2.1:4001", "/ip4/192.0.2.1/tcp/4001"),
            ("/ip4/192.0.2.1/tcp/4001/p2p/ostnode1x", "leave /p2p/"),
        ] {
            let expect = format!("`provider.addresses` {text:?} .. {instead}");
            check(&|_, provider| provider.addresses = one(text), &[&expect]);
        }
        check(&|_, provider| provider.addresses.clear(), &["`provider.addresses` must be 1 to 8"]);
        let long = |letter: &str| format!("/dns/{}/tcp/4001", letter.repeat(250));
        check(&|_, provider| provider.addresses = ["x", "y"].map(long).to_vec(), &["512 characters at most"]);
        check(&|_, provider| provider.behind_nat = true, &["must be empty with `behind_nat`"]);
        let right: Edit = |_, provider| {
            provider.behind_nat = true;
            provider.addresses.clear();
        };
        check(&right, &[]);
        check(&|_, provider| provider.domain.region = "EU".to_owned(), &["`provider.domain` .. a-z"]);
    }

    #[test]
    fn all_wrong_values_are_found_in_one_run() {
        let wrong = values(&config(|config, provider| {
            config.listen = vec!["127.0.0.1:4001".to_owned(), "/dns/node.example/tcp/1".to_owned()];
            config.bootstrap = vec!["x".to_owned()];
            config.worker_threads = 1000;
            config.log = "inof".to_owned();
            provider.addresses = vec!["/invalid".to_owned(), "/ip4/0.0.0.0/tcp/0".to_owned()];
            provider.domain.operator.clear();
        }));
        assert_eq!(wrong.len(), 8, "{wrong:#?}");
    }
}
