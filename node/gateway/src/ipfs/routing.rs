//! Delegated Routing V1: who provides a block. Of what is in a public bucket it is this gateway.

use hyper::{HeaderMap, header::HOST};
use multibase::Base;
use ostrakon::{AccountId, Keypair};
use serde::Serialize;

/// This gateway, as it is named in routing.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    /// Whom clients think to speak to; they do not, for HTTP has no use of it. It tells nothing of the account.
    peer: String,
    is_tls: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Providers {
    providers: Vec<Record>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    schema: &'static str,
    #[serde(rename = "ID")]
    id: String,
    addrs: Vec<String>,
    protocols: [&'static str; 1],
}

impl Provider {
    /// A provider named by this seed, who serves HTTPS or HTTP.
    pub(crate) fn new(seed: &[u8; 32], is_tls: bool) -> Self {
        let key: AccountId = Keypair::from_seed(seed).public();
        // The identity of a public key in protobuf: its type is 1, Ed25519.
        let bytes = [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], key.bytes()].concat();
        Self { peer: Base::Base58Btc.encode(bytes), is_tls }
    }

    /// The answer to who provides: in JSON, or each on a line of its own.
    pub(crate) fn text(&self, headers: &HeaderMap, provides: bool, by_line: bool) -> serde_json::Result<String> {
        let address = self.address(headers).filter(|_| provides);
        let records: Vec<Record> = address.map(|address| self.record(address)).into_iter().collect();
        if by_line {
            let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
            return Ok(lines?.into_iter().map(|line| line + "\n").collect());
        }
        serde_json::to_string(&Providers { providers: records })
    }

    fn record(&self, address: String) -> Record {
        let (schema, id) = ("peer", self.peer.clone());
        Record { schema, id, addrs: vec![address], protocols: ["transport-ipfs-gateway-http"] }
    }

    /// The address that the client reached this gateway by.
    fn address(&self, headers: &HeaderMap) -> Option<String> {
        let host = headers.get(HOST)?.to_str().ok()?;
        let authority: hyper::http::uri::Authority = host.parse().ok()?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let kind = match name.parse() {
            Ok(std::net::IpAddr::V4(_)) => "ip4",
            Ok(std::net::IpAddr::V6(_)) => "ip6",
            Err(_) => "dns",
        };
        let (usual, http) = if self.is_tls { (443, "tls/http") } else { (80, "http") };
        Some(format!("/{kind}/{name}/tcp/{}/{http}", authority.port_u16().unwrap_or(usual)))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_gateway_is_where_it_was_reached() {
        let provider = Provider::new(&[1; 32], false);
        assert!(provider.peer.starts_with("12D3KooW"), "{}", provider.peer);
        let steps = [
            ("127.0.0.1:9000", "/ip4/127.0.0.1/tcp/9000/http"),
            ("[::1]:9000", "/ip6/::1/tcp/9000/http"),
            ("s3.example.org", "/dns/s3.example.org/tcp/80/http"),
        ];
        for (host, address) in steps {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            assert_eq!(provider.address(&headers).as_deref(), Some(address));
        }
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:1"))]);
        let peer = &provider.peer;
        let record = format!(
            "{{\"Schema\":\"peer\",\"ID\":\"{peer}\",\"Addrs\":[\"/dns/localhost/tcp/1/http\"],\
             \"Protocols\":[\"transport-ipfs-gateway-http\"]}}"
        );
        assert_eq!(provider.text(&headers, true, true).expect("JSON"), format!("{record}\n"));
        assert_eq!(provider.text(&headers, true, false).expect("JSON"), format!("{{\"Providers\":[{record}]}}"));
        assert_eq!(provider.text(&headers, false, false).expect("JSON"), "{\"Providers\":[]}");
        assert_eq!(provider.text(&headers, false, true).expect("JSON"), "");
    }
}
