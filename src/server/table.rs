//! The routes as data: what is allowed at a path, and by which fixed name a path goes in the metrics.

use poem::Request;
use poem::http::Method;
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaOperation, MetaParamIn};

use super::app::PLAIN_PATHS;
use super::fault::Fault;
use super::filter::LABEL;
use super::routes::Api;
use crate::task::InvalidField;

/// Below this prefix unknown query parameters are refused; `/healthz` and the like take what a prober sends.
const STRICT_PREFIX: &str = "/api/";

pub(super) struct Table(Vec<Route>);

/// One path template.
pub(super) struct Route {
    pub(super) template: String,
    operations: Vec<Operation>,
}

struct Operation {
    method: Method,
    query: Vec<String>,
}

impl Table {
    pub(super) fn new() -> Self {
        let described = Api::meta().into_iter().flat_map(|api| api.paths).map(|path| {
            let operations = path.operations.iter().map(Operation::new).collect();
            Route { template: path.path, operations }
        });
        let plain = PLAIN_PATHS.iter().map(|path| {
            let get = Operation { method: Method::GET, query: Vec::new() };
            Route { template: (*path).to_owned(), operations: vec![get] }
        });
        Self(described.chain(plain).collect())
    }

    /// Of several that match, the one that knows the method: a task may be called `batch`.
    pub(super) fn find(&self, path: &str, method: &Method) -> Option<&Route> {
        let mut matching = self.0.iter().filter(|route| route.matches(path)).peekable();
        let first = matching.peek().copied();
        matching.find(|route| route.knows(method)).or(first)
    }

    /// For the header `Allow`. Whatever can be got can be asked for its head.
    pub(super) fn allow(&self, path: &str) -> Vec<String> {
        let matching = self.0.iter().filter(|route| route.matches(path));
        let mut methods: Vec<String> =
            matching.flat_map(|route| &route.operations).map(|o| o.method.to_string()).collect();
        if methods.iter().any(|m| m == "GET") {
            methods.push("HEAD".to_owned());
        }
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    /// Whether something else has just this path, by another method.
    pub(super) fn is_shadowed(&self, route: &Route, path: &str) -> bool {
        route.template != path && self.0.iter().any(|other| other.template == path)
    }
}

impl Operation {
    fn new(operation: &MetaOperation) -> Self {
        let query = operation.params.iter().filter(|p| p.in_type == MetaParamIn::Query);
        Self { method: operation.method.clone(), query: query.map(|p| p.name.clone()).collect() }
    }

    /// `label.KEY` stands for every label.
    fn knows(&self, name: &str) -> bool {
        let is_name_of = |known: &String| {
            known == name || known.strip_suffix("KEY").is_some_and(|prefix| prefix == LABEL && name.starts_with(prefix))
        };
        self.query.iter().any(is_name_of)
    }
}

impl Route {
    fn matches(&self, path: &str) -> bool {
        let (mut wanted, mut given) = (self.template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted.starts_with('{') => {
                    if given.is_empty() {
                        return false;
                    }
                }
                (Some(wanted), Some(given)) if wanted == given => {}
                _ => return false,
            }
        }
    }

    fn knows(&self, method: &Method) -> bool {
        let method = asked(method);
        self.operations.iter().any(|operation| operation.method == method)
    }

    /// Refuses query parameters that the operation does not know, and known ones given twice: a misspelt `wait_ms`
    /// must not be silently ignored.
    pub(super) fn check_query(&self, request: &Request) -> Result<(), Fault> {
        if !self.template.starts_with(STRICT_PREFIX) {
            return Ok(());
        }
        let method = asked(request.method());
        let Some(operation) = self.operations.iter().find(|o| o.method == method) else { return Ok(()) };
        let given: Vec<(String, String)> = request.params().unwrap_or_default();
        for (index, (name, _)) in given.iter().enumerate() {
            if !operation.knows(name) {
                let allowed = if operation.query.is_empty() { "none".to_owned() } else { operation.query.join(", ") };
                let message = format!("is not a known query parameter; allowed here are {allowed}");
                return Err(InvalidField::new(name.chars().take(80).collect::<String>(), message).into());
            }
            if given[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(InvalidField::new(name, "must not be given twice").into());
            }
        }
        Ok(())
    }
}

fn asked(method: &Method) -> &Method {
    if method == Method::HEAD { &Method::GET } else { method }
}
