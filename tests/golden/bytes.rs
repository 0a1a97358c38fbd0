//! The path of an object's bytes: sealed, coded, hashed, listed.

use ostrakon_proto::{
    id::ColumnId,
    layout::{Layout, RowId},
    limits::{CHUNK, GROUP, LEAF},
    manifest::{Extent, Manifest, Protection},
    params::Code,
    row,
    seal::{ObjectKey, PieceId, token_hash},
    tree::{TreeBuilder, prove_leaf},
};
use ostrakon_tests::content;

use crate::Vectors;

/// Adds them.
pub(crate) fn add(made: &mut Vectors) {
    seal(made);
    rows(made);
    trees(made);
    manifests(made);
}

fn seal(made: &mut Vectors) {
    let key = ObjectKey::from_bytes([9; 32]);
    let token = key.read_token(3, 11);
    made.insert("seal.commitment", hex::encode(key.commitment()));
    made.insert("seal.read_token", hex::encode(token.0));
    made.insert("seal.token_hash", hex::encode(token_hash(&token)));
    let mut piece = [[5; 20].as_slice(), &[0; 16]].concat();
    key.sealer().seal(PieceId { extent: 1, counter: 2, last: true }, &mut piece);
    made.insert("seal.piece", hex::encode(piece));
}

fn rows(made: &mut Vectors) {
    let code = Code { k: 4, n: 12 };
    let layout = Layout::new(1_000, code, false).expect("valid");
    let chunks = row::encode(&layout, RowId { extent: 0, row: 0 }, &[3; 1_000], None).expect("valid");
    made.insert("row.public.first_parity_chunk", hex::encode(&chunks[4]));
    made.insert("row.public.all_chunks.blake3", blake3::hash(&chunks.concat()).to_string());

    let (size, key) = (1_000_000, ObjectKey::from_bytes([9; 32]));
    let layout = Layout::new(size, code, true).expect("valid");
    let plain = content::random(1, 1_000_000);
    let mut hasher = blake3::Hasher::new();
    for id in layout.rows_of(0..size) {
        let range = layout.row(id).expect("a row of the layout").plain;
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).expect("small"));
        let chunks = row::encode(&layout, id, &plain[start..end], Some(&key.sealer())).expect("valid");
        hasher.update(&chunks.concat());
    }
    made.insert("row.sealed.all_chunks.blake3", hasher.finalize().to_string());
}

fn trees(made: &mut Vectors) {
    let column = content::random(2, 2 * CHUNK + GROUP + LEAF + 1);
    let mut builder = TreeBuilder::new();
    builder.update(&column);
    let (id, outboard) = builder.finish();
    assert_eq!(id, ColumnId::from(blake3::hash(&column)), "a column's name is its plain BLAKE3 hash");
    made.insert("tree.outboard.blake3", blake3::hash(outboard.as_bytes()).to_string());
    let leaf = 20;
    let group = &column[GROUP..2 * GROUP];
    let proof = prove_leaf(group, &outboard, leaf).expect("the leaf is there");
    made.insert("tree.leaf_proof", hex::encode(proof.concat()));
}

fn manifests(made: &mut Vectors) {
    let code = Code { k: 1, n: 3 };
    let columns: Vec<ColumnId> = (1..=3).map(|byte| ColumnId::new([byte; 32])).collect();
    let sealed = Manifest {
        size: 100,
        code,
        protection: Protection::Sealed { commitment: [8; 32] },
        extents: vec![Extent { columns: columns.clone(), tokens: vec![[4; 32], [5; 32], [6; 32]] }],
    };
    let public = Manifest {
        size: 100,
        code,
        protection: Protection::Public { hash: [8; 32] },
        extents: vec![Extent { columns, tokens: vec![] }],
    };
    made.insert("manifest.sealed", hex::encode(sealed.encode()));
    made.insert("manifest.sealed.object", Manifest::object_id(&sealed.encode()).to_string());
    made.insert("manifest.public", hex::encode(public.encode()));
}
