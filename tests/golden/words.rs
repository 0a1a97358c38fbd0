//! Text forms: what people copy and paste.

use ostrakon_proto::{
    id::{AccountId, Amount, ChainId, ColumnId, NodeId, ObjectId},
    link::Link,
    seal::ObjectKey,
    wire::Protocol,
};

use crate::Vectors;

/// Adds them.
pub(crate) fn add(made: &mut Vectors) {
    made.insert("id.column", ColumnId::new([7; 32]).to_string());
    made.insert("id.object", ObjectId::new([7; 32]).to_string());
    made.insert("id.account", AccountId::new([7; 32]).to_string());
    made.insert("id.node", NodeId::new([7; 32]).to_string());
    made.insert("id.chain", ChainId::new([7; 32]).to_string());
    made.insert("id.peer", ostrakon_net::peer_id_text(&NodeId::new([7; 32])));
    made.insert("amount", Amount(12_500_001).to_string());
    let object = ObjectId::new([7; 32]);
    made.insert("link.public", Link { object, key: None }.to_string());
    made.insert("link.private", Link { object, key: Some(ObjectKey::from_bytes([9; 32])) }.to_string());
    let names = Protocol::ALL.map(|protocol| protocol.name(&ChainId::new([7; 32])));
    made.insert("wire.protocols", names.join(" "));
}
