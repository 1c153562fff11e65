//! What the answers look like, kept as snapshots.

use serde_json::json;

use super::reach;
use super::runtime::Runtime;
use crate::case::sh;

#[test]
fn a_status_answer_keeps_its_shape() {
    let Some(runtime) = Runtime::start(&[]) else { return };
    let context = reach(&runtime.url(), None);
    let mut request = sh("echo out; exit 3");
    request["task_id"] = json!("shape");
    request["limits"] = json!({"wall_time_ms": 60000});
    request["metadata"] = json!({"colour": "blue"});
    let id = context.submit(&request).expect("accepted");
    let status = context.ended(&id).expect("ended").body;
    let data_dir = runtime.data_dir().to_string_lossy().into_owned();
    let time = || {
        insta::dynamic_redaction(|value, path| {
            let time = value.as_str().expect("a text");
            assert!(time.len() == "2024-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{path}: {time}");
            "[time]"
        })
    };
    insta::with_settings!({sort_maps => true, filters => [(data_dir.as_str(), "[data_dir]")]}, {
        insta::assert_json_snapshot!(status, {
            ".created_at" => time(),
            ".started_at" => time(),
            ".finished_at" => time(),
            ".updated_at" => time(),
            ".duration_ms" => "[ms]",
            ".pid" => "[pid]",
            ".pgid" => "[pid]",
            ".shim_pid" => "[pid]",
            ".usage.duration_ms" => "[ms]",
            ".usage.user_cpu_ms" => "[ms]",
            ".usage.system_cpu_ms" => "[ms]",
            ".usage.max_rss_bytes" => "[bytes]",
        });
    });
}
