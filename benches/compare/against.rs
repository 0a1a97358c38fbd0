//! What of the figures is compared with those of an earlier build: time and CPU time of every operation of ours.

use ostrakon_benches::against::{Better, Sample};
use serde_json::Value;

/// The figures in what one round wrote as JSON.
pub(crate) fn figures(written: &Value) -> Vec<Sample> {
    let rows = written["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let samples = rows.iter().flat_map(|row| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let what = format!("{} {} of {} bytes", text("system"), text("operation"), row["object_bytes"]);
        let sample = |name: &str, unit: &str| {
            let value = row[name].as_f64()?;
            Some(Sample { what: format!("{what}, {unit}"), value, better: Better::Less })
        };
        [sample("seconds", "s"), sample("cpu_seconds", "CPU s")]
    });
    samples.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_of_a_row_are_read() {
        let mut bare = serde_json::json!({"system": "o", "operation": "add", "object_bytes": 5, "seconds": 1.5});
        let mut row = bare.clone();
        row["cpu_seconds"] = 2.0.into();
        bare["operation"] = "range".into();
        let read = figures(&serde_json::json!({ "rows": [row, bare] }));
        let names: Vec<&str> = read.iter().map(|sample| sample.what.as_str()).collect();
        assert_eq!(names, ["o add of 5 bytes, s", "o add of 5 bytes, CPU s", "o range of 5 bytes, s"]);
        assert_eq!(figures(&Value::Null).len(), 0);
    }
}
