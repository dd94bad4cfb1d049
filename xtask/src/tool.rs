//! Host programs, called so that a failure says which one, what it said and
//! which package it comes from.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Why a host program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("{program}: cannot be started ({source}); it is in the package {package}")]
    Start {
        /// The program.
        program: String,
        /// The Debian package that holds it.
        package: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It ran and reported failure.
    #[error("{program} failed ({status}):\n{said}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of what it printed.
        said: String,
    },
}

/// A host program and its arguments.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    package: &'static str,
}

/// The program of that name from that Debian package.
pub fn tool(program: &str, package: &'static str) -> Tool {
    Tool {
        command: Command::new(program),
        package,
    }
}

impl Tool {
    /// A command that others put together, of a program from that Debian package.
    pub fn of(command: Command, package: &'static str) -> Self {
        Self { command, package }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the folder that it runs in.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end; success or an error with what it printed.
    pub fn run(self) -> Result<(), ToolError> {
        self.output().map(|_| ())
    }

    /// Runs it to its end and returns its standard output.
    pub fn output(mut self) -> Result<Vec<u8>, ToolError> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        let output = self
            .command
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ToolError::Start {
                program: program.clone(),
                package: self.package,
                source,
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = said.lines().collect();
        let said = lines[lines.len().saturating_sub(20)..].join("\n");
        Err(ToolError::Failed {
            program,
            status: output.status,
            said,
        })
    }
}
