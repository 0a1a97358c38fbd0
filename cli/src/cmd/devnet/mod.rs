//! `ostrakon devnet`: a network of real node processes on this machine, to develop and test against.
//!
//! [`plan`] decides its keys, ports and genesis, [`files`] stores it on disk, [`ports`] and [`process`] deal with this
//! machine, [`watch`] asks the nodes, [`up`] starts it. What a node does is not here.

use serde::Serialize;

pub(crate) mod files;
pub(crate) mod plan;
mod ports;
pub(crate) mod process;
pub(crate) mod up;
pub(crate) mod watch;

use files::Devnet;
use plan::{NodeEntry, Shape};
use up::Up;

use crate::{
    args::{DevnetCommand as Command, DevnetDir, DevnetNodes, DevnetUp},
    output::{Output, Paint, Style, Table},
};

/// Runs the command.
///
/// # Errors
/// As the devnet's parts say.
pub(crate) async fn run(command: Command, out: &Output) -> crate::Result<()> {
    match command {
        Command::Up(args) => bring_up(args, out).await,
        Command::Status(DevnetDir { dir }) => show(&Devnet::open(&dir)?, out).await,
        Command::Kill(args) => end(args, Ending::Kill, out).await,
        Command::Wipe(args) => end(args, Ending::Wipe, out).await,
        Command::Start { nodes, dir } => start(&nodes, &dir, out).await,
        Command::Down(DevnetDir { dir }) => down(&Devnet::open(&dir)?, out).await,
    }
}

async fn bring_up(args: DevnetUp, out: &Output) -> crate::Result<()> {
    let shape = Shape {
        nodes: args.nodes,
        domains: args.domains.min(args.nodes),
        validators: args.validators.min(args.nodes),
        permissioned: args.permissioned,
        epoch_seconds: args.epoch,
        spares: args.spares,
        validators_apart: args.validators_apart,
    };
    out.words(&format!("starting {} nodes in {} domains in {}", shape.nodes, shape.domains, args.dir.dir.display()));
    let Up { devnet, height, .. } = Box::pin(up::up(&args.dir.dir, shape, out)).await?;
    let status = status(&devnet, Some(height.0));
    out.answer(&status, |_| {
        let (profile, dir) = (devnet.profile(), devnet.dir.display());
        format!(
            "{} nodes are running, at block {height}. Use them with\n\n  export OSTRAKON_PROFILE={}\n\n\
             and stop them with `ostrakon devnet down --dir {dir}`",
            devnet.founders().len(),
            profile.display()
        )
    })?;
    Ok(())
}

/// How nodes come to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Kill,
    Wipe,
}

async fn end(args: DevnetNodes, ending: Ending, out: &Output) -> crate::Result<()> {
    let devnet = Devnet::open(&args.dir.dir)?;
    let _held = files::hold(&devnet.dir, out)?;
    let data_dirs: Vec<_> = devnet.pick(&args.nodes)?.into_iter().map(|node| node.data_dir(&devnet.dir)).collect();
    process::kill(&data_dirs).await?;
    if ending == Ending::Wipe {
        data_dirs.iter().try_for_each(|data_dir| Devnet::wipe(data_dir))?;
    }
    show(&devnet, out).await
}

async fn start(indexes: &[u16], dir: &DevnetDir, out: &Output) -> crate::Result<()> {
    let devnet = Devnet::open(&dir.dir)?;
    let _held = files::hold(&devnet.dir, out)?;
    let nodes: Vec<NodeEntry> = match indexes {
        [] => devnet.founders(),
        _ => devnet.pick(indexes)?.into_iter().cloned().collect(),
    };
    Box::pin(up::start(&devnet, &nodes, &devnet.client()?)).await?;
    show(&devnet, out).await
}

async fn down(devnet: &Devnet, out: &Output) -> crate::Result<()> {
    let _held = files::hold(&devnet.dir, out)?;
    process::stop(&devnet.data_dirs()).await?;
    out.answer(&status(devnet, None), |_| format!("all nodes of {} are stopped", devnet.dir.display()))?;
    Ok(())
}

