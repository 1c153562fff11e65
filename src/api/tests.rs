//! Serde and poem read and write each wire type alike; and the words of the enums are those of the task room.

use std::fmt::Debug;

use poem_openapi::types::{Example, ParseFromJSON, ToJSON};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::batch::{BatchResult, SubmitBatchRequest, SubmitBatchResponse};
use super::drain::{DrainRequest, WaitingTasks};
use super::error::ErrorInfo;
use super::event::EventType;
use super::health::HealthResponse;
use super::kill::{KillRequest, KillSignal};
use super::kill_many::{KillTasksRequest, KilledTasks, LiveStatus};
use super::list::TaskList;
use super::row::TaskRow;
use super::runtime::{CapabilityManifest, RuntimeConfig, RuntimeInfo, RuntimeResources};
use super::schedule::{TaskSchedule, WaitingFor};
use super::status::{FailureCode, RuntimeErrorInfo};
use super::stream::{OutputPiece, StreamEnd};
use super::strict::Words;
use super::submit::{CapabilityMode, ExecutionKind, ExecutionSpec, SandboxNetwork, SandboxPolicy, SandboxProfile};
use super::{ErrorEnvelope, EventRecord, SubmitTaskRequest, SubmitTaskResponse, TaskStatusResponse, parse};
use crate::task;
use crate::task::testing::DEFAULTS;

/// Both ways to write it say the same, and both ways to read it give it back.
fn agrees<T>(value: &T)
where
    T: Serialize + DeserializeOwned + ToJSON + ParseFromJSON + PartialEq + Debug,
{
    let by_serde = serde_json::to_value(value).expect("JSON");
    assert_eq!(value.to_json(), Some(by_serde.clone()));
    assert_eq!(&serde_json::from_value::<T>(by_serde.clone()).expect("serde reads it"), value);
    let by_poem = T::parse_from_json(Some(by_serde)).map_err(poem_openapi::types::ParseError::into_message);
    assert_eq!(&by_poem.expect("poem reads it"), value);
}

fn example_agrees<T>()
where
    T: Example + Serialize + DeserializeOwned + ToJSON + ParseFromJSON + PartialEq + Debug,
{
    agrees(&T::example());
}

#[test]
fn serde_and_poem_agree_about_every_type() {
    example_agrees::<SubmitTaskRequest>();
    example_agrees::<SandboxPolicy>();
    example_agrees::<SubmitTaskResponse>();
    example_agrees::<SubmitBatchRequest>();
    example_agrees::<SubmitBatchResponse>();
    agrees(&BatchResult::from(ErrorInfo::example()));
    example_agrees::<TaskStatusResponse>();
    example_agrees::<TaskRow>();
    example_agrees::<TaskList>();
    example_agrees::<KillTasksRequest>();
    agrees(&KillTasksRequest::default());
    example_agrees::<KilledTasks>();
    example_agrees::<OutputPiece>();
    example_agrees::<StreamEnd>();
    example_agrees::<EventRecord>();
    example_agrees::<RuntimeInfo>();
    example_agrees::<TaskSchedule>();
    agrees(&TaskSchedule::default());
    example_agrees::<WaitingFor>();
    example_agrees::<KillRequest>();
    agrees(&KillRequest::default());
    agrees(&KillRequest { signal: Some(KillSignal::Kill), grace_ms: Some(0) });
    example_agrees::<DrainRequest>();
    agrees(&DrainRequest { waiting: Some(WaitingTasks::Keep) });
    agrees(&DrainRequest::default());
    example_agrees::<CapabilityManifest>();
    example_agrees::<RuntimeConfig>();
    example_agrees::<RuntimeResources>();
    example_agrees::<HealthResponse>();
    example_agrees::<ErrorEnvelope>();
    example_agrees::<ErrorInfo>();
    example_agrees::<RuntimeErrorInfo>();
}

