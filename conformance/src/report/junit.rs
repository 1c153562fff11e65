//! JUnit XML, which build servers read: <https://github.com/testmoapp/junitxml>. The area is the class; a case that is
//! known to fail is skipped, since the form has no other word for it.

use std::fmt::Write as _;

use super::{CaseResult, Count, Report, Verdict, evidence};
use crate::case::{Fault, NotPassed};

pub fn whole(report: &Report) -> String {
    let Count { passed: _, failed, known, skipped } = report.total();
    let seconds: f64 = report.results().iter().map(|result| result.took.as_secs_f64()).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuite name=\"execgo-conformance\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{}\" \
         time=\"{seconds:.3}\">",
        report.results().len(),
        known + skipped
    );
    let _ = writeln!(xml, "  <properties>");
    for (name, value) in [("url", report.url.clone()), ("seed", report.seed.to_string())] {
        let _ = writeln!(xml, "    <property name=\"{name}\" value=\"{}\"/>", escaped(&value));
    }
    let _ = writeln!(xml, "  </properties>");
    report.results().iter().for_each(|result| xml += &case(result));
    xml + "</testsuite>\n"
}

fn case(result: &CaseResult) -> String {
    let (area, _) = result.case.id.split_once('.').unwrap_or((result.case.id, ""));
    let level = result.case.level.name();
    let open = format!(
        "  <testcase name=\"{}\" classname=\"{level}.{area}\" time=\"{:.3}\"",
        result.case.id,
        result.took.as_secs_f64()
    );
    let inner = match (&result.outcome, result.verdict()) {
        (Ok(()), Verdict::Outdated) => "<failure message=\"it is known to fail, and holds\"/>".to_owned(),
        (Ok(()), _) => return format!("{open}/>\n"),
        (Err(NotPassed::Failed(faults)), Verdict::Known) => {
            format!("<skipped message=\"known to fail: {}\"/>", escaped(&rules(faults)))
        }
        (Err(NotPassed::Failed(faults)), _) => {
            let shown: Vec<_> = faults.iter().map(evidence_of).collect();
            format!("<failure message=\"{}\">{}</failure>", escaped(&rules(faults)), escaped(&shown.join("\n\n")))
        }
        (Err(NotPassed::Skipped { reason }), _) => format!("<skipped message=\"{}\"/>", escaped(reason)),
    };
    format!("{open}>\n    {inner}\n  </testcase>\n")
}

fn rules(faults: &[Fault]) -> String {
    faults.iter().map(|fault| fault.rule.as_str()).collect::<Vec<_>>().join("; ")
}

fn evidence_of(fault: &Fault) -> String {
    let Fault { rule, request, response } = fault;
    format!("rule: {rule}\n\n{}\n\n{}", evidence(request), evidence(response))
}

/// XML 1.0 cannot say most control characters in any way.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out += "&#10;",
            '\t' => out.push('\t'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn nothing_of_the_evidence_is_read_as_markup() {
        assert_eq!(escaped("a<b>&\"c\"\n\0\u{1b}é"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;\u{fffd}\u{fffd}é");
    }
}
