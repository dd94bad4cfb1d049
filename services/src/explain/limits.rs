//! How much it may use up.

use super::words::{count, percent, size};
use super::{Finding, finding};
use sandbox::{Cgroup, CpuLimit, Rlimits};

/// The board's memory, in bytes, and its processors: a limit above is none.
const MEMORY: u64 = 1 << 30;
const PROCESSORS: u64 = 4;
/// As many tasks, and open files, as no service of a small box needs.
const MANY_TASKS: u64 = 1024;
const MANY_FILES: u64 = 4096;

/// Memory, tasks, processor time.
pub(super) fn cgroup(cgroup: Option<&Cgroup>) -> [Finding; 3] {
    let Some(cgroup) = cgroup else {
        let none = |what| {
            vec![format!(
                "Its {what} not limited: the host offers no cgroup."
            )]
        };
        return [
            finding("Memory", 5, 100, none("memory is")),
            finding("Tasks", 3, 100, none("processes and threads are")),
            finding("Processor", 2, 100, none("share of the processor is")),
        ];
    };
    let Cgroup {
        hierarchy,
        path,
        memory_max,
        oom_group,
        pids_max,
        cpu_max,
    } = cgroup;
    let group = hierarchy.join(path);
    let end = match oom_group {
        true => "all of it is killed",
        false => "its largest process is killed and the others go on",
    };
    let memory = format!(
        "It uses at most {} of memory and no swap; beyond that {end}. Its cgroup is {}.",
        size(*memory_max),
        group.display()
    );
    let tasks = count(*pids_max, "process").replace("processs", "processes");
    let tasks = format!("It has at most {tasks}, threads included.");
    let (processor, share) = match cpu_max {
        None => (
            "It may use all the processors, as others leave them.".into(),
            100,
        ),
        Some(CpuLimit {
            quota_us,
            period_us,
        }) => {
            let all = u64::from(*period_us) * PROCESSORS;
            let words = format!(
                "It runs at most {quota_us} of every {period_us} microseconds, all processors together."
            );
            (words, percent((*quota_us).into(), all))
        }
    };
    // Two parts of ten for the processes that may go on.
    let part = percent(*memory_max, MEMORY) * 8 / 10 + 20 * u64::from(!oom_group);
    [
        finding("Memory", 5, part, vec![memory]),
        finding(
            "Tasks",
            3,
            percent((*pids_max).into(), MANY_TASKS),
            vec![tasks],
        ),
        finding("Processor", 2, share, vec![processor]),
    ]
}

/// Open files and the size of one.
pub(super) fn rlimits(rlimits: Rlimits) -> [Finding; 2] {
    let Rlimits {
        open_files,
        file_size,
    } = rlimits;
    let open = format!(
        "It has at most {} open at once.",
        count(open_files, "descriptor")
    );
    let largest = match file_size {
        0 => "It can't make a file longer than it is: the limit is 0 bytes.".to_owned(),
        some => format!("It can write files of at most {}.", size(some)),
    };
    [
        finding("Open files", 1, percent(open_files, MANY_FILES), vec![open]),
        finding(
            "Size of files",
            2,
            percent(file_size, 4 << 30),
            vec![largest],
        ),
    ]
}
