//! Pages, against a list that is filtered and sorted by hand.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Fixture, fixture};
use crate::store::page::LOOKS;
use crate::store::{Filter, Kind, Mark, Order, Place};
use crate::task::spec::{Action, Draft, DraftKind};
use crate::task::testing::{self, DEFAULTS, at};
use crate::task::{NewTask, Status, Task, TaskSpec, Timestamp};

const NAMES: [&str; 2] = ["a", "b"];

fn draft() -> impl Strategy<Value = Draft> {
    let name = || option::of(select(NAMES.to_vec()).prop_map(str::to_owned));
    let labels =
        btree_map(select(vec!["x".to_owned(), "y".to_owned()]), select(vec!["1".to_owned(), "2".to_owned()]), 0..3);
    (any::<bool>(), name(), name(), option::of(labels)).prop_map(|(is_script, tenant, owner, labels)| {
        let of_kind = if is_script {
            Draft { kind: DraftKind::Script, script: Some("echo Zoé".into()), ..Draft::default() }
        } else {
            Draft { program: Some("/bin/TRUE".into()), ..Draft::default() }
        };
        Draft { tenant, owner, labels, ..of_kind }
    })
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (1000_i64..1010).prop_map(at)
}

fn filter() -> impl Strategy<Value = Filter> {
    let text = option::weighted(0.3, select(vec!["t1", "true", "zoé", "2", "nowhere"]).prop_map(str::to_owned));
    let marks =
        vec![Mark::tenant("a"), Mark::tenant("b"), Mark::owner("a"), Mark::label("x", "1"), Mark::label("y", "2")];
    (
        subsequence(Status::ALL.to_vec(), 0..3),
        option::of(select(vec![Kind::Command, Kind::Script])),
        subsequence(marks, 0..3),
        option::of(moment()),
        option::of(moment()),
        text,
    )
        .prop_map(|(statuses, kind, marks, created_after, created_before, text)| Filter {
            statuses,
            kind,
            marks,
            created_after,
            created_before,
            text,
        })
}

fn store(tasks: &[(Draft, Timestamp, u8)]) -> (Fixture, Vec<Task>) {
    let mut store = fixture();
    let kept = tasks.iter().zip(1_u64..).map(|((draft, created_at, steps), seq)| {
        let spec = draft.clone().validate(DEFAULTS).expect("valid");
        let id = format!("t{seq}");
        let new = NewTask { spec, created_at: *created_at, ..testing::new_task(&id) };
        let submit = Task::submit(new, seq);
        let launch = submit.task().launch(at(2000)).expect("queued");
        let start = launch.task().start(&testing::running(2001)).expect("launching");
        let ends = [testing::exit(0), testing::exit(1)].map(|exit| start.task().finish(&exit).expect("running"));
        let [success, failed] = ends;
        let steps = match steps % 6 {
            0 => vec![submit],
            1 => vec![submit, launch],
            2 => vec![submit, launch, start],
            3 => vec![submit, launch, start, success],
            4 => vec![submit, launch, start, failed],
            _ => {
                let cancel = submit.task().cancel(at(2000)).expect("queued");
                vec![submit, cancel]
            }
        };
        store.writer.commit(&steps).expect("commits");
        steps.last().expect("a step").task().clone()
    });
    let kept = kept.collect();
    (store, kept)
}

fn has(spec: &TaskSpec, mark: &Mark) -> bool {
    let control = &spec.control;
    control.tenant.as_deref().map(Mark::tenant).as_ref() == Some(mark)
        || control.owner.as_deref().map(Mark::owner).as_ref() == Some(mark)
        || control.labels.iter().any(|(key, value)| Mark::label(key, value) == *mark)
}

fn is_wanted(task: &Task, filter: &Filter) -> bool {
    let is_script = matches!(task.spec().execution.action, Action::Script { .. });
    let created_at = task.head().created_at;
    (filter.statuses.is_empty() || filter.statuses.contains(&task.status()))
        && filter.kind.is_none_or(|kind| (kind == Kind::Script) == is_script)
        && filter.marks.iter().all(|mark| has(task.spec(), mark))
        && filter.created_after.is_none_or(|after| created_at > after)
        && filter.created_before.is_none_or(|before| created_at < before)
        && filter.text.as_ref().is_none_or(|text| task.id().as_str().contains(text) || task.spec().mentions(text))
}