#[test]
fn serde_and_poem_agree_about_what_is_absent() {
    let minimal = json!({"execution": {"kind": "script", "script": "true"}});
    let request: SubmitTaskRequest = parse(minimal.to_string().as_bytes()).expect("valid");
    assert_eq!(serde_json::to_value(&request).expect("JSON"), minimal);
    agrees(&request);
    let bare = TaskStatusResponse {
        started_at: None,
        finished_at: None,
        duration_ms: None,
        shim_pid: None,
        pid: None,
        pgid: None,
        exit_code: None,
        error: None,
        usage: None,
        collected: None,
        reservation: None,
        schedule: None,
        metadata: None,
        ..TaskStatusResponse::example()
    };
    agrees(&bare);
    assert!(!serde_json::to_string(&bare).expect("JSON").contains("null"));
}

#[test]
fn the_words_that_are_read_are_those_that_are_written() {
    fn same<T: Words + Serialize + ToJSON + PartialEq + Debug>() {
        for (word, value) in T::WORDS {
            assert_eq!(serde_json::to_value(value).expect("JSON"), *word);
            assert_eq!(value.to_json(), Some(json!(word)));
        }
    }
    same::<ExecutionKind>();
    same::<SandboxProfile>();
    same::<SandboxNetwork>();
    same::<CapabilityMode>();
    same::<LiveStatus>();
}

#[test]
fn event_types_and_error_codes_have_the_same_words_on_the_wire_and_in_the_task_room() {
    use task::TaskErrorCode as Code;
    let codes = [
        Code::LaunchFailed,
        Code::Timeout,
        Code::Cancelled,
        Code::MemoryLimitExceeded,
        Code::CpuLimitExceeded,
        Code::ResourceLimitExceeded,
        Code::SandboxSetupFailed,
        Code::ExitNonZero,
        Code::Internal,
    ];
    for code in codes {
        assert_eq!(FailureCode::from(code).to_json(), Some(json!(code.as_str())));
    }
    use task::EventType as Event;
    let events = [
        Event::Submitted,
        Event::Accepted,
        Event::Planned,
        Event::Degraded,
        Event::ResourceReserved,
        Event::ResourceReleased,
        Event::Started,
        Event::KillRequested,
        Event::TimeoutTriggered,
        Event::Finished,
        Event::Failed,
        Event::Cancelled,
        Event::Recovered,
    ];
    for event in events {
        assert_eq!(EventType::from(event).to_json(), Some(json!(event.as_str())));
    }
}

#[test]
fn a_draft_holds_every_field_of_the_request() {
    let (id, draft, _) = SubmitTaskRequest::example().into_draft().expect("valid");
    let spec = draft.validate(DEFAULTS).expect("valid");
    assert_eq!(id.expect("given").as_str(), "build-42");
    insta::assert_json_snapshot!(spec);
    let script = ExecutionSpec {
        kind: ExecutionKind::Script,
        script: Some("true".into()),
        program: None,
        ..ExecutionSpec::example()
    };
    let (_, draft, _) =
        SubmitTaskRequest { execution: script, ..SubmitTaskRequest::example() }.into_draft().expect("valid");
    let spec = draft.validate(DEFAULTS).expect("valid");
    assert!(matches!(&spec.execution.action, task::spec::Action::Script { script, .. } if script == "true"));
}

/// JSON whose keys are often those of a request.
fn jsons() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "execution",
        "kind",
        "program",
        "args",
        "script",
        "env",
        "stdin",
        "text",
        "inputs",
        "limits",
        "wall_time_ms",
        "sandbox",
        "namespaces",
        "policy",
        "control_context",
        "labels",
        "metadata",
        "schedule",
        "priority",
        "start_after",
        "depends_on",
        "task_id",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["command", "script", "process", "a\0b", ""]).prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_is_answered_with_serdes_own_words(body in jsons()) {
        if let Err(fault) = parse::<SubmitTaskRequest>(body.to_string().as_bytes()) {
            let sentence = fault.to_string();
            for word in ["invalid type", "invalid value", "unknown field", "missing field", "unknown variant", " at line"] {
                prop_assert!(!sentence.contains(word), "{}", sentence);
            }
        }
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse::<SubmitTaskRequest>(&body);
    }
}
