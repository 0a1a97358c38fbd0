//! Key files that others may read: the node's, the validator's and the owner's are refused, with the command that
//! repairs it.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::Result;
use ostrakon_tests::{own_node::OwnNode, scenarios::Stage};

const PROVIDER: &str = "[provider]\naddresses = [\"/ip4/192.0.2.1/tcp/4001\"]\nprice_obols = \"0.001\"\n\
    capacity_bytes = 1\n[provider.domain]\noperator = \"o\"\ninfrastructure = \"i\"\nregion = \"r\"\n";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (files, program) = (&stage.cluster.files, &stage.cluster.binaries.node);
    let node = OwnNode::init(program, files.join("exposed-key"), &stage.cluster.profile().join("genesis.toml"))?;
    node.operate(&["init", "--validator"])?.expect_code(0)?;
    fs::copy(node.dir.join("node.key"), node.dir.join("account.key"))?;
    node.configure(PROVIDER)?;
    node.operate(&["config", "check"])?.expect_code(0)?;
    for file in ["node.key", "validator.key", "account.key"] {
        let path = node.dir.join(file);
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode));
        for mode in [0o644, 0o640] {
            set(mode)?;
            node.is_refused(&[&format!("has mode {mode:o}"), &format!("chmod 600 {}", path.display())])?;
        }
        set(0o600)?;
    }
    node.operate(&["config", "check"])?.expect_code(0)?;
    Ok("modes 644 and 640 of three key files".to_owned())
}