/// All pages one after the other.
fn walk(store: &Fixture, filter: &Filter, order: Order, limit: usize) -> Vec<String> {
    let mut from: Option<Place> = None;
    let mut ids = Vec::new();
    loop {
        let page = store.readers.page(filter, order, from, limit).expect("reads");
        assert!(page.tasks.len() <= limit);
        assert!(page.next.is_none() || !page.tasks.is_empty(), "so little is not too much work");
        ids.extend(page.tasks.iter().map(|task| task.id().to_string()));
        from = page.next;
        if from.is_none() {
            return ids;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_pages_together_are_the_filtered_and_sorted_list(
        tasks in vec((draft(), moment(), any::<u8>()), 0..24),
        filters in vec((filter(), 1_usize..5, any::<bool>()), 8),
    ) {
        let (store, kept) = store(&tasks);
        for (filter, limit, newest_first) in filters {
            let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
            let mut wanted: Vec<&Task> = kept.iter().filter(|task| is_wanted(task, &filter)).collect();
            wanted.sort_by_key(|task| (task.head().created_at, task.head().seq));
            if newest_first {
                wanted.reverse();
            }
            let wanted: Vec<String> = wanted.into_iter().map(|task| task.id().to_string()).collect();
            prop_assert_eq!(walk(&store, &filter, order, limit), wanted, "{:?}", filter);
        }
    }
}

#[test]
fn a_page_that_finds_nothing_ends_before_it_has_looked_at_everything_and_goes_on_from_there() {
    const TASKS: u64 = 3000;
    let mut store = fixture();
    let tasks: Vec<_> = (1..=TASKS).map(|seq| Task::submit(testing::new_task(&format!("t{seq}")), seq)).collect();
    store.writer.commit(&tasks).expect("commits");
    let filter = Filter { text: Some("nowhere".into()), ..Filter::default() };
    let (mut from, mut pages) = (None, 0);
    loop {
        let page = store.readers.page(&filter, Order::NewestFirst, from, 50).expect("reads");
        assert!(page.tasks.is_empty());
        pages += 1;
        match page.next {
            None => break,
            next => from = next,
        }
    }
    assert!((3..100).contains(&pages), "{pages} pages");
}

#[test]
fn every_look_is_into_an_index_that_has_all_it_takes() {
    let store = fixture();
    let connection = rusqlite::Connection::open(&store.path).expect("opens");
    for sql in LOOKS {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a query");
        let lines =
            statement.query_map(rusqlite::params_from_iter(vec![1; statement.parameter_count()]), |row| row.get(3));
        let plan: Vec<String> = lines.expect("a plan").collect::<Result<_, _>>().expect("lines");
        let looks: Vec<_> = plan.iter().filter(|line| line.starts_with("SEARCH")).collect();
        let is_bounded = |line: &&String| {
            ["(created_at,task_seq)", "AND rowid", "AND created_at>?)", "AND created_at<?)"]
                .iter()
                .any(|end| line.contains(end))
        };
        let is_covered =
            |line: &&String| line.contains("COVERING INDEX tasks_by_status") || line.contains("PRIMARY KEY");
        assert!(looks.iter().all(|line| is_bounded(line) && is_covered(line)) && !looks.is_empty(), "{sql}: {plan:?}");
        let is_whole = |line: &String| line.starts_with("SCAN") && !line.contains("subquery") || line.contains("TEMP");
        assert!(!plan.iter().any(is_whole), "{sql}: {plan:?}");
    }
}

#[test]
fn what_a_task_is_found_by_goes_with_it() {
    let mut store = fixture();
    let draft = Draft {
        kind: DraftKind::Script,
        script: Some("true".into()),
        tenant: Some("a".into()),
        owner: Some("b".into()),
        labels: Some([("x".to_owned(), "1".to_owned())].into()),
        ..Draft::default()
    };
    let new = NewTask { spec: draft.validate(DEFAULTS).expect("valid"), ..testing::new_task("t") };
    let submit = Task::submit(new, 1);
    let cancel = submit.task().cancel(at(2000)).expect("queued");
    store.writer.commit(&[submit, cancel]).expect("commits");
    let connection = rusqlite::Connection::open(&store.path).expect("opens");
    let marks = || connection.query_row("SELECT COUNT(*) FROM marks", [], |row| row.get::<_, i64>(0)).expect("reads");
    assert_eq!(marks(), 4);
    let ended = store.writer.ended(at(i64::MAX), 10).expect("reads");
    store.writer.forget(&ended).expect("forgets");
    assert_eq!(marks(), 0);
}
