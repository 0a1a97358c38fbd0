//! Public buckets as a trustless gateway of IPFS, beside S3: files and their blocks by name, and who provides them.
//!
//! Formats: <https://specs.ipfs.tech/http-gateways/trustless-gateway/>, path-gateway beside it, and
//! <https://specs.ipfs.tech/routing/http-routing-v1/>. Nothing is signed here: a client that knows a name may read.
//!
//! `asked` reads a request, `served` answers it, `archive` makes the bytes of an archive, `routing` names this gateway
//! as a provider.

mod archive;
mod asked;
mod routing;
mod served;

pub(crate) use asked::Asked;
pub(crate) use routing::Provider;
pub(crate) use served::{Refused, answer};
