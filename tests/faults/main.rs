//! Faults that users of tools of this kind have reported, tried on real processes: one scenario for each, named for
//! what is tried, in a file of its own. One network of 14 nodes in 7 domains serves them all; whatever a scenario kills
//! or stops runs again before the next. How they are chosen and repeated: [`ostrakon_tests::scenarios`].

mod add_messages;
mod all_or_nothing;
mod both_ip_versions;
mod cat_into_head;
mod closed_port;
mod dns_names;
mod exposed_key;
mod get_destination_first;
mod get_hidden_symlink;
mod get_into_special_files;
mod get_killed_thrice;
mod get_over_home;
mod growing_log;
mod halted_chain;
mod holders_paused;
mod json_cat_fails;
mod killed_work;
mod ledger_budget;
mod links;
mod lost_node_key;
mod lowered_capacity;
mod many_adds;
mod many_columns;
mod node_behind;
mod odd_names;
mod open_uploads;
mod other_network;
mod range_at_end;
mod read_only_disk;
mod reload;
mod secrets;
mod several_paths;
mod short_messages;
mod single_file_metadata;
mod slow_disk;
mod snapshot_parts;
mod unpaid_bytes;
mod unreadable_file;
mod volume_fails;
mod volume_full;
mod volume_unmounted;
mod volumes;
mod voting_nodes;
mod while_stopped;
mod wrong_clock;
mod wrong_settings;

use std::process::ExitCode;

use ostrakon_tests::{
    cluster::Shape,
    scenarios::{self, Scenario, Stage, scenario},
};

/// In the order of their names.
const SCENARIOS: &[Scenario<Stage>] = &[
    scenario("add_messages", add_messages::run),
    scenario("all_or_nothing", all_or_nothing::run),
    scenario("both_ip_versions", both_ip_versions::run),
    scenario("cat_into_head", cat_into_head::run),
    scenario("closed_port", closed_port::run),
    scenario("dns_names", dns_names::run),
    scenario("exposed_key", exposed_key::run),
    scenario("get_destination_first", get_destination_first::run),
    scenario("get_hidden_symlink", get_hidden_symlink::run),
    scenario("get_into_special_files", get_into_special_files::run),
    scenario("get_killed_thrice", get_killed_thrice::run),
    scenario("get_over_home", get_over_home::run),
    scenario("growing_log", growing_log::run),
    scenario("halted_chain", halted_chain::run),
    scenario("holders_paused", holders_paused::run),
    scenario("json_cat_fails", json_cat_fails::run),
    scenario("killed_work", killed_work::run),
    scenario("ledger_budget", ledger_budget::run),
    scenario("links", links::run),
    scenario("lost_node_key", lost_node_key::run),
    scenario("lowered_capacity", lowered_capacity::run),
    scenario("many_adds", many_adds::run),
    scenario("many_columns", many_columns::run),
    scenario("node_behind", node_behind::run),
    scenario("odd_names", odd_names::run),
    scenario("open_uploads", open_uploads::run),
    scenario("other_network", other_network::run),
    scenario("range_at_end", range_at_end::run),
    scenario("read_only_disk", read_only_disk::run),
    scenario("reload", reload::run),
    scenario("secrets", secrets::run),
    scenario("several_paths", several_paths::run),
    scenario("short_messages", short_messages::run),
    scenario("single_file_metadata", single_file_metadata::run),
    scenario("slow_disk", slow_disk::run),
    scenario("snapshot_parts", snapshot_parts::run),
    scenario("unpaid_bytes", unpaid_bytes::run),
    scenario("unreadable_file", unreadable_file::run),
    scenario("volume_fails", volume_fails::run),
    scenario("volume_full", volume_full::run),
    scenario("volume_unmounted", volume_unmounted::run),
    scenario("volumes", volumes::run),
    scenario("voting_nodes", voting_nodes::run),
    scenario("while_stopped", while_stopped::run),
    scenario("wrong_clock", wrong_clock::run),
    scenario("wrong_settings", wrong_settings::run),
];

fn main() -> ExitCode {
    scenarios::main("faults", SCENARIOS, |seed| Stage::start(Shape::new(14, 7), seed))
}