async fn show(devnet: &Devnet, out: &Output) -> crate::Result<()> {
    let running =
        status(devnet, None).nodes.iter().filter(|node| node.running).map(|node| node.index).collect::<Vec<_>>();
    let nodes: Vec<NodeEntry> = devnet.pick(&running)?.into_iter().cloned().collect();
    let height = match nodes.is_empty() {
        true => None,
        false => {
            let heights = watch::heights(&devnet.client()?, &nodes).await;
            heights.values().map(|height| height.0).max()
        }
    };
    let status = status(devnet, height);
    out.answer(&status, |paint| status.text(paint))?;
    Ok(())
}

/// What `devnet status --json` prints: scripts rely on these fields.
#[derive(Debug, Serialize)]
pub(crate) struct DevnetStatus {
    dir: String,
    profile: String,
    api: Vec<String>,
    nodes: Vec<NodeStatus>,
    height: Option<u64>,
}

#[derive(Debug, Serialize)]
struct NodeStatus {
    index: u16,
    pid: Option<i32>,
    provider: String,
    domain: String,
    running: bool,
    validator: bool,
    spare: bool,
    data_dir: String,
}

impl NodeStatus {
    const fn role(&self) -> &'static str {
        match (self.validator, self.spare) {
            (true, _) => "validator",
            (false, true) => "spare",
            (false, false) => "",
        }
    }
}

/// The devnet as it is now; its greatest height is the caller's to find.
pub(crate) fn status(devnet: &Devnet, height: Option<u64>) -> DevnetStatus {
    let running = process::running();
    let node = |node: &NodeEntry| {
        let data_dir = node.data_dir(&devnet.dir);
        let pid = running.get(&data_dir).map(|pid| pid.as_raw_pid());
        NodeStatus {
            index: node.index,
            pid,
            provider: node.provider.to_string(),
            domain: node.domain.to_string(),
            running: pid.is_some(),
            validator: node.validator,
            spare: node.spare,
            data_dir: data_dir.display().to_string(),
        }
    };
    DevnetStatus {
        dir: devnet.dir.display().to_string(),
        profile: devnet.profile().display().to_string(),
        api: devnet.nodes.iter().map(NodeEntry::dial).collect(),
        nodes: devnet.nodes.iter().map(node).collect(),
        height,
    }
}

impl DevnetStatus {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["node", "state", "process", "domain", ""]);
        for node in &self.nodes {
            let (style, state) = if node.running { (Style::Green, "running") } else { (Style::Red, "stopped") };
            table.row(vec![
                (Style::Plain, format!("{:02}", node.index)),
                (style, state.to_owned()),
                (Style::Plain, node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
                (Style::Plain, node.domain.clone()),
                (Style::Dim, node.role().to_owned()),
            ]);
        }
        let height = self.height.map_or_else(|| "no node responds".to_owned(), |height| format!("height {height}"));
        format!("{}\n{height}, profile {}", table.render(paint), self.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_has_the_fields_that_scripts_rely_on() {
        let plan = plan::Plan::new(Shape::of(2, 2), &[20_001, 20_002], || [7; 32]);
        let nodes = plan.nodes.into_iter().map(|node| node.entry).collect();
        let devnet = Devnet { dir: "/nowhere/net".into(), nodes };
        let object = serde_json::to_value(status(&devnet, Some(5))).expect("serialises");
        assert_eq!(object["dir"], "/nowhere/net");
        assert_eq!(object["profile"], "/nowhere/net/profile");
        assert_eq!(object["height"], 5);
        assert!(object["api"][1].as_str().is_some_and(|address| address.starts_with("/ip4/127.0.0.1/tcp/20002/p2p/")));
        let node = &object["nodes"][0];
        assert_eq!(node["index"], 0);
        assert_eq!(node["pid"], serde_json::Value::Null);
        assert_eq!(node["running"], false);
        assert_eq!(node["validator"], true);
        assert_eq!(node["domain"], "operator-0/infra-0/region-0");
        assert_eq!(node["data_dir"], "/nowhere/net/node-00");
        assert!(node["provider"].as_str().is_some_and(|provider| provider.starts_with("ostnode1")));
    }
}
