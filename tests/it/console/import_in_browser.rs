//! A file of a French Excel is imported in a browser: file, columns, trial, run.

use std::fs;
use std::time::Instant;

use serde_json::json;

use super::{Hands, Office, Person, field};
use crate::client::PATIENCE;

/// Windows-1252 with semicolons. The last record is refused.
const FRENCH: &[u8] = b"name;Telephone;Ville;Remarque interne\r\n\
    Caf\xE9 Zo\xE9;01 42 00 00 01;Orl\xE9ans;a\r\n\
    P\xE2tisserie No\xEBl;01 42 00 00 02;N\xEEmes;b\r\n\
    ;01 42 00 00 03;Paris;c\r\n";

#[test]
fn a_french_file_is_imported_in_four_steps() {
    let office = Office::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.csv");
    fs::write(&file, FRENCH).unwrap();
    // The second time the columns have the fields of the first time.
    for (hands, why) in [(Hands::Mouse, "par son libellé"), (Hands::MouseWithoutScripts, "comme la dernière fois")] {
        let Some(mut lead) = Person::at(&office, hands, "fr") else { return };
        let before = office.count("/customers");
        lead.browser.go(&office.url("/ui/customers"));
        lead.choose("a[href$='/import']");
        lead.browser.choose_file("#file", &file);
        lead.choose("main form button");
        lead.sees("Windows-1252");
        lead.sees("Orléans");
        lead.sees(why);
        lead.sees("Colonnes non utilisées\u{a0}: Remarque interne.");
        let chosen = |at: u32| format!("document.querySelectorAll('select[name=field]')[{at}].value");
        assert_eq!([0, 1, 3].map(|at| lead.browser.look(&chosen(at))), [json!("name"), json!("phone"), json!("")]);
        lead.choose("main .send button");
        wait(&mut lead, "step\\\" value=\\\"run");
        lead.sees("Télécharger les lignes refusées");
        lead.sees("est obligatoire");
        assert_eq!(office.count("/customers"), before);

        // Without the choice nothing is imported.
        lead.choose("main .send button");
        lead.sees("Rien n’a été importé");
        assert_eq!(office.count("/customers"), before);
        lead.browser.press("[name=leave_out]");
        lead.choose("main .send button");
        wait(&mut lead, "updated_at");
        lead.sees("Les enregistrements refusés ont été laissés de côté.");
        assert_eq!(office.count("/customers"), before + 2);
        lead.choose("a[href*=updated_at]");
        lead.sees("Café Zoé");
        lead.sees("Pâtisserie Noël");
        let made = office.record("/customers?filter[phone]=0142000001");
        assert_eq!(field(&made["data"][0], "name"), "Café Zoé");
        lead.had_no_error();
    }
}

/// Waits until the page shows the next step. Without scripts a person follows the link.
fn wait(lead: &mut Person, shown: &str) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if lead.browser.look(&format!("!!document.body && document.body.innerHTML.includes(\"{shown}\")")) == true {
            return;
        }
        if lead.hands == Hands::MouseWithoutScripts && lead.browser.look("!!document.querySelector('progress')") == true
        {
            lead.choose("main section a");
        }
    }
    panic!("the import does not end: {}", lead.text());
}
