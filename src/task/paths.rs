//! Where the files of a task stand on the disk (see `docs/api.md`, Disk).

use std::path::{Path, PathBuf};

use super::exit::OutputStream;
use super::id::TaskId;

/// The name of the list of what was collected.
pub const FILES: &str = "files.jsonl";

/// The paths of one task; absolute, whether or not anything is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPaths {
    task_dir: PathBuf,
}

impl TaskPaths {
    /// Below `<data_dir>/tasks/`. A relative `data_dir` is taken from the working directory of the process.
    #[must_use]
    pub fn new(data_dir: &Path, id: &TaskId) -> Self {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Self { task_dir: data_dir.join("tasks").join(id.as_str()) }
    }

    #[must_use]
    pub fn task_dir(&self) -> &Path {
        &self.task_dir
    }

    /// The directory of the blobs, which are no task's.
    #[must_use]
    pub fn blobs(data_dir: &Path) -> PathBuf {
        data_dir.join("blobs")
    }

    /// The directory in which the command starts, or below which it starts.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.task_dir.join("workspace")
    }

    /// The accepted request, with its task id.
    #[must_use]
    pub fn request(&self) -> PathBuf {
        self.task_dir.join("request.json")
    }

    /// The terminal status answer.
    #[must_use]
    pub fn result(&self) -> PathBuf {
        self.task_dir.join("result.json")
    }

    /// The list of the files that were collected, a line of JSON for each.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.task_dir.join(FILES)
    }

    #[must_use]
    pub fn stdout(&self) -> PathBuf {
        self.task_dir.join("stdout.log")
    }

    #[must_use]
    pub fn stderr(&self) -> PathBuf {
        self.task_dir.join("stderr.log")
    }

    /// All that is kept of one stream.
    #[must_use]
    pub fn log(&self, stream: OutputStream) -> PathBuf {
        match stream {
            OutputStream::Stdout => self.stdout(),
            OutputStream::Stderr => self.stderr(),
        }
    }

    /// The script of a task that is run by `interpreter`.
    #[must_use]
    pub fn script(&self, interpreter: &[String]) -> PathBuf {
        self.task_dir.join(script_file_name(interpreter))
    }
}

/// The name of a script, by the interpreter's own name: some interpreters and most readers go by the extension.
#[must_use]
pub fn script_file_name(interpreter: &[String]) -> &'static str {
    let program = interpreter.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    match program {
        "zsh" => "script.zsh",
        "fish" => "script.fish",
        "node" | "nodejs" => "script.js",
        _ if program.starts_with("python") => "script.py",
        _ if program.starts_with("ruby") => "script.rb",
        _ if program.starts_with("perl") => "script.pl",
        _ => "script.sh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_interpreter_names_the_script() {
        let named = [
            ("sh", "script.sh"),
            ("/bin/bash -lc", "script.sh"),
            ("/usr/bin/python3.12 -u", "script.py"),
            ("python", "script.py"),
            ("node", "script.js"),
            ("/bin/zsh", "script.zsh"),
            ("ruby", "script.rb"),
            ("perl -w", "script.pl"),
            ("env python3", "script.sh"),
            ("", "script.sh"),
        ];
        for (interpreter, name) in named {
            assert_eq!(script_file_name(&words(interpreter)), name, "{interpreter}");
        }
    }

    #[test]
    fn every_path_is_absolute_and_inside_the_task_directory() {
        let id = TaskId::parse("t-1").expect("valid");
        let paths = TaskPaths::new(Path::new("data"), &id);
        assert!(paths.task_dir().is_absolute() && paths.task_dir().ends_with("data/tasks/t-1"));
        let files = [paths.workspace(), paths.request(), paths.result(), paths.stdout(), paths.stderr()];
        assert!(files.iter().all(|file| file.parent() == Some(paths.task_dir())));
        assert!(paths.script(&words("python3")).ends_with("t-1/script.py"));
    }
}
